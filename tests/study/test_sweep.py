"""The sweep: every net at its own rate, chosen without the test examples, in as many trainings as it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError
from tinyres.study.sweep import Examples, Task, held_back, reporting, sweep, trainings


def task(epochs: int = 2) -> Task:
    """Which of two features is larger."""
    x = np.random.default_rng(0).normal(size=(80, 2)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int64")
    training, validation = held_back(x, y)
    return Task(training, validation, Examples(x, y), "sparse_categorical_crossentropy", sgd, epochs)


def sgd(rate: float) -> Any:
    return tr.optim.SGD(lr=rate)


def net() -> tr.Model:
    x = tr.Input(shape=(2,))
    return tr.Model(x, layers.Dense(2, activation="softmax")(layers.BatchNorm()(x)))


def test_a_fifth_is_held_back() -> None:
    training, validation = held_back(np.arange(10), np.arange(10))
    assert validation.x.tolist() == [0, 5] and set(training.y) == set(range(10)) - {0, 5}


def test_the_rate_is_the_best_on_what_is_held_back() -> None:
    found = sweep(net, task(8), (1e-6, 0.5, 1e30), seeds=3)
    assert found.rate == 0.5 and found.rate_text == "0.5"
    assert [len(found.tried[rate].values) for rate in (1e-6, 0.5, 1e30)] == [2, 3, 1]
    assert len(found.runs) == len(found.models) == 3
    assert found.over_seeds("train").mean < 0.3
    assert sum(len(spread.values) for spread in found.tried.values()) == trainings(3, 3)


def test_each_training_is_reported() -> None:
    shares: list[float] = []
    with reporting(shares.append):
        sweep(net, task(), (0.1, 0.5), seeds=2)
    sweep(net, task(), (0.1,), seeds=1)
    assert shares == [1 / 3, 2 / 3, 1.0]


def test_a_rate_at_the_end_is_marked() -> None:
    assert sweep(net, task(8), (1e-6, 0.5), seeds=1).rate_text == "0.5*"
    assert sweep(net, task(), (0.5,), seeds=1).rate_text == "0.5"


def test_errors_come_with_settled_and_with_moving_statistics() -> None:
    found = sweep(net, task(), (0.1,), seeds=2)
    (run, _), (model, _) = found.runs, found.models
    assert model is not None and found.normalises
    x = task().training.x
    np.testing.assert_allclose(model.layers[1].moving_mean.numpy(), x.mean(axis=0), atol=1e-5)
    assert run.train == pytest.approx(1 - model.evaluate(x, task().training.y)[1])
    assert run.train_moving is not None and run.test_moving is not None
    row = found.record()
    assert (row["rate"], row["train"].values[0], row["validation"]["0.1"][0]) == (0.1, run.train, run.validation)


def test_a_net_without_batchnorm_has_no_moving_statistics() -> None:
    def plain() -> tr.Model:
        x = tr.Input(shape=(2,))
        return tr.Model(x, layers.Dense(2, activation="softmax")(x))

    row = sweep(plain, task(), (0.1,), seeds=1).record()
    assert row["train_moving"] is row["test_moving"] is None


def test_what_diverges_is_counted() -> None:
    found = sweep(net, task(), (1e38,), seeds=2)
    assert found.over_seeds("test").percent == "2/2 diverged" and found.models == (None, None)


def test_no_seeds_and_no_rates_are_refused() -> None:
    with pytest.raises(ArgumentError, match="got 0 seeds, rates \\(0.1,\\)"):
        sweep(net, task(), (0.1,), seeds=0)
    with pytest.raises(ArgumentError, match="got 2 seeds, rates \\(\\)"):
        sweep(net, task(), (), seeds=2)
