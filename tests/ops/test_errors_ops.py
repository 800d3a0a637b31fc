"""Every error of the ops: its class, its whole text, and that no kernel ran before it."""

from __future__ import annotations

from collections.abc import Callable

import errors_of_arrays
import errors_of_attention
import errors_of_images
import errors_of_losses
import pytest

from tinyres.errors import ShapeError, TinyresError
from tinyres.launch import Launch, recording

CASES = [*errors_of_arrays.CASES, *errors_of_losses.CASES, *errors_of_images.CASES, *errors_of_attention.CASES]


@pytest.mark.parametrize(("call", "error", "message"), CASES, ids=[c[2].split("]")[0][1:] for c in CASES])
def test_message(call: Callable[[], object], error: type[TinyresError], message: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error
    assert str(raised.value) == message


class _Counting:
    """A recorder that counts calls of compute kernels; value checks and the arguments' own preparation are not that."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def record(self, call: Launch) -> None:
        self.calls.append(call[0].name)

    def reads(self, array: object, buffer: object) -> None:
        """Arrays are not followed."""


SHAPE_ERRORS = [c for c in CASES if c[1] is ShapeError and "softmax of shape" not in c[2]]


@pytest.mark.parametrize(("call", "error", "message"), SHAPE_ERRORS, ids=[c[2].split("]")[0][1:] for c in SHAPE_ERRORS])
def test_raised_before_any_kernel_runs(call: Callable[[], object], error: type[TinyresError], message: str) -> None:
    counting = _Counting()
    with recording(counting), pytest.raises(error):  # type: ignore[arg-type]
        call()
    assert counting.calls == []


def test_every_message_has_the_form_of_the_house() -> None:
    for _, _, message in CASES:
        assert message.startswith("[") and "] " in message
        assert ";" in message or ":" in message
