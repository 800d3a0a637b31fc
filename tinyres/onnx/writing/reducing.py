"""Ops that reduce axes, and the softmax along one."""

from __future__ import annotations

from typing import Any

from tinyres.onnx.recording import Recorded
from tinyres.onnx.writer import TO_FIRST, Writer
from tinyres.onnx.writing.table import Write, named, writes, written
from tinyres.ops.reduction import normalized_axes

Inputs = list[Recorded]


def _reduction(kind: str) -> Write:
    def write(writer: Writer, node: Recorded, inputs: Inputs, axis: Any, keepdims: bool) -> None:
        _reduced(writer, node, inputs[0], kind, axis, keepdims)

    return write


def _reduced(writer: Writer, node: Recorded, x: Recorded, kind: str, axis: Any, keepdims: bool) -> None:
    """Of images with channels first the same axes, where no order of axes is left to tell."""
    axes = normalized_axes(kind, x.first.shape, axis)
    in_first = writer.is_first(x) and (keepdims or set(axes) >= {1, 2})
    name = writer.first(x) if in_first else writer.plain(x)
    if not axes:
        written(writer, node, writer.emit("Identity", name), in_first)
        return
    numbers = sorted(TO_FIRST.index(axis) for axis in axes) if in_first else axes
    reduced = writer.emit(kind, name, writer.ints(numbers), keepdims=int(keepdims))
    written(writer, node, reduced, in_first and keepdims)


named(
    {
        "sum": "ReduceSum",
        "mean": "ReduceMean",
        "max": "ReduceMax",
        "min": "ReduceMin",
        "logsumexp": "ReduceLogSumExp",
        "norm": "ReduceL2",
    },
    _reduction,
)

_INTEGERS = {"add": "ReduceSum", "mul": "ReduceProd", "maximum": "ReduceMax", "minimum": "ReduceMin"}


@writes("reduce_integers")
def _reduce_integers(writer: Writer, node: Recorded, inputs: Inputs, operation: str, axis: Any, keepdims: bool) -> None:
    _reduced(writer, node, inputs[0], _INTEGERS[operation], axis, keepdims)


@writes("argmax")
def _argmax(writer: Writer, node: Recorded, inputs: Inputs) -> str:
    return writer.emit("ArgMax", writer.plain(inputs[0]), axis=-1, keepdims=0)


@writes("softmax")
def _softmax(writer: Writer, node: Recorded, inputs: Inputs) -> None:
    _along_features(writer, node, inputs[0], "Softmax")


@writes("log_softmax")
def _log_softmax(writer: Writer, node: Recorded, inputs: Inputs) -> None:
    _along_features(writer, node, inputs[0], "LogSoftmax")


def _along_features(writer: Writer, node: Recorded, x: Recorded, kind: str) -> None:
    first = writer.is_first(x)
    name = writer.emit(kind, writer.first(x) if first else writer.plain(x), axis=1 if first else -1)
    written(writer, node, name, first)


@writes("cumsum")
def _cumsum(writer: Writer, node: Recorded, inputs: Inputs, axis: int, reverse: bool) -> str:
    at = axis % len(node.first.shape)
    return writer.emit("CumSum", writer.plain(inputs[0]), writer.constant(at, "int64"), reverse=int(reverse))
