"""Parts of nets of known build that the tables share, and traces of what they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from planted_bugs import LayerNorm
from told_others import Block

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks as presets
from tinyres.trace import Trace


def residual(branch: Block, behind: Block | None = None) -> Block:
    """x plus a branch of x."""

    def block(x: Any) -> Any:
        y = layers.Add()([branch(x), x])
        return behind(y) if behind else y

    return block


def in_a_row(*parts: Block) -> Block:
    def block(x: Any) -> Any:
        for part in parts:
            x = part(x)
        return x

    return block


def kernels(initializer: Any, units: int | None = None) -> Block:
    return lambda x: layers.Dense(units or x.shape[-1], kernel_initializer=initializer)(x)


def batchnorm(x: Any) -> Any:
    return layers.BatchNorm()(x)


def relu(x: Any) -> Any:
    return layers.ReLU()(x)


def layer_norm(x: Any) -> Any:
    return LayerNorm()(x)


def preset(name: str, **options: Any) -> Block:
    return lambda x: presets.PRESETS[name](x, x.shape[-1], **options)


def gated(bias: float) -> Block:
    """A highway's block (Srivastava et al. 2015)."""

    def block(x: Any) -> Any:
        gate = layers.Dense(64, activation="sigmoid", bias_initializer=tr.initializers.Constant(bias))(x)
        return layers.Dense(64, activation="relu", kernel_initializer="he_normal")(x) * gate + x * (1.0 - gate)

    return block


def growing(normalised: bool) -> Block:
    """A block of a dense net (Huang et al. 2017)."""

    def block(x: Any) -> Any:
        h = layers.ReLU()(layers.BatchNorm()(x)) if normalised else x
        h = layers.Dense(16, activation=None if normalised else "relu", kernel_initializer="he_normal")(h)
        return layers.Concatenate()([x, h])

    return block


def fed(blocks: Sequence[Block], data: Callable[[np.random.Generator], Any], loss: str = "") -> Callable[[], Trace]:
    """A trace of these blocks on this data; loss: of a net that ends in one unit, "" for a classifier."""

    def traced() -> Trace:
        tr.manual_seed(0)
        rng = np.random.default_rng(0)
        inputs = x = tr.Input(shape=(64,))
        for i, block in enumerate(blocks):
            with tr.name_scope(f"block{i}"):
                x = block(x)
        head = layers.Dense(1, name="head") if loss else layers.Dense(10, activation="softmax", name="head")
        model = tr.Model(inputs, head(x))
        model.compile(loss=loss or "sparse_categorical_crossentropy")
        targets = 100 + 5 * rng.standard_normal((128, 1)) if loss else rng.integers(0, 10, 128)
        return model.graph(data(rng), targets).trace(audit=False)

    return traced


def images(block: Block, depth: int) -> Callable[[], Trace]:
    """A trace of blocks of convolutions on 8 x 8 images."""

    def traced() -> Trace:
        tr.manual_seed(0)
        rng = np.random.default_rng(0)
        inputs = tr.Input(shape=(8, 8, 3))
        x = convolution("he_normal")(inputs)
        for i in range(depth):
            with tr.name_scope(f"block{i}"):
                x = block(x)
        x = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
        model = tr.Model(inputs, x)
        model.compile(loss="sparse_categorical_crossentropy")
        return model.graph(rng.standard_normal((32, 8, 8, 3)), rng.integers(0, 10, 32)).trace(audit=False)

    return traced


def convolution(initializer: Any) -> Block:
    return lambda x: layers.Conv2D(8, 3, padding="same", kernel_initializer=initializer)(x)


def white(rng: np.random.Generator) -> Any:
    return rng.standard_normal((128, 64))
