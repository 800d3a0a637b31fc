"""Small models of layers for tests, data for them, and what is compared of them."""

from __future__ import annotations

import numpy as np

import tinyres as tr
from tinyres import layers


def residual_block(x, units):
    """As tutorials write it."""
    shortcut = x
    x = layers.Dense(units, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(units)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Add()([x, shortcut])
    x = layers.Activation("relu")(x)
    return x


def classifier(units=16, dropout=0.0, dtype="float32"):
    inputs = tr.Input(shape=(6,))
    with tr.name_scope("block0"):
        x = layers.Dense(units, activation="relu")(inputs)
        x = layers.BatchNormalization()(x)
        x = layers.Dropout(dropout)(x) if dropout else x
        x = layers.Add()([layers.Dense(units)(x), x])
    model = tr.Model(inputs, layers.Dense(3, activation="softmax")(x))
    return model if dtype == "float32" else model.astype(dtype)


def labelled(n=50, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5)


def compiled(optimizer="adam", seed=0, metrics=("accuracy",), **options):
    tr.manual_seed(seed)
    model = classifier(**options)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


def fit(model, *data, **options):
    return model.fit(*data, verbose=0, **options)
