"""Normalisations: of a batch by its moving statistics, of rows, of groups of channels."""

from __future__ import annotations

import numpy as np

from tinyres.onnx.recording import Recorded
from tinyres.onnx.writer import Writer, is_image
from tinyres.onnx.writing.table import writes, written

Inputs = list[Recorded]


def _channels_at_1(writer: Writer, x: Recorded) -> tuple[str, list[int] | None]:
    """A value with its last axis in second place, and the order that brings it back; None for images and rows."""
    ndim = len(x.first.shape)
    if is_image(x.first):
        return writer.first(x), None
    if ndim == 2:
        return writer.plain(x), None
    name = writer.emit("Transpose", writer.plain(x), perm=[0, ndim - 1, *range(1, ndim - 1)])
    return name, [0, *range(2, ndim), 1]


def _put(writer: Writer, node: Recorded, name: str, back: list[int] | None) -> None:
    name = writer.emit("Transpose", name, perm=back) if back else name
    written(writer, node, name, is_image(node.first))


@writes("batchnorm_inference")
def _batchnorm(writer: Writer, node: Recorded, inputs: Inputs, epsilon: float) -> None:
    x, mean, variance, gamma, beta = inputs
    name, back = _channels_at_1(writer, x)
    operands = [writer.plain(each) for each in (gamma, beta, mean, variance)]
    _put(writer, node, writer.emit("BatchNormalization", name, *operands, epsilon=epsilon), back)


@writes("layer_norm")
def _layer_norm(writer: Writer, node: Recorded, inputs: Inputs, axes: int, epsilon: float) -> str:
    x, gamma, beta = (writer.plain(each) for each in inputs)
    return writer.emit("LayerNormalization", x, gamma, beta, axis=-axes, epsilon=epsilon)


@writes("rms_norm")
def _rms_norm(writer: Writer, node: Recorded, inputs: Inputs, axes: int, epsilon: float) -> str:
    x, gamma = (writer.plain(each) for each in inputs)
    square = writer.emit("ReduceMean", writer.emit("Mul", x, x), writer.ints(range(-axes, 0)), keepdims=1)
    size = writer.emit("Sqrt", writer.emit("Add", square, writer.like(node, epsilon)))
    return writer.emit("Mul", writer.emit("Div", x, size), gamma)


@writes("group_norm")
def _group_norm(writer: Writer, node: Recorded, inputs: Inputs, groups: int, epsilon: float) -> None:
    """Groups as the channels of an InstanceNormalization: the GroupNormalization of opset 18 scales groups."""
    x, gamma, beta = inputs
    name, back = _channels_at_1(writer, x)
    grouped = writer.emit("Reshape", name, writer.ints([0, groups, -1]))
    ones, zeros = (writer.constant(np.full(groups, value), x.first.dtype) for value in (1.0, 0.0))
    normal = writer.emit("InstanceNormalization", grouped, ones, zeros, epsilon=epsilon)
    whole = writer.emit("Reshape", normal, writer.emit("Shape", name))
    column = (-1, *[1] * (len(x.first.shape) - 2))
    for kind, weight in (("Mul", gamma), ("Add", beta)):
        values = weight.array
        operand = writer.plain(weight) if values is None else writer.weight(weight, values.reshape(column))
        whole = writer.emit(kind, whole, operand)
    _put(writer, node, whole, back)
