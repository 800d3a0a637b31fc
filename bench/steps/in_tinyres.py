"""The train step in tinyres: eager, and captured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from steps.contenders import Step
from steps.task import BATCHNORM_MOMENTUM, CLASSES, EPSILON, LEARNING_RATE, MOMENTUM, Size, Weights

import tinyres as tr
from tinyres import layers
from tinyres.backends import native


def eager(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    step, inputs, targets = _step(size, weights), tr.tensor(x), tr.tensor(labels, dtype="int64")
    return lambda: step(inputs, targets)


def captured(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    step = tr.capture(_step(size, weights))
    return lambda: step(x, labels)


def captured_on_two_threads(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    step = captured(size, weights, x, labels)
    step.threads = 2  # type: ignore[attr-defined]
    return step


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


def _step(size: Size, weights: Weights) -> Callable[[tr.Tensor, tr.Tensor], tr.Tensor]:
    model = net(size)
    for name, parameter in model.named_parameters().items():
        parameter.assign(weights[name])
    optimizer = tr.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

    def step(x: tr.Tensor, labels: tr.Tensor) -> tr.Tensor:
        loss = tr.losses.softmax_cross_entropy(model(x, training=True), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step
