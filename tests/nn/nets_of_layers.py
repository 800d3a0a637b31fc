"""A small residual net of layers, and data for it."""

from __future__ import annotations

import numpy as np
from small_models import residual_block

import tinyres as tr
from tinyres import layers
from tinyres.model import Model

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def residual_net(blocks=2, units=4, scoped=True):
    inputs = x = layers.Input(shape=(units,))
    for i in range(blocks):
        if scoped:
            with tr.name_scope(f"block{i}"):
                x = residual_block(x, units)
        else:
            x = residual_block(x, units)
    return Model(inputs, layers.Dense(3, activation="softmax")(x))
