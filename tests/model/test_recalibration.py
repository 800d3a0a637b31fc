"""model.recalibrate_batchnorm: the statistics of the samples themselves, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ShapeError
from tinyres.ops.random import default_generator

RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, size=(50, 4)).astype(np.float32)


def test_one_layer_gets_mean_and_variance_over_all_samples_whatever_the_batch() -> None:
    for batch_size in (50, 16, 7):
        model = tr.Sequential([tr.Input(shape=(4,)), layers.BatchNorm()])
        model.recalibrate_batchnorm(X, batch_size)
        (norm,) = model.layers
        np.testing.assert_allclose(norm.moving_mean.numpy(), X.mean(0), rtol=1e-5)
        np.testing.assert_allclose(norm.moving_variance.numpy(), X.var(0), rtol=1e-4)
        assert norm.momentum == 0.99


def test_inference_then_is_training_on_the_whole_batch() -> None:
    inputs = tr.Input(shape=(4,))
    x = layers.BatchNorm()(layers.Dense(8, activation="relu")(inputs))
    model = tr.Model(inputs, layers.BatchNorm()(layers.Dense(3)(x)))
    model.recalibrate_batchnorm(X)
    np.testing.assert_allclose(model(X, training=False).numpy(), model(X, training=True).numpy(), atol=1e-4)


def test_nothing_else_changes() -> None:
    tr.manual_seed(0)
    frozen = layers.BatchNorm(name="frozen")
    model = tr.Sequential([tr.Input(shape=(4,)), layers.Dropout(0.5), frozen, layers.Dense(3), layers.BatchNorm()])
    frozen.trainable = False
    kept = {name: w.numpy() for name, w in model.named_weights().items()}
    state = default_generator().state.array.copy()
    model.recalibrate_batchnorm(X)
    changed = {name for name, w in model.named_weights().items() if w.numpy().tobytes() != kept[name].tobytes()}
    assert changed == {"batch_normalization/moving_mean", "batch_normalization/moving_variance"}
    assert all(p.grad is None for p in model.parameters())
    assert (default_generator().state.array == state).all()


def test_a_failure_leaves_the_statistics_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tr.Sequential([tr.Input(shape=(4,)), layers.BatchNorm()])
    (norm,) = model.layers
    calls = []
    genuine = type(norm).call

    def call(self: layers.BatchNorm, x: tr.Tensor, training: bool = False) -> tr.Tensor:
        calls.append(x)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return genuine(self, x, training)

    monkeypatch.setattr(type(norm), "call", call)
    with pytest.raises(KeyboardInterrupt):
        model.recalibrate_batchnorm(X, batch_size=10)
    assert (norm.moving_mean.numpy() == 0).all() and (norm.moving_variance.numpy() == 1).all()
    assert norm.momentum == 0.99


def test_no_samples_are_refused() -> None:
    model = tr.Sequential([tr.Input(shape=(4,)), layers.BatchNorm()])
    with pytest.raises(ShapeError, match="there must be at least one sample; got x of shape"):
        model.recalibrate_batchnorm(X[:0])
