"""Single paths through a net: all of them together are the gradient, and they are what one-sided cuts leave."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError
from tinyres.layers.blocks import PRESETS
from tinyres.study.nets import stack
from tinyres.study.single_paths import PathNorms, SinglePaths

X = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
Y = np.arange(16) % 3
SPARSE = "sparse_categorical_crossentropy"


@pytest.mark.parametrize("preset", ["he2015", "preact", "rezero"])
def test_all_paths_sum_to_the_gradient(preset: str) -> None:
    tr.manual_seed(0)
    model = stack(PRESETS[preset], 4, 8, 4, 3)
    paths = SinglePaths(model, X, Y, SPARSE)
    assert paths.blocks == 4
    every = [{i for i in range(4) if mask >> i & 1} for mask in range(16)]
    whole = model.graph(X, Y, loss=SPARSE).trace(arrays=True)["input"].grad
    np.testing.assert_allclose(sum(paths.gradient(chosen) for chosen in every), whole, rtol=1e-4, atol=1e-6)


def test_paths_of_one_length_sum_to_the_signed_share() -> None:
    tr.manual_seed(0)
    model = stack(PRESETS["he2015"], 3, 8, 4, 3)
    paths, spectrum = SinglePaths(model, X, Y, SPARSE), model.graph(X, Y, loss=SPARSE).paths()
    for k, chosen in ((0, [set()]), (1, [{0}, {1}, {2}]), (3, [{0, 1, 2}])):
        together = sum(paths.gradient(blocks) for blocks in chosen)
        assert np.linalg.norm(together) == pytest.approx(spectrum.norms[k], rel=1e-4)


def test_norms_times_numbers_of_paths() -> None:
    assert PathNorms((1.0, 1.0, 1.0)).shares == [0.25, 0.5, 0.25]
    assert PathNorms((0.0, 0.0)).shares == [0.0, 0.0]


def test_nothing_is_left_changed() -> None:
    model = stack(PRESETS["he2015"], 2, 8, 4, 3)
    before = [w.copy() for w in model.get_weights()]
    SinglePaths(model, X, Y, SPARSE).norms([0, 1, 2], samples=2)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    assert all(p.grad is None for p in model.parameters())


def test_a_net_without_skips_is_refused() -> None:
    x = tr.Input(shape=(4,))
    with pytest.raises(ArgumentError, match="the model must have residual blocks; got none"):
        SinglePaths(tr.Model(x, layers.Dense(3, activation="softmax")(x)), X, Y, SPARSE)
