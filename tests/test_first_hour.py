"""The mistakes of a first hour: each is an error that says what came and what to do, before anything has changed."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import TinyresError

X = np.random.default_rng(0).normal(size=(12, 4))
Y = np.arange(12) % 3
SPARSE = "sparse_categorical_crossentropy"


def net(*stack, loss=SPARSE, shape=(4,), **options):
    model = tr.Sequential([tr.Input(shape=shape), *(stack or (layers.Dense(3, activation="softmax"),))])
    model.compile(**{"optimizer": "adam", "loss": loss, **options})
    return model


MISTAKES = [
    (lambda: tr.Sequential([layers.Dense(3)]).fit(X, Y), "call model.compile(...) first"),
    (lambda: net().fit(X.T, Y), "got (4, 12); this model was built for 4 features"),
    (lambda: net().fit(X, Y[:5]), "the same number of samples; got 12 and 5; cut one"),
    (lambda: net().fit(X, ["cat", "dog", "cow"] * 4), "got strings ('cat', ...); number them with"),
    (lambda: net().fit(X, Y + 1), "labels lie in 0..2, one for each output of the model; got 1 to 3; number them"),
    (lambda: net().fit(X, np.eye(3)[Y]), 'for one-hot targets use loss="categorical_crossentropy"'),
    (lambda: net(loss="categorical_crossentropy").fit(X, Y), f'for integer labels use loss="{SPARSE}"'),
    (lambda: net(loss="mse").fit(X, Y), f'for integer labels use loss="{SPARSE}"'),
    (lambda: net(layers.Dense(1, activation="softmax"), loss="binary_crossentropy"), 'use activation="sigmoid"'),
    (lambda: net(layers.Dense(1, activation="sigmoid"), loss="binary_crossentropy").fit(X, Y), "one-hot encode y"),
    (lambda: net(shape=(8, 8)).fit(np.zeros((12, 8, 8)), Y), "put layers.Flatten() before the end"),
    (lambda: net(loss="categorical_crossentorpy"), "got 'categorical_crossentorpy'; use one, or a function"),
    (lambda: net(optimizer="adamm"), "['adam', 'adamw', 'nadam', 'rmsprop', 'sgd'] or made by tr.optim; got 'adamm'"),
    (lambda: net(metrics=["acuracy"]), "got 'acuracy'; choose one of them"),
    (lambda: net(metrics="accuracy"), "metrics come as a list; got 'accuracy'; write metrics=[\"accuracy\"]"),
    (lambda: net().compile("adam", SPARSE, optimiser="sgd"), "no option optimiser; got 'sgd'; it takes optimizer"),
    (lambda: layers.Dense(3, activation="rellu"), "got 'rellu'; use one, or your own function"),
    (lambda: layers.Dence(3), "; the nearest are Dense"),
    (lambda: net().get_layer("dens"), "got 'dens'; the layers are input, dense"),
    (lambda: net().graph(X, Y).trace()["dens"], "got 'dens'; the nearest are dense"),
    (lambda: net().graph(X), "[graph] y is needed; got None"),
    (lambda: net().predict(X[0]), "got (4,); a single sample is x[None]"),
    (lambda: net().fit(np.where(X > 1, np.nan, X), Y), "NaN or infinite value(s), the first is nan at ("),
    (lambda: net().fit(X.astype(str), Y), "encode them as numbers first"),
    (lambda: net().fit([[1, 2, 3, 4], [1, 2]], Y[:2]), "make all rows the same length"),
    (lambda: net().fit(X), "[fit] y is needed; got None"),
    (lambda: net().fit(X, Y, epochs="3"), "epochs is an integer >= 0; got '3'"),
    (lambda: net().fit(X, Y, ephocs=3), "no option ephocs; got 3; it takes x, y, batch_size, epochs"),
    (lambda: net().save("model"), "name it model.npz"),
    (lambda: tr.load("nothere.npz"), "'nothere.npz' is not there; check the path"),
    (lambda: tr.Sequential([layers.Dense]), "it takes layers"),
    (lambda: layers.Add()([tr.Input(shape=(4,)), tr.Input(shape=(3,))]), "as by a layers.Dense on the skip"),
    (lambda: layers.Dense(3)([1.0, 2.0]), "for one sample use x.reshape(1, -1)"),
    (lambda: layers.Dense(), "it takes (units"),
    (lambda: tr.optim.SGD(0.1), "write SGD(lr=0.1)"),
    (lambda: tr.tensor([1.0, 2.0], requires_grad=True).backward(), "reduce it with .mean() or .sum()"),
    (lambda: tr.tensor([1.0]).sum().backward(), "give an input requires_grad=True"),
    (lambda: tr.callbacks.EarlyStoping(), "; the nearest are EarlyStopping"),
    (lambda: tr.optim.Adagrad(lr=0.1), "tinyres has no optim.Adagrad; got this name; it has"),
    (lambda: layers.blocks.preactt, "; the nearest are preact"),
    (lambda: tr.losses.MeanSquareError(), "; the nearest are MeanSquaredError"),
    (lambda: tr.metrics.Acuracy(), "; the nearest are Accuracy"),
    (lambda: tr.nn.Linear(3, 4), "use tinyres.layers.Dense(units)"),
    (lambda: tr.GradientTape(), "compute the loss, then loss.backward(); gradients stand in .grad"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_a_mistake_is_told_with_what_to_do(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    act, words = MISTAKES[number]
    with pytest.raises(TinyresError, match=re.escape(words)):
        act()
    assert not list(tmp_path.iterdir())


def test_what_was_mended_trains():
    model = net()
    with pytest.raises(TinyresError):
        model.fit(X, Y + 1, verbose=0)
    assert len(model.fit(X, Y, epochs=2, verbose=0).history["loss"]) == 2
