"""Nets of one depth that differ in one thing: what the demo and the experiments train and look into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres.engine.state import name_scope
from tinyres.layers import blocks as presets
from tinyres.layers.dense import Dense
from tinyres.model import Model
from tinyres.nn.operators import Input

# name -> (block preset, what it is in words)
NETS: dict[str, tuple[Callable[..., Any], str]] = {
    "plain": (presets.plain, "Dense + ReLU, Glorot: what explainers show"),
    "residual": (presets.residual, "plain with Add, nothing else changed"),
    "plain_bn": (presets.plain_batchnorm, "plain with BatchNorm"),
    "tutorial": (presets.tutorial, "Dense+ReLU, BN, Dense, BN, Add, ReLU"),
    "preact": (presets.preact, "BN, ReLU, Dense twice, then Add"),
}

# Pairs of nets that differ in exactly one thing, and that thing.
DIFFER_IN_ONE: list[tuple[str, str, str]] = [
    ("plain", "residual", "Add"),
    ("plain", "plain_bn", "BatchNorm"),
    ("plain_bn", "tutorial", "Add"),
    ("residual", "tutorial", "BatchNorm in the branch"),
]


def stack(
    block: Callable[..., Any],
    blocks: int,
    units: int,
    features: int,
    outputs: int,
    head: str | None = "softmax",
    **options: Any,
) -> Model:
    """A net of `blocks` blocks, each under its own name_scope, between an optional stem and a head of this activation.

    The stem, a Dense+ReLU, is there only where `features` differs from `units`.
    """
    inputs = x = Input(shape=(features,))
    if features != units:
        x = Dense(units, activation="relu", name="stem")(x)
    for i in range(blocks):
        with name_scope(f"block{i}"):
            x = block(x, units, **options)
    return Model(inputs, Dense(outputs, activation=head, name="head")(x))
