"""Ctrl-C, or any signal, in `fit` at any moment, then save, load and go on: the same bit for bit as without it."""

from __future__ import annotations

import pathlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.training.interrupts import Interrupts

X = np.random.default_rng(0).normal(size=(20, 4)).astype("f4")
Y = np.random.default_rng(1).normal(size=(20, 2)).astype("f4")
LOOP = ("training/loop.py", "training/runners.py", "training/batches.py", "training/steps.py", "capture/step.py")


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which ignores Ctrl-C there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def net() -> tr.Model:
    tr.manual_seed(1)
    body = [layers.Dense(5), layers.BatchNorm(), layers.Dropout(0.3), layers.Dense(2)]
    model = tr.Sequential([tr.Input(shape=(4,)), *body])
    model.compile(tr.optim.Adam(lr=0.05), "mse")
    return model


def data(kind: str) -> tuple[Any, ...]:
    return (tr.data.Loader(X, Y, batch_size=4, shuffle=True, seed=3),) if kind == "loader" else (X, Y)


def trained(model: tr.Model, kind: str, capture: bool) -> tr.Model:
    model.fit(*data(kind), batch_size=4, epochs=3, initial_epoch=model.epoch, verbose=0, capture=capture)
    return model


class CtrlC:
    """Sends SIGINT at the n-th line that runs in the files of the training loop."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(LOOP):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return self


def lines(kind: str, capture: bool) -> int:
    counting = CtrlC(10**9)
    model = net()
    sys.settrace(counting)
    try:
        trained(model, kind, capture)
    finally:
        sys.settrace(None)
    return 10**9 - counting.left


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "loader"])
@pytest.mark.parametrize("capture", [True, False])
def test_interrupted_saved_loaded_and_gone_on_with(kind: str, capture: bool, tmp_path: pathlib.Path) -> None:
    expected = [w.tobytes() for w in trained(net(), kind, capture).get_weights()]
    count = lines(kind, capture)
    for at in range(3, count, max(1, count // 11)):
        model, interrupt, interrupted = net(), CtrlC(at), False
        sys.settrace(interrupt)
        try:
            trained(model, kind, capture)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(None)
        assert interrupted or interrupt.left > 0  # how many lines run depends on the clock too
        model.save(tmp_path / "m.npz")
        tr.manual_seed(99)
        loaded = tr.load(tmp_path / "m.npz")
        assert [w.tobytes() for w in trained(loaded, kind, capture).get_weights()] == expected, f"line {at} of {count}"


@pytest.mark.parametrize("name", ["SIGALRM", "SIGTERM", "SIGUSR1", "SIGINT"])
def test_any_signal_whose_handler_raises_comes_between_two_steps(name: str) -> None:
    """A time limit (SIGALRM) raised within a step: the step was taken, and taken again when the training went on."""

    class Signalled(tr.Sequential):
        def train_step(self, x: Any, y: Any, sample_weight: Any = None, watch: bool | str = False) -> Any:
            taken = super().train_step(x, y, sample_weight, watch)
            if self.optimizer.steps == 3:
                signal.raise_signal(number)
            return taken

    def raises(*arguments: Any) -> None:
        raise TimeoutError

    if not hasattr(signal, name):
        pytest.skip(f"no {name} on this system")
    number = getattr(signal, name)
    model = Signalled([tr.Input(shape=(4,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    before = signal.signal(number, raises)
    try:
        with pytest.raises(TimeoutError):
            model.fit(X, Y, batch_size=4, verbose=0, capture=False)
        assert signal.getsignal(number) is raises
    finally:
        signal.signal(number, before)
    assert model.optimizer.steps == model.position.step == 3


def test_a_second_signal_within_a_step_comes_through_at_once() -> None:
    told: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *arguments: told.append("handled"))
    try:
        interrupts = Interrupts()
        with interrupts.watched():
            interrupts.hold()
            signal.raise_signal(signal.SIGTERM)
            told.append("held")
            signal.raise_signal(signal.SIGTERM)
            told.append("after two")
            interrupts.release()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == ["held", "handled", "after two"]


@pytest.mark.parametrize("kind", ["arrays", "loader"])
@pytest.mark.parametrize("capture", [True, False])
def test_interrupted_and_gone_on_with_in_memory(kind: str, capture: bool) -> None:
    """What was trained in the broken epoch was trained again, in another order."""

    class Stop(tr.callbacks.Callback):
        def on_batch_end(self, batch: int, logs: Any) -> None:
            if self.model.epoch == 1 and batch == 2:
                raise KeyboardInterrupt

    whole = trained(net(), kind, capture)
    model = net()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data(kind), batch_size=4, epochs=3, verbose=0, capture=capture, callbacks=[Stop()])
    model.evaluate(X, Y, verbose=0)
    trained(model, kind, capture)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in whole.get_weights()]
    assert model.history.history["loss"][0] == whole.history.history["loss"][1]
    model.position = None
    steps = model.optimizer.steps
    model.fit(*data(kind), batch_size=4, epochs=1, verbose=0)
    assert model.optimizer.steps - steps == 5


@pytest.mark.parametrize("kind", ["arrays", "loader"])
def test_a_checkpoint_within_an_epoch_does_not_go_on_with_other_data(kind: str, tmp_path: pathlib.Path) -> None:
    class Stop(tr.callbacks.Callback):
        def on_batch_end(self, batch: int, logs: Any) -> None:
            self.model.stop_training = batch == 2

    model = net()
    model.fit(*data(kind), batch_size=4, epochs=1, verbose=0, callbacks=[Stop()])
    model.save(tmp_path / "m.npz")
    counts = []
    for x in (X, X + 1.0):
        loaded = tr.load(tmp_path / "m.npz")
        taken = loaded.optimizer.steps
        other = (tr.data.Loader(x, Y, batch_size=4, shuffle=True, seed=3),) if kind == "loader" else (x, Y)
        loaded.fit(*other, batch_size=4, epochs=1, verbose=0)
        counts.append(loaded.optimizer.steps - taken)
    assert counts == [2, 5]


def test_the_handler_that_was_there_comes_back_and_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    before = signal.signal(signal.SIGINT, lambda *arguments: asked.append(arguments[0]))
    try:
        mine = signal.getsignal(signal.SIGINT)
        sys.settrace(CtrlC(60))
        trained(net(), "arrays", True)
        sys.settrace(None)
        assert signal.getsignal(signal.SIGINT) is mine
        assert asked == [signal.SIGINT]
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGINT, before)
