"""Weights of Keras 3, from the files that Keras itself wrote, whatever its layers are called."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

import tinyres as tr  # noqa: E402
from tinyres.errors import FileError  # noqa: E402

# Keras asks its tensors for arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
RNG = np.random.default_rng(0)

LAYERS: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "Dense": ((4,), lambda layers: layers.Dense(3)),
    "Conv2D": ((8, 8, 4), lambda layers: layers.Conv2D(5, 3, strides=2, padding="same")),
    "Conv1D": ((8, 4), lambda layers: layers.Conv1D(5, 3)),
    "Conv2DTranspose": ((8, 8, 4), lambda layers: layers.Conv2DTranspose(5, 3, strides=2)),
    "DepthwiseConv2D": ((8, 8, 4), lambda layers: layers.DepthwiseConv2D(3, depth_multiplier=2)),
    "SeparableConv2D": ((8, 8, 4), lambda layers: layers.SeparableConv2D(5, 3)),
    "BatchNormalization": ((8, 8, 4), lambda layers: layers.BatchNormalization()),
    "LayerNormalization": ((8, 4), lambda layers: layers.LayerNormalization()),
    "RMSNormalization": ((8, 4), lambda layers: layers.RMSNormalization()),
    "GroupNormalization": ((8, 8, 4), lambda layers: layers.GroupNormalization(2)),
    "PReLU": ((4,), lambda layers: layers.PReLU()),
}


def residual(library: Any) -> Any:
    """Layers of one class at several places, a net within the net, attention, a skip."""
    layers = library.layers
    inputs = library.Input(shape=(8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.Reshape((64, 4))(layers.Add()([y, x]))
    x = layers.Add()([layers.MultiHeadAttention(2, 3)(x, x), x])
    inner = library.Input(shape=(64, 4))
    x = library.Model(inner, layers.Dense(5)(layers.Dense(4, activation="relu")(inner)))(x)
    x = library.Sequential([library.Input(shape=(64, 5)), layers.Dense(4)])(x)
    return library.Model(inputs, layers.Dense(3)(layers.LayerNormalization()(x)))


def randomised(model: Any) -> Any:
    for weight in model.weights:
        weight.assign(RNG.uniform(0.1, 1.0, size=weight.shape))
    return model


def alike(mine: Any, theirs: Any, shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=(2, *shape)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(theirs(x))
    np.testing.assert_allclose(mine.predict(x), expected, rtol=1e-5, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_of_keras_comes_over(kind: str, tmp_path: Path) -> None:
    shape, make = LAYERS[kind]
    theirs = randomised(keras.Sequential([keras.Input(shape=shape), make(keras.layers)]))
    theirs.save_weights(tmp_path / "w.weights.h5")
    mine = tr.Sequential([tr.Input(shape=shape), make(tr.layers)])
    loaded = mine.load_weights(tmp_path / "w.weights.h5")
    assert loaded and len(loaded.matched) == len(theirs.weights)
    alike(mine, theirs, shape)


@pytest.mark.parametrize("name", ["w.weights.h5", "w.keras"])
def test_a_net_of_keras_comes_over_and_trained_ones_too(name: str, tmp_path: Path) -> None:
    theirs = randomised(residual(keras))
    theirs.compile("adam", "mse")
    (theirs.save if name.endswith(".keras") else theirs.save_weights)(tmp_path / name)
    mine = residual(tr)
    assert len(mine.load_weights(tmp_path / name).matched) == len(theirs.weights)
    alike(mine, theirs, (8, 8, 3))


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    keras.Sequential([keras.Input(shape=(4,)), keras.layers.Dense(3)]).save_weights(tmp_path / "w.weights.h5")
    model = tr.Sequential([tr.Input(shape=(4,)), tr.layers.Dense(3), tr.layers.Dense(3)])
    before = model.get_weights()
    with pytest.raises(FileError, match="2 weights matched; 2 are not in the file"):
        model.load_weights(tmp_path / "w.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
