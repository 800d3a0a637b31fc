"""Nets of blocks with two branches, attention and feed-forward, for the tests of traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyres as tr
from tinyres import layers

Block = Callable[[Any, int], Any]


def attention(x: Any, units: int) -> Any:
    """Of each token to all, in two heads."""
    return layers.MultiHeadAttention(2, units // 2)(x, x)


def feed_forward(x: Any, units: int) -> Any:
    """Four times as wide within, with a ReLU."""
    return layers.Dense(units)(layers.Dense(4 * units, activation="relu")(x))


def pre_norm(x: Any, units: int) -> Any:
    """x + F(norm(x)), twice."""
    x = layers.Add()([attention(layers.LayerNormalization()(x), units), x])
    return layers.Add()([feed_forward(layers.LayerNormalization()(x), units), x])


def post_norm(x: Any, units: int) -> Any:
    """norm(x + F(x)), twice."""
    x = layers.LayerNormalization()(layers.Add()([attention(x, units), x]))
    return layers.LayerNormalization()(layers.Add()([feed_forward(x, units), x]))


def model_of(
    block: Block, depth: int, units: int = 8, tokens: int = 5, scope: str | None = "block{}", classes: int = 10
) -> tr.Model:
    """`depth` blocks and a classifier of every token."""
    inputs = x = tr.Input(shape=(tokens, units), name="x")
    for i in range(depth):
        if scope is None:
            x = block(x, units)
        else:
            with tr.name_scope(scope.format(i)):
                x = block(x, units)
    model = tr.Model(inputs, layers.Dense(classes, name="head")(x))
    model.compile(loss=layers.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def graph_of(model: tr.Model, batch: int = 4, seed: int = 0, classes: int = 10) -> tr.Graph:
    """Its graph on white tokens with labels."""
    rng = np.random.default_rng(seed)
    tokens, units = model.inputs[0].shape[1:]
    return model.graph(rng.standard_normal((batch, tokens, units)), rng.integers(0, classes, (batch, tokens)))
