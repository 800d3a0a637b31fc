"""Settled statistics: what BatchNormalization's moving averages would be if the weights had stood still for long.

After a short training the moving statistics still remember their start (momentum 0.99 forgets half in 69 steps) and
weights that are gone; errors measured with them say more about that than about the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.engine.state import no_grad
from tinyres.engine.tensor import tensor
from tinyres.layers.norm import BatchNormalization
from tinyres.model.architecture import every_layer
from tinyres.ops.random import preserving_generator
from tinyres.training.rehearsal import read_model_inputs

if TYPE_CHECKING:
    from tinyres.model.model import Model


def recalibrate_batchnorm(model: Model, x: Any, batch_size: int) -> None:
    """See Model.recalibrate_batchnorm."""
    arrays = read_model_inputs(model, "recalibrate_batchnorm", x)
    layers = [layer for layer in every_layer(model) if isinstance(layer, BatchNormalization) and layer.trainable]
    momenta = [layer.momentum for layer in layers]
    before = [(layer.moving_mean.numpy(), layer.moving_variance.numpy()) for layer in layers]
    sums = [_Moments(len(mean)) for mean, _ in before]
    try:
        for layer in layers:
            layer.momentum = 0.0  # the moving statistics are then those of the last batch
        with no_grad(), preserving_generator():
            for start in range(0, len(arrays[0]), batch_size):
                inputs = [tensor(array[start : start + batch_size], dtype=array.dtype) for array in arrays]
                model(inputs if len(inputs) > 1 else inputs[0], training=True)
                rows = len(arrays[0][start : start + batch_size])
                for layer, moments in zip(layers, sums):
                    moments.add(rows, layer.moving_mean.numpy(), layer.moving_variance.numpy())
        settled = [moments.of_all() for moments in sums]
    except BaseException:
        settled = before
        raise
    finally:
        for layer, momentum, (mean, variance) in zip(layers, momenta, settled):
            layer.momentum = momentum
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)


class _Moments:
    """Mean and variance over all rows, from those of batches."""

    def __init__(self, features: int) -> None:
        self._rows = 0
        self._mean, self._square = np.zeros(features), np.zeros(features)

    def add(self, rows: int, mean: np.ndarray, variance: np.ndarray) -> None:
        mean = mean.astype(np.float64)
        self._rows += rows
        self._mean += rows * mean
        self._square += rows * (variance + mean**2)

    def of_all(self) -> tuple[np.ndarray, np.ndarray]:
        mean = self._mean / self._rows
        return mean, np.maximum(self._square / self._rows - mean**2, 0)
