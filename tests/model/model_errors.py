"""A model to give bad input to, and all of its state that bad input must leave alone."""

from __future__ import annotations

import numpy as np

import tinyres as tr
from tinyres import layers
from tinyres.ops.random import default_generator

X = np.random.default_rng(0).normal(size=(12, 4))
Y = np.arange(12) % 3


def classifier(loss="sparse_categorical_crossentropy", units=3, activation="softmax", **options):
    inputs = tr.Input(shape=(4,))
    x = layers.Dropout(0.1)(layers.BatchNormalization()(layers.Dense(5, activation="relu")(inputs)))
    model = tr.Model(inputs, layers.Dense(units, activation=activation)(x))
    model.compile("adam", loss, **options)
    return model


def everything(model):
    """All state that a failed call must leave alone."""
    names = {id(p): str(i) for i, p in enumerate(model.optimizer.params)}
    state = {key: value.tobytes() for key, value in model.optimizer.state(names).items()}
    return [w.tobytes() for w in model.get_weights()], state, default_generator().state.array.tolist(), model.epoch
