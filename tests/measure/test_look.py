"""What a captured step measures of its gradient is what a trace measures at the same weights, to the last bit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.engine.state import preserving, state
from tinyres.errors import CaptureError, TraceError
from tinyres.layers.blocks import PRESETS


def told(trace: Any, path: Path) -> str:
    """All that a trace holds, as its file says it."""
    trace.save(path / "trace.json")
    return (path / "trace.json").read_text()


@contextlib.contextmanager
def unmoved() -> Iterator[None]:
    """Moving statistics stay; what is recorded is what a step records, which is less than `model.graph` does."""
    with preserving():
        state.record_all = False
        yield


def residual_net(block: str, blocks: int = 3, units: int = 8) -> Any:
    inputs = x = tr.Input(shape=(units,))
    for i in range(blocks):
        with tr.name_scope(f"block{i}"):
            x = PRESETS[block](x, units, blocks) if block == "skipinit" else PRESETS[block](x, units)
    return tr.Model(inputs, layers.Dense(3)(x))


def watched_step(model: Any, opt: Any) -> tuple[Callable[..., Any], Any]:
    def loss_of(x: Any, y: Any) -> Any:
        return tr.losses.softmax_cross_entropy(model(x, training=True), y)

    @tr.capture
    def step(x: Any, y: Any) -> Any:
        loss = loss_of(x, y)
        look = tr.Graph(loss).watch()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss, look

    return loss_of, step


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("block", list(PRESETS))
def test_a_captured_look_is_the_eager_trace(block: str, backend: str, tmp_path: Path) -> None:
    tr.set_backend(backend)
    try:
        model = residual_net(block)
        loss_of, step = watched_step(model, tr.optim.Adam(model.parameters(), lr=0.01))
        rng = np.random.default_rng(0)
        for _ in range(3):
            x, y = tr.tensor(rng.normal(size=(6, 8))), tr.tensor(rng.integers(0, 3, 6), dtype="int64")
            with unmoved():
                eager = tr.Graph(loss_of(x, y)).trace(audit=False)
            assert told(step(x, y)[1].trace(), tmp_path) == told(eager, tmp_path)
    finally:
        tr.set_backend("native")


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("passes", ["none", ""])
def test_no_pass_and_no_thread_changes_a_bit(
    threads: int, passes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tr.set_threads(0)
    tr.set_threads(threads)
    if passes:
        monkeypatch.setenv("TINYRES_PASSES", passes)
    try:
        model = residual_net("tutorial", units=32)
        loss_of, step = watched_step(model, tr.optim.SGD(model.parameters(), lr=0.01))
        x, y = tr.tensor(np.random.default_rng(0).normal(size=(64, 32))), tr.tensor([0, 1] * 32, dtype="int64")
        for _ in range(2):
            with unmoved():
                eager = tr.Graph(loss_of(x, y)).trace(audit=False)
            assert told(step(x, y)[1].trace(), tmp_path) == told(eager, tmp_path)
    finally:
        tr.set_threads(before)


def test_a_step_that_looks_trains_as_one_that_does_not() -> None:
    results = []
    for looks in (False, True):
        tr.manual_seed(3)
        model = residual_net("he2015")
        opt = tr.optim.Adam(model.parameters(), lr=0.01)
        if looks:
            step = watched_step(model, opt)[1]
        else:

            @tr.capture
            def step(x: Any, y: Any, model: Any = model, opt: Any = opt) -> Any:
                loss = tr.losses.softmax_cross_entropy(model(x, training=True), y)
                opt.zero_grad()
                loss.backward()
                opt.step()
                return (loss,)

        x, y = np.random.default_rng(0).normal(size=(6, 8)), np.array([0, 1, 2, 0, 1, 2])
        results.append([[step(x, y)[0].item() for _ in range(5)], *[w.tolist() for w in model.get_weights()]])
    assert results[0] == results[1]


def test_looks_of_several_runs_are_kept_apart() -> None:
    model = residual_net("residual")
    _, step = watched_step(model, tr.optim.SGD(model.parameters(), lr=0.1))
    x, y = np.random.default_rng(0).normal(size=(6, 8)), np.array([0, 1, 2, 0, 1, 2])
    looks = [step(x, y) for _ in range(3)]
    losses = [look.trace().loss for _, look in looks]
    assert losses == [loss.item() for loss, _ in looks] and len(set(losses)) == 3


def test_dead_channels_are_counted_by_kernels_too() -> None:
    x = tr.tensor([[-1.0, 2.0, 0.0], [-3.0, np.nan, -1.0]])
    w = tr.tensor(np.ones(3), requires_grad=True)
    loss = layers.ReLU(name="cut")(x * w).sum()
    graph = tr.Graph(loss)
    assert graph.trace()["cut"].dead == graph.watch().trace()["cut"].dead == 2


def test_outside_of_a_capture_it_looks_at_once(tmp_path: Path) -> None:
    x = tr.tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = (x * x + x).sum()
    look = tr.Graph(loss).watch()
    assert told(look.trace(), tmp_path) == told(tr.Graph(loss).trace(audit=False), tmp_path)
    assert x.grad is None


def looked(model: Any, x: Any, times: int = 1) -> Any:
    loss = (model(x, training=True) ** 2).sum()
    looks = [tr.Graph(loss).watch() for _ in range(times)]
    for p in model.parameters():
        p.grad = None
    loss.backward()
    return looks[-1]


def test_what_cannot_be_watched_says_what_to_do() -> None:
    model = residual_net("residual")
    x, y = np.zeros((2, 8)), np.zeros(2, np.int64)
    with pytest.raises(TraceError, match=r"\[watch\] a step watches the loss that it computes; .*watch_edges=True"):
        model.graph(x, y, loss=tr.losses.softmax_cross_entropy).watch()

    @tr.capture
    def forgets(x: Any) -> Any:
        loss = (model(x, training=True) ** 2).sum()
        return tr.Graph(loss).watch()

    with pytest.raises(CaptureError, match=r"\[watch\] .*call loss.backward\(\) between the two"):
        forgets(x)

    with pytest.raises(CaptureError, match=r"\[watch\] a look has numbers when the step has run; .*return it"):
        tr.capture(lambda x: looked(model, x).trace())(x)
    with pytest.raises(CaptureError, match=r"\[watch\] a look has numbers when the step has run; .*return it"):
        tr.capture(lambda x: looked(model, x).edges())(x)
    with pytest.raises(CaptureError, match=r"\[watch\] a pass back is watched once; .*return the look of the first"):
        tr.capture(lambda x: looked(model, x, times=2))(x)
    assert len(tr.capture(lambda x: looked(model, x))(x).edges()[0]) > 0

    @tr.capture
    def traces(x: Any) -> Any:
        return tr.Graph((model(x, training=True) ** 2).sum()).trace().loss

    with pytest.raises(CaptureError, match=r"\[graph\] a step is being recorded.*graph.watch\(\)"):
        traces(x)
