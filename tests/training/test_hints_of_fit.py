"""What `fit` says of targets that cannot be meant, once, and of which it must be silent."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.nn import hints

X = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)


def heard(monkeypatch, units, activation, loss, y):
    """The words of the warnings of one epoch."""
    monkeypatch.setattr(hints, "_said", set())
    model = tr.Sequential([layers.Dense(units, activation=activation)])
    model.compile("sgd", loss=loss)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, epochs=2, verbose=0)
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def mean_square(prediction, target):
    return ((prediction - target) ** 2).mean()


@pytest.mark.parametrize(
    ("units", "activation", "loss", "y"),
    [
        (3, "softmax", "sparse_categorical_crossentropy", np.ones(8, int)),
        (1, "sigmoid", "binary_crossentropy", np.zeros(8)),
        (1, "sigmoid", "binary_crossentropy", np.ones((8, 1), np.float32)),
    ],
)
def test_one_class_only_is_said(monkeypatch, units, activation, loss, y):
    (words,) = heard(monkeypatch, units, activation, loss, y)
    assert words.startswith(f"[fit] labels tell classes apart; got 8 samples and {y.flat[0]:g} as the label of all")


@pytest.mark.parametrize(
    ("units", "activation", "loss", "y"),
    [
        (3, "softmax", "sparse_categorical_crossentropy", np.r_[np.ones(7, int), 0]),
        (1, "sigmoid", "binary_crossentropy", np.r_[np.ones(7), 0]),
        (1, "sigmoid", "binary_crossentropy", np.full(8, 0.5)),
        (2, "sigmoid", "binary_crossentropy", np.ones((8, 2))),
        (1, None, "mse", np.ones(8)),
        (1, None, mean_square, np.ones(8)),
        (1, None, mean_square, np.ones((8, 1))),
        (3, None, lambda p, t: (p[:, :1] * t.reshape(8, 1)).mean(), np.ones(8, int)),
        (3, None, lambda p, t: (p.mean() - t.mean()) ** 2, np.ones((8, 2))),
    ],
)
def test_targets_that_can_be_meant_are_not_spoken_of(monkeypatch, units, activation, loss, y):
    assert heard(monkeypatch, units, activation, loss, y) == []


@pytest.mark.parametrize(("units", "shape"), [(1, (8, 3)), (3, (8, 1))])
def test_a_loss_of_ones_own_that_broadcasts_is_said(monkeypatch, units, shape):
    """It trained each output against the mean of three targets, and said nothing."""
    (words,) = heard(monkeypatch, units, None, mean_square, np.ones(shape))
    assert words.startswith("[fit] a loss holds each output against one target; got a prediction of shape")
    assert f"(8, {units}) and targets of shape {shape}, which broadcast where mean_square" in words


def test_a_batch_of_one_class_out_of_many_is_not_spoken_of(monkeypatch):
    monkeypatch.setattr(hints, "_said", set())
    model = tr.Sequential([layers.Dense(2, activation="softmax")])
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    y = np.repeat([0, 1], 4)
    model.train_on_batch(X[:4], y[:4])
    model.evaluate(X[:4], y[:4], verbose=0)
    model.fit(((X[i : i + 4], y[i : i + 4]) for i in (0, 4)), verbose=0)
    model.fit(X, y, validation_data=(X[:4], y[:4]), verbose=0)
