"""Steps at the edge of what can be captured: without kernels, from signal handlers, in forked children."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import CaptureError


def test_a_step_without_kernels_replays() -> None:
    same = tr.capture(lambda x: x)
    for i in range(3):
        x = np.full(3, float(i))
        assert same(x).numpy().tolist() == x.tolist()
    assert tr.capture(lambda: None)() is None
    w = tr.Parameter([1.0], "w")
    given = tr.capture(lambda: (w, 3))
    for i in range(3):
        w.assign([float(i)])
        assert given()[0].item() == i


def test_a_model_that_only_reshapes_predicts_more_than_one_batch() -> None:
    inputs = tr.Input(shape=(2, 3))
    model = tr.Model(inputs, layers.Reshape((6,))(inputs))
    x = np.arange(600 * 6, dtype="f4").reshape(600, 2, 3)
    np.testing.assert_array_equal(model.predict(x), x.reshape(600, 6))


def yields(x: tr.Tensor) -> Iterator[tr.Tensor]:
    yield x


async def awaits(x: tr.Tensor) -> tr.Tensor:
    return x


async def both(x: tr.Tensor) -> AsyncIterator[tr.Tensor]:
    yield x


@pytest.mark.parametrize("step", [yields, awaits, both])
def test_a_generator_function_is_refused_by_name(step: Any) -> None:
    with pytest.raises(CaptureError, match=rf"\[capture\] a step is a function that returns; got {step.__name__}"):
        tr.capture(step)


@pytest.mark.parametrize("step", [lambda x: np.ones(3), lambda x: (x * 2.0, {"n": np.ones(3)})])
def test_a_step_that_returns_an_array_is_refused(step: Any) -> None:
    """It would be that of the recording at every replay; it died of an array that has no buffer."""
    with pytest.raises(
        CaptureError, match=r"\[capture\] what a step computes are Tensors; got .* shape \(3,\)"
    ):
        tr.capture(step)(np.ones(2))


def test_a_signal_handler_that_calls_the_running_step_gets_an_error() -> None:
    errors = []

    @tr.capture
    def step(x: tr.Tensor) -> tr.Tensor:
        signal.raise_signal(signal.SIGUSR1)
        return x * 2.0

    def handler(number: int, frame: Any) -> None:
        with pytest.raises(CaptureError) as caught, tr.launch.recording(None):
            step(np.ones(2))
        errors.append(str(caught.value))

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        assert step(np.ones(2)).tolist() == [2.0, 2.0]
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(errors) == 1 and "[capture] a step cannot be called while it runs; got a call of step" in errors[0]
    assert step(np.full(2, 3.0)).tolist() == [6.0, 6.0]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_another_thread_replays_can_replay() -> None:
    step = tr.capture(lambda x: tr.tanh(x @ x).sum())
    x = np.eye(64, dtype="f4")
    expected = step(x).item()
    stop = threading.Event()

    def replaying() -> None:
        while not stop.is_set():
            step(x)

    thread = threading.Thread(target=replaying)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(0 if step(x).item() == expected else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
