"""Ops that move, choose or repeat elements and change none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.onnx.recording import Recorded
from tinyres.onnx.writer import TO_FIRST, TYPES, Writer, is_image
from tinyres.onnx.writing.table import writes, written

Inputs = list[Recorded]
_END = np.iinfo(np.int64).max


@writes("reshape", "flatten", "squeeze", "expand_dims")
def _reshape(writer: Writer, node: Recorded, inputs: Inputs, *attrs: Any) -> str:
    """All of them hold the same elements; the shape that comes out says which axes go."""
    return writer.emit("Reshape", writer.plain(inputs[0]), writer.target(node, inputs[0]))


@writes("transpose")
def _transpose(writer: Writer, node: Recorded, inputs: Inputs, axes: tuple[int, ...] | None) -> str:
    ndim = len(node.first.shape)
    order = tuple(range(ndim))[::-1] if axes is None else [axis % ndim for axis in axes]
    if not order:
        return writer.emit("Identity", writer.plain(inputs[0]))
    return writer.emit("Transpose", writer.plain(inputs[0]), perm=order)


@writes("broadcast_to")
def _broadcast_to(writer: Writer, node: Recorded, inputs: Inputs, *attrs: Any) -> str:
    return writer.emit("Expand", writer.plain(inputs[0]), writer.shape(node, node.shapes, inputs))


@writes("concatenate")
def _concatenate(writer: Writer, node: Recorded, inputs: Inputs, axis: int) -> None:
    first = is_image(node.first) and any(map(writer.is_first, inputs))
    names = [writer.first(x) if first else writer.plain(x) for x in inputs]
    at = axis % len(node.first.shape)
    written(writer, node, writer.emit("Concat", *names, axis=TO_FIRST.index(at) if first else at), first)


@writes("pad")
def _pad(writer: Writer, node: Recorded, inputs: Inputs, widths: Sequence[tuple[int, int]], value: float) -> None:
    first = writer.is_first(inputs[0])
    order = TO_FIRST if first else range(len(widths))
    pads = [widths[axis][side] for side in (0, 1) for axis in order]
    x = writer.first(inputs[0]) if first else writer.plain(inputs[0])
    written(writer, node, writer.emit("Pad", x, writer.ints(pads), writer.like(node, value)), first)


@writes("index")
def _index(writer: Writer, node: Recorded, inputs: Inputs, *attrs: Any) -> str:
    """Slices; then the axes that an int took go, and those of None come. A bound may be a size of the data."""
    (x,) = inputs
    name = writer.plain(x)
    slices, gone, new = _taken_apart(len(x.first.shape), *node.first.attrs)
    too, _, _ = _taken_apart(len(x.first.shape), *node.second.attrs)
    if slices:
        columns = zip(zip(*slices), zip(*too))
        starts, ends, axes, steps = (writer.shape(node, column, inputs) for column in columns)
        name = writer.emit("Slice", name, starts, ends, axes, steps)
    if gone:
        name = writer.emit("Squeeze", name, writer.ints(gone))
    if new:
        name = writer.emit("Unsqueeze", name, writer.ints(new))
    return name if slices or gone or new else writer.emit("Identity", name)


_Slices = list[tuple[int, int, int, int]]  # start, end, axis, step


def _taken_apart(ndim: int, index: tuple[Any, ...]) -> tuple[_Slices, list[int], list[int]]:
    """The slices of an index, the axes that then go, and the places where new ones then come."""
    named = sum(entry is not None and entry is not Ellipsis for entry in index)
    at = index.index(Ellipsis) if Ellipsis in index else len(index)
    index = (*index[:at], *[(None, None, None)] * (ndim - named), *index[at + 1 :])
    slices: _Slices = []
    gone: list[int] = []
    new: list[int] = []
    axis = 0
    for entry in index:
        if entry is None:
            new.append(axis - len(gone) + len(new))
            continue
        if isinstance(entry, int):
            slices.append((entry, entry + 1 if entry != -1 else _END, axis, 1))
            gone.append(axis)
        elif entry != (None, None, None):
            slices.append((*_bounds(*entry), axis, entry[2] or 1))
        axis += 1
    return slices, gone, new


def _bounds(start: int | None, stop: int | None, step: int | None) -> tuple[int, int]:
    backwards = step is not None and step < 0
    begin = start if start is not None else _END if backwards else 0
    return begin, stop if stop is not None else -_END if backwards else _END


@writes("gather_rows")
def _gather_rows(writer: Writer, node: Recorded, inputs: Inputs, axis: int, count: int) -> str:
    table, ids = inputs
    name = writer.plain(table)
    if count != 1:
        shapes = tuple(
            (*shape[:axis], math.prod(shape[axis : axis + count]), *shape[axis + count :]) for shape in table.shapes
        )
        name = writer.emit("Reshape", name, writer.shape(node, (shapes[0], shapes[1]), inputs))
    return writer.emit("Gather", name, writer.plain(ids), axis=axis)


@writes("wrap")
def _wrap(writer: Writer, node: Recorded, inputs: Inputs, size: int) -> str:
    """Mod has the sign of the size: an id from the end becomes one from the front."""
    return writer.emit("Mod", writer.plain(inputs[0]), writer.ints([size]))


@writes("one_hot_float32", "one_hot_float64")
def _one_hot(writer: Writer, node: Recorded, inputs: Inputs, classes: int) -> str:
    values = writer.constant([0.0, 1.0], "float32")
    name = writer.emit("OneHot", writer.plain(inputs[0]), writer.ints([classes]), values, axis=-1)
    single = node.first.dtype.name == "float32"  # onnxruntime has no other
    return name if single else writer.emit("Cast", name, to=TYPES[node.first.dtype.name])


@writes("tile")
def _tile(writer: Writer, node: Recorded, inputs: Inputs, reps: tuple[int, ...]) -> str:
    (x,) = inputs
    name, missing = writer.plain(x), len(reps) - len(x.first.shape)
    if missing > 0:
        name = writer.emit("Unsqueeze", name, writer.ints(range(missing)))
    return writer.emit("Tile", name, writer.ints([*[1] * -missing, *reps]))


@writes("repeat")
def _repeat(writer: Writer, node: Recorded, inputs: Inputs, count: int, axis: int) -> str:
    """A new axis behind, tiled, then joined with the one in front of it."""
    (x,) = inputs
    ndim = len(x.first.shape)
    at = axis % ndim
    apart = writer.emit("Unsqueeze", writer.plain(x), writer.ints([at + 1]))
    tiled = writer.emit("Tile", apart, writer.ints([count if i == at + 1 else 1 for i in range(ndim + 1)]))
    return writer.emit("Reshape", tiled, writer.target(node, x))


@writes("argsort")
def _argsort(writer: Writer, node: Recorded, inputs: Inputs, descending: bool) -> str:
    a, b = (shape[-1] for shape in node.shapes)
    size = writer.ints([a]) if a == b else writer.shape(node, ((a,), (b,)), inputs)
    return writer.emit_second("TopK", writer.plain(inputs[0]), size, axis=-1, largest=int(descending))
