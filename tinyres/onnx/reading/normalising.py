"""Normalisations: layers with the weights and statistics of the file. Softmax along an axis."""

from __future__ import annotations

import numpy as np

from tinyres import ops
from tinyres.layers.activation import Softmax
from tinyres.layers.group_norm import GroupNormalization, LayerNormalization
from tinyres.layers.norm import BatchNormalization
from tinyres.layers.shape import Permute
from tinyres.onnx.reading.elementwise import of_one
from tinyres.onnx.reading.table import Reading, reads
from tinyres.onnx.values import Held


@reads("BatchNormalization")
def _batchnorm(reading: Reading) -> Held:
    """Also one that was exported in training: it is the model that says in which mode it runs."""
    x = reading.held()
    weights = [reading.known(i, "a weight") for i in range(1, 5)]
    layer = BatchNormalization(momentum=reading.attr("momentum", 0.9), epsilon=reading.attr("epsilon", 1e-5))
    ndim = len(x.shape)
    if ndim == 4:
        found = reading.named(layer)(x.last)
    elif ndim == 2:
        found = reading.named(layer)(x.plain)
    else:  # the features stand behind the batch
        found = Permute((ndim - 1, *range(1, ndim - 1)))(reading.named(layer)(Permute((*range(2, ndim), 1))(x.plain)))
    layer.set_weights(weights)
    return Held(last=found) if ndim == 4 else Held(found)


@reads("LayerNormalization")
def _layer_norm(reading: Reading) -> Held:
    x = reading.plain()
    ndim, axis = len(x.shape), reading.attr("axis", -1)
    axes = list(range(reading.axis(axis, ndim) - ndim, 0))
    layer = LayerNormalization(axis=axes, epsilon=reading.attr("epsilon", 1e-5), center=reading.given(2))
    found = reading.named(layer)(x)
    layer.set_weights([reading.known(i, "a weight") for i in range(1, 3) if reading.given(i)])
    return Held(found)


@reads("InstanceNormalization")
def _instance_norm(reading: Reading) -> Held:
    """Each channel of each image by itself: as many groups as channels."""
    x = reading.held()
    gamma, beta = reading.known(1, "the scale"), reading.known(2, "the bias")
    if len(x.shape) == 3:  # (batch, groups, rest): how a normalisation of groups is written where there is none
        normal = ops.layer_norm(x.plain, epsilon=reading.attr("epsilon", 1e-5))
        if not (np.all(gamma == 1) and np.all(beta == 0)):
            normal = normal * gamma.reshape(-1, 1) + beta.reshape(-1, 1)
        return Held(reading.called(normal))
    layer = GroupNormalization(len(gamma), epsilon=reading.attr("epsilon", 1e-5))
    found = reading.named(layer)(x.last)
    layer.set_weights([gamma, beta])
    return Held(last=found)


@reads("Softmax", "LogSoftmax")
def _softmax(reading: Reading) -> Held:
    x = reading.held()
    ndim = len(x.shape)
    axis = reading.axis(reading.attr("axis", -1 if reading.opset >= 13 else 1), ndim)
    if reading.opset < 13 and axis != ndim - 1:
        raise reading.refuse("before opset 13 it is read along the last axis", f"axis {axis} of shape {x.shape}")
    if x.is_last and axis == 1:
        return of_one(reading, lambda t: _along(reading, t, -1))
    return Held(_along(reading, x.plain, -1 if axis == ndim - 1 else axis))


def _along(reading: Reading, x, axis: int):  # type: ignore[no-untyped-def]
    if reading.kind == "Softmax":
        return reading.named(Softmax(axis=axis))(x)
    return reading.called(ops.log_softmax(x, axis=axis))
