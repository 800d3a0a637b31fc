"""What the experiments train on: the bundled digits with noise, so that there is something to learn for deep nets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyres.data import load_digits
from tinyres.errors import NonFiniteError
from tinyres.model import Model
from tinyres.ops.random import Generator, manual_seed
from tinyres.optim import SGD

LOSS = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class Digits:
    """Standardised digits with Gaussian noise: float32 (n, 64) and labels, to train and to test on."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def noisy_digits(noise: float = 1.0, seed: int = 0) -> Digits:
    """The bundled digits, features of mean 0 and variance 1, plus noise of this standard deviation."""
    (x_train, y_train), (x_test, y_test) = load_digits()
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    scale = np.where(std > 0, std, 1)
    rng = Generator(seed).numpy()

    def prepared(x: np.ndarray) -> np.ndarray:
        return ((x - mean) / scale + noise * rng.standard_normal(x.shape)).astype(np.float32)

    return Digits(prepared(x_train), y_train, prepared(x_test), y_test)


@dataclass(frozen=True)
class Errors:
    """1 - accuracy in training and test; both None if the loss diverged."""

    train: float | None
    test: float | None

    @property
    def diverged(self) -> bool:
        """Whether the loss became NaN or infinite."""
        return self.train is None


def trained(model: Model, data: Digits, epochs: int, lr: float = 0.02, batch_size: int = 50) -> Errors:
    """Train a classifier with SGD and momentum 0.9, then measure it in inference."""
    model.compile(SGD(lr=lr, momentum=0.9), loss=LOSS, metrics=["accuracy"])
    try:
        model.fit(data.x_train, data.y_train, batch_size=batch_size, epochs=epochs, verbose=0)
    except NonFiniteError:
        return Errors(None, None)
    return Errors(
        1 - model.evaluate(data.x_train, data.y_train)[1],
        1 - model.evaluate(data.x_test, data.y_test)[1],
    )


def mean_errors(make: Callable[[], Model], data: Digits, epochs: int, seeds: int, lr: float = 0.02) -> Errors:
    """The mean over `seeds` nets with weights and order of their own; diverged if one of them did."""
    runs = []
    for seed in range(seeds):
        manual_seed(seed)
        runs.append(trained(make(), data, epochs, lr))
    train = [run.train for run in runs if run.train is not None]
    test = [run.test for run in runs if run.test is not None]
    if len(train) < seeds:
        return Errors(None, None)
    return Errors(float(np.mean(train)), float(np.mean(test)))
