"""Captured steps on several workers: no races, the same bits for any number of threads."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from races import find_race

import tinyres as tr
from tinyres import layers
from tinyres.backends import native
from tinyres.capture.halves import in_halves
from tinyres.capture.workers import PlacedCall, Share, plan_workers
from tinyres.errors import TinyresError
from tinyres.kernels.record import SHARE_UNIT

plan = importlib.import_module("tinyres.capture.plan")
pytestmark = [
    pytest.mark.skipif(not native.AVAILABLE, reason="workers belong to the native core"),
    pytest.mark.usefixtures("always_shared"),
]


@pytest.fixture
def threads() -> Iterator[Callable[[int], int]]:
    before = native.threads()
    yield native.set_threads
    native.set_threads(before)


def train_step(
    features: int, units: int, classes: int, optimizer: str, dropout: float, training: bool = True
) -> tuple[tr.CapturedStep, list[tr.Tensor]]:
    tr.manual_seed(0)
    inputs = h = tr.Input(shape=(features,))
    h = layers.Dense(units)(h)
    for _ in range(2):
        shortcut = h
        h = layers.Dense(units, activation="relu")(h)
        h = layers.BatchNormalization()(h)
        h = layers.Dense(units)(h)
        h = layers.BatchNormalization()(h)
        h = layers.ReLU()(layers.Add()([h, shortcut]))
        if dropout:
            h = layers.Dropout(dropout)(h)
        h = layers.Activation("tanh")(h * 0.5)
    model = tr.Model(inputs, layers.Dense(classes)(h))
    opt = {
        "sgd": lambda p: tr.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "adam": lambda p: tr.optim.Adam(p, lr=0.01, clip_norm=1.0),
    }[optimizer](model.parameters())

    @tr.capture(check_finite=True)
    def step(x, y):
        loss = tr.losses.softmax_cross_entropy(model(x, training=training), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return step, [*model.parameters()]


# features, units, classes, batch: the first layer alone is worth waking the workers.
SHAPES = [(1024, 64, 10, 256), (1024, 96, 32, 250), (2048, 48, 7, 128), (2048, 50, 10, 128), (1200, 32, 64, 203)]
SHAPES += [(512, 144, 32, 96)]  # products in halves
KINDS = [("sgd", 0.0), ("adam", 0.3)]


def batch(features: int, classes: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, features), dtype=np.float32), rng.integers(0, classes, rows)


@pytest.mark.slow
@pytest.mark.parametrize(("features", "units", "classes", "rows"), SHAPES)
@pytest.mark.parametrize(("optimizer", "dropout"), KINDS)
def test_a_step_has_the_same_bits_for_any_number_of_threads(
    features: int, units: int, classes: int, rows: int, optimizer: str, dropout: float, threads: Callable[[int], int]
) -> None:
    x, y = batch(features, classes, rows)
    results = []
    for count in (1, 2, 3):
        threads(count)
        step, parameters = train_step(features, units, classes, optimizer, dropout)
        losses = [float(step(x, y)) for _ in range(4)]
        results.append((losses, [p.numpy().tobytes() for p in parameters]))
    assert losses[-1] < losses[0]
    assert results[0] == results[1] == results[2]


def planned(step: tr.CapturedStep, count: int = 3) -> list[tuple[PlacedCall, Share]]:
    executable = step.program.executable
    placed = [PlacedCall(c, *executable.operands(c), 1000.0) for c in executable.program.calls]
    return plan_workers(in_halves(placed) if count == 2 else placed)


RACES = [(70, 64, 10, 9), (33, 96, 32, 5), (20, 50, 7, 8), (144, 128, 10, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(("features", "units", "classes", "rows"), RACES)
@pytest.mark.parametrize(("optimizer", "dropout"), KINDS)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_two_workers_race(
    features: int, units: int, classes: int, rows: int, optimizer: str, dropout: float, count: int
) -> None:
    step, _ = train_step(features, units, classes, optimizer, dropout)
    step(*batch(features, classes, rows))
    calls = planned(step, count)
    assert find_race(calls, count) is None
    # The search does find races: without its waits the same list has some.
    if units % SHARE_UNIT == 0:
        assert find_race([(c, Share(s.way, s.count)) for c, s in calls], count) is not None


def test_few_waits_per_residual_block() -> None:
    step, _ = train_step(64, 64, 10, "sgd", 0.0)
    step(*batch(64, 10, 8))
    calls = planned(step)
    assert sum(share.waits for _, share in calls) <= 4 * 2 + 8


def test_a_failed_check_stops_all_workers(threads: Callable[[int], int]) -> None:
    threads(2)
    step, parameters = train_step(2048, 64, 10, "sgd", 0.0)
    x, y = batch(2048, 10, 256)
    step(x, y)
    before = [p.numpy().tobytes() for p in parameters]
    for _ in range(5):
        with pytest.raises(TinyresError, match="label"):
            step(x, np.full_like(y, 10))
        assert [p.numpy().tobytes() for p in parameters] == before


def test_a_list_is_planned_for_the_number_of_threads(
    threads: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned_for: list[bool] = []
    monkeypatch.setattr(plan, "in_halves", lambda calls: planned_for.append(True) or calls)
    step, _ = train_step(64, 64, 10, "sgd", 0.0)
    for count, plans in ((1, 0), (2, 1), (2, 1), (1, 1), (3, 2), (2, 3)):
        threads(count)
        step(*batch(64, 10, 8))
        assert len(planned_for) == plans
