"""The train step in tinyres: eager, captured, and as `Model.fit` runs it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import stepping

import tinyres as tr
from steps.contenders import Step
from steps.task import BATCHNORM_MOMENTUM, CLASSES, EPSILON, LEARNING_RATE, MOMENTUM, Size, Weights
from tinyres import layers


def eager(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    step, inputs, targets = train_step(size, weights), tr.tensor(x), tr.tensor(labels, dtype="int64")
    return lambda: step(inputs, targets)


def captured(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    step = tr.capture(train_step(size, weights))
    return lambda: step(x, labels)


def fit(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    """What `Model.fit` replays: the step with its check of the loss and its running mean."""
    step = tr.capture(_compiled(size, weights).train_step)
    return lambda: step(x, labels)[0]


def fit_watched(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    """The same as with `fit(watch=1)`: the norm of every layer's gradient, at every step."""
    step = tr.capture(_compiled(size, weights).train_step)
    return lambda: step(x, labels, watch=True)[0]


def net(size: Size) -> tr.Model:
    """The net of the task; its parameters have the names of `task.first_weights`."""
    inputs = tr.Input(shape=(64,))
    x = layers.Dense(size.units, activation="relu", name="stem")(inputs)
    for i in range(size.blocks):
        with tr.name_scope(f"block{i}"):
            shortcut = x
            x = layers.Dense(size.units, activation="relu", name="dense")(x)
            x = layers.BatchNorm(BATCHNORM_MOMENTUM, EPSILON, name="norm")(x)
            x = layers.Dense(size.units, name="dense_1")(x)
            x = layers.BatchNorm(BATCHNORM_MOMENTUM, EPSILON, name="norm_1")(x)
            x = layers.ReLU()(x + shortcut)
    return tr.Model(inputs, layers.Dense(CLASSES, name="head")(x))


def _with_weights(size: Size, weights: Weights) -> tr.Model:
    model = net(size)
    for name, parameter in model.named_parameters().items():
        parameter.assign(weights[name])
    return model


def _optimizer() -> tr.optim.Optimizer:
    return tr.optim.SGD(lr=LEARNING_RATE, momentum=MOMENTUM)


def _compiled(size: Size, weights: Weights) -> tr.Model:
    model = _with_weights(size, weights)
    model.compile(_optimizer(), loss=tr.losses.softmax_cross_entropy)
    return model


def train_step(size: Size, weights: Weights) -> Callable[[tr.Tensor, tr.Tensor], tr.Tensor]:
    model, optimizer = _with_weights(size, weights), _optimizer()
    optimizer.bind(model.parameters())
    return stepping.train_step(model, optimizer)
