"""WeightAverage: the moving average of the weights, which the model gets at the end; a resumed training goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 3)), RNG.normal(size=(64, 1))


def model() -> tr.Model:
    tr.manual_seed(0)
    made = tr.Sequential([tr.Input((3,)), tr.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def test_the_average_is_that_of_the_steps() -> None:
    seen = []

    class Keep(tr.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights())

    net = model()
    expected = net.get_weights()
    average = tr.callbacks.WeightAverage(0.9)
    net.fit(X, Y, epochs=5, verbose=0, callbacks=[Keep(), average])
    for step, weights in enumerate(seen):
        kept = min(0.9, (1 + step) / (10 + step))
        expected = [kept * e + (1 - kept) * w for e, w in zip(expected, weights)]
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(net.get_weights(), expected))


def test_the_model_has_it_for_a_while() -> None:
    net, average = model(), tr.callbacks.WeightAverage(0.9, swap_at_end=False)
    net.fit(X, Y, epochs=2, verbose=0, callbacks=[average])
    own = net.get_weights()
    with average.applied():
        assert all(np.array_equal(a, b) for a, b in zip(net.get_weights(), average.average))
    assert all(np.array_equal(a, b) for a, b in zip(net.get_weights(), own))


def test_a_resumed_training_goes_on_with_it(tmp_path: Path) -> None:
    whole = tr.callbacks.WeightAverage(0.9, swap_at_end=False)
    model().fit(X, Y, epochs=4, verbose=0, callbacks=[whole])
    first, second = (tr.callbacks.WeightAverage(0.9, swap_at_end=False) for _ in range(2))
    half = model()
    half.fit(X, Y, epochs=2, verbose=0, callbacks=[first])
    half.save(tmp_path / "half.npz")
    loaded = tr.load(tmp_path / "half.npz")
    loaded.fit(X, Y, epochs=4, initial_epoch=loaded.epoch, verbose=0, callbacks=[second])
    assert all(np.array_equal(a, b) for a, b in zip(whole.average, second.average)) and whole.step == second.step


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(ArgumentError, match=r"\[WeightAverage\] an average begins with a fit; got none yet"):
        with tr.callbacks.WeightAverage().applied():
            pass
    with pytest.raises(ArgumentError, match=r"\[WeightAverage\] decay is a share, 0 <= decay < 1; got 1"):
        tr.callbacks.WeightAverage(1)
