"""Random Tensors: their distribution, the same on both backends, and anew in each replay."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, DTypeError, ShapeError


def test_uniform_numbers_are_the_generators_own() -> None:
    x = tr.rand(3, 50, generator=tr.Generator(7)).numpy()
    y = tr.rand((150,), generator=tr.Generator(7), dtype="float64").numpy()
    assert x.shape == (3, 50) and np.array_equal(x.ravel(), y.astype(np.float32))
    assert 0 <= x.min() and x.max() < 1


def test_normal_numbers_are_normal() -> None:
    x = np.sort(tr.randn(20_000, generator=tr.Generator(1)).numpy().astype(float))
    normal = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    assert np.abs(normal - (np.arange(20_000) + 0.5) / 20_000).max() < 1.63 / math.sqrt(20_000)  # Kolmogorov, 1%
    y = tr.randn(20_000, generator=tr.Generator(1), dtype="float64").numpy()
    assert np.allclose(np.sort(y), x, atol=1e-5)


def test_a_replay_draws_anew_what_eager_would_draw() -> None:
    for draw in (tr.rand, tr.randn):
        tr.manual_seed(0)
        eager = [draw(5).tolist() for _ in range(3)]
        tr.manual_seed(0)
        step = tr.capture(lambda draw=draw: draw(5))
        assert [step().tolist() for _ in range(3)] == eager and eager[0] != eager[1]


def test_noise_is_added_in_training_only() -> None:
    layer, x = tr.layers.GaussianNoise(0.5, seed=0), tr.zeros((4000,))
    assert layer(x).tolist() == x.tolist()
    assert abs(float(layer(x, training=True).numpy().std()) - 0.5) < 0.02


def test_noise_is_multiplied_in_training_only() -> None:
    """Of mean 1 and variance rate / (1 - rate), as in Keras."""
    layer, x = tr.layers.GaussianDropout(0.2, seed=0), tr.full((40_000,), 3.0)
    assert layer(x).tolist() == x.tolist()
    y = layer(x, training=True).numpy()
    assert abs(float(y.mean()) - 3.0) < 0.03 and abs(float(y.std()) - 1.5) < 0.03
    words = r"\[GaussianDropout\] the rate is the share to drop, 0 <= rate < 1; got 1; choose one"
    with pytest.raises(ArgumentError, match=words):
        tr.layers.GaussianDropout(1)


def test_what_is_no_shape_is_told() -> None:
    with pytest.raises(ShapeError, match=r"\[rand\] a shape is made of sizes from 0 on; got \(2, -1\)"):
        tr.rand(2, -1)
    with pytest.raises(DTypeError, match=r"\[randn\] random numbers are floats; got dtype=int64"):
        tr.randn(2, dtype="int64")
