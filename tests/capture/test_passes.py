"""The passes over a captured program: bit-for-bit neutral, each of some use; and the listing of what they did."""

from __future__ import annotations

import re

import numpy as np
import pytest
from stateful_net import Net, assert_identical, batches, trained

import tinyres as tr
from tinyres.capture.passes import PASSES
from tinyres.errors import ArgumentError, CaptureError


@pytest.mark.parametrize("passes", ["none", *PASSES, *[f"-{name}" for name in PASSES]])
def test_every_choice_of_passes_is_bit_for_bit_neutral(passes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    eager = Net()
    expected = trained(eager.step, eager, steps=12)
    monkeypatch.setenv("TINYRES_PASSES", passes)
    captured = Net()
    assert_identical(trained(tr.capture(captured.step), captured, steps=12), expected)


def test_unknown_passes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYRES_PASSES", "fusion9")
    with pytest.raises(ArgumentError, match="TINYRES_PASSES names passes; got fusion9"):
        tr.capture(lambda x: x + 1.0)(np.ones(2))


def test_every_pass_finds_its_work_in_a_residual_net() -> None:
    net = Net()

    def step(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        _ = net.model(x).sum()  # nobody sees this
        return net.step(x, y)

    captured = tr.capture(step, check_finite=True)
    captured(*batches(1)[0])
    done = {name: int(re.search(r"\d+", note)[0]) for name, note in captured.program.program.notes.items()}
    assert set(done) >= {"dead", "relu", "accumulate", "mask", "guard", "update"}
    assert all(done.values()), done


def test_dead_calls_are_removed_and_checks_are_not() -> None:
    @tr.capture
    def step(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        tr.losses.softmax_cross_entropy(x * 3.0, y)
        return x + 1.0

    step(np.ones((2, 4), "f4"), np.array([0, 1]))
    assert [call.kernel.name for call in step.program.program.calls] == ["check_labels", "add"]


def test_the_listing_shows_calls_sizes_and_memory() -> None:
    net = Net()
    step = tr.capture(net.step)
    with pytest.raises(CaptureError, match="call the step once"):
        _ = step.program
    step(*batches(1)[0])
    text = str(step.program)
    assert "matmul" in text and "block0/dense" in text and "MFLOP" in text and "before planning" in text
    assert step.program.executable.arena_bytes < step.program.executable.unplanned_bytes


@pytest.mark.parametrize("passes", ["none", *PASSES, *[f"-{name}" for name in PASSES]])
def test_two_train_steps_in_one_capture(passes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first update once moved behind the check of the second loss, and so behind the forward pass that reads it."""

    def steps_of(net: Net):
        return lambda x, y: (net.step(x, y), net.step(x, y))[1]

    eager = Net("sgd")
    expected = trained(steps_of(eager), eager, steps=4)
    monkeypatch.setenv("TINYRES_PASSES", passes)
    captured = Net("sgd")
    assert_identical(trained(tr.capture(steps_of(captured), check_finite=True), captured, steps=4), expected)
