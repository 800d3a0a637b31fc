"""What inspection costs: a trace of a residual net, next to a plain eager forward and backward of the same net.

Rows run one after the other: on a machine with other work compare their minima (`--benchmark-columns=min`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.layers import blocks
from tinyres.study.nets import stack

UNITS = BATCH = 64
TRACES: dict[str, Callable[[tr.Graph], object]] = {
    "trace, audit": lambda graph: graph.trace(),
    "trace, no audit": lambda graph: graph.trace(audit=False),
    "trace of every op": lambda graph: graph.trace(level="op"),
    "path spectrum": lambda graph: graph.paths(),
    "lint": lambda graph: graph.lint(),
}


def net(count: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """A net of tutorial blocks and a batch."""
    rng = np.random.default_rng(0)
    tr.manual_seed(0)
    model = stack(blocks.tutorial, count, UNITS, UNITS, 10)
    model.compile(loss="sparse_categorical_crossentropy")
    return model, rng.normal(size=(BATCH, UNITS)), rng.integers(0, 10, BATCH)


@pytest.mark.parametrize("count", [54, 64])
def test_plain_forward_and_backward(measure: Any, count: int) -> None:
    model, x, y = net(count)
    data, labels = tr.tensor(x), tr.tensor(y, dtype="int64")

    def step() -> None:
        model.loss_of(model.loss)(model, data, labels, training=True)[1].backward()

    measure("forward and backward", step, group=f"trace of {count} blocks", rounds=20)


@pytest.mark.parametrize("count", [54, 64])
@pytest.mark.parametrize("what", TRACES)
def test_trace(measure: Any, count: int, what: str) -> None:
    model, x, y = net(count)
    graph = model.graph(x, y)
    measure(what, lambda: TRACES[what](graph), group=f"trace of {count} blocks", rounds=20)


@pytest.mark.parametrize("what", ["trace", "print", "save"])
def test_a_thousand_blocks(measure: Any, tmp_path: Any, what: str) -> None:
    model, x, y = net(1000)
    trace = model.graph(x, y).trace()
    run: dict[str, Callable[[], object]] = {
        "trace": lambda: model.graph(x, y).trace(),
        "print": lambda: str(trace),
        "save": lambda: trace.save(tmp_path / "trace.json"),
    }
    measure(what, run[what], group="trace of 1,000 blocks", rounds=3)
