"""U-Nets written by hand, right ones and ones with a mistake at a level."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

import tinyres as tr
from tinyres import layers

_RNG = np.random.default_rng(0)
X, Y = (_RNG.standard_normal((4, 16, 16, 1)).astype("float32") for _ in range(2))


def conv(x: Any, filters: int, size: int = 3, strides: int = 1) -> Any:
    return layers.Conv2D(filters, size, strides, padding="same")(x)


def block(x: Any, filters: int, residual: bool) -> Any:
    y = conv(layers.ReLU()(conv(x, filters)), filters)
    if residual:
        y = layers.Add()([y, x if x.shape[-1] == filters else conv(x, filters, 1)])
    return layers.ReLU()(y)


def by_hand(
    levels: int = 3, join: str = "concatenate", residual: bool = False, scoped: bool | str = False,
    plant: str = "", at: int = 0, strided: bool = False,
) -> tr.Model:  # fmt: skip
    """levels: sizes of images. scoped: by halves, or "levels". plant: what is wrong with the skip of level `at`, of
    which 0 is the finest."""
    tr.manual_seed(0)
    half = tr.name_scope if scoped is True else lambda name: contextlib.nullcontext()
    level = tr.name_scope if scoped == "levels" else lambda name: contextlib.nullcontext()
    widths = [8 * 2**i if join == "concatenate" else 8 for i in range(levels)]
    inputs = tr.Input(shape=X.shape[1:])
    x, across = conv(inputs, widths[0]), []
    with half("encoder"):
        for i, filters in enumerate(widths[:-1]):
            with level(f"down{i}"):
                x = block(x, filters, residual)
            across.append(x)
            x = conv(x, filters, strides=2) if strided else layers.MaxPool2D(2)(x)
    with level("middle"):
        x = block(x, widths[-1], residual)
    if plant == "crossed":
        fine, coarse = across[at], across[at + 1]
        across[at], across[at + 1] = layers.UpSampling2D(2)(coarse), layers.MaxPool2D(2)(fine)
    with half("decoder"):
        for i in reversed(range(levels - 1)):
            with level(f"up{i}"):
                x = conv(layers.UpSampling2D(2)(x), widths[i])
                x = block(joined(x, across[i], join, plant if i == at else ""), widths[i], residual)
    model = tr.Model(inputs, conv(x, 1, 1))
    model.compile("adam", "mse")
    return model


def joined(x: Any, across: Any, join: str, plant: str) -> Any:
    merge = layers.Concatenate() if join == "concatenate" else layers.Add()
    if plant == "missing":
        return x
    if plant == "scaled":
        across = across * 0.5
    if plant == "detached":
        across = layers.Lambda(lambda t: t.detach())(across)
    return merge([x, across, across] if plant == "doubled" else [x, across])


def no_u(kind: str) -> tr.Model:
    """Nets with skips that lead over nothing smaller, or over something that is not all there is."""
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=X.shape[1:])
    x = shortcut = conv(x, 8)
    if kind == "bottleneck":
        x = layers.Add()([conv(conv(layers.ReLU()(conv(x, 2, 1)), 2), 8, 1), shortcut])
    elif kind == "dense net":
        x = layers.Concatenate()([conv(x, 4), shortcut])
    elif kind == "stage":
        x = layers.Add()([conv(conv(x, 16, 3, 2), 16), conv(shortcut, 16, 1, 2)])
    elif kind == "mixer":
        y = layers.Permute((2, 1))(layers.Reshape((256, 8))(x))
        y = layers.Dense(256)(layers.Dense(512, "relu")(y))
        x = layers.Add()([layers.Reshape((16, 16, 8))(layers.Permute((2, 1))(y)), shortcut])
    elif kind == "squeezed":
        scale = layers.Dense(8, "sigmoid")(layers.GlobalAveragePooling2D()(x))
        x = layers.Add()([conv(x, 8) * layers.Reshape((1, 1, 8))(scale), shortcut])
    model = tr.Model(inputs, conv(x, 1, 1))
    model.compile("adam", "mse")
    return model
