"""Indexing: x[ints, slices, None, ...], and `place`, which puts a part into zeros; each is the other's gradient."""

from __future__ import annotations

import functools
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Part, Shape, contiguous_strides, strided_copy
from tinyres.engine.op import Context, Gradients, Op, PartGradients, apply
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.launch import launch


class Window(NamedTuple):
    """A regular part of a Tensor: element i of it stands at offset + i·strides of the whole."""

    shape: Shape
    strides: Shape
    offset: int


# One entry of a basic index, hashable: an int, None, Ellipsis, or a slice as (start, stop, step).
Entry = int | EllipsisType | tuple[int | None, int | None, int | None] | None


@functools.lru_cache(maxsize=4096)
def window(shape: Shape, index: tuple[Entry, ...]) -> Window:
    named = sum(entry is not None and entry is not Ellipsis for entry in index)
    if index.count(Ellipsis) > 1 or named > len(shape):
        raise IndexOutOfRange(
            f"[index] an index names each axis once at most, and one ... at most; got {named} for shape {shape}"
        )
    if Ellipsis not in index:
        index = (*index, Ellipsis)
    at = index.index(Ellipsis)
    index = (*index[:at], *[(None, None, None)] * (len(shape) - named), *index[at + 1 :])
    strides = contiguous_strides(shape)
    axis, offset = 0, 0
    sizes, steps = [], []
    for entry in index:
        if entry is None:
            sizes.append(1)
            steps.append(0)
            continue
        if isinstance(entry, int):
            if not -shape[axis] <= entry < shape[axis]:
                raise IndexOutOfRange(
                    f"[index] {entry} is out of range for axis {axis} of shape {shape}; "
                    f"choose {-shape[axis]}..{shape[axis] - 1}"
                    if shape[axis]
                    else f"[index] axis {axis} of shape {shape} is empty; got {entry}"
                )
            offset += entry % shape[axis] * strides[axis]
        elif isinstance(entry, tuple):
            start, stop, step = slice(*entry).indices(shape[axis])
            size = len(range(start, stop, step))
            offset += start * strides[axis] if size else 0
            sizes.append(size)
            steps.append(step * strides[axis])
        axis += 1
    return Window(tuple(sizes), tuple(steps), offset)


class IndexOutOfRange(ShapeError, IndexError):
    """An index beyond an axis: also an IndexError, which is how Python ends iteration."""


class WrongIndex(DTypeError, IndexError):
    """An index that is no index; also an IndexError, as in NumPy."""


def _index_shape(x: Tensor, index: tuple[Entry, ...]) -> Shape:
    return window(x.shape, index).shape


def _index_forward(out: Buffer, x: Tensor, index: tuple[Entry, ...]) -> None:
    shape, strides, offset = window(x.shape, index)
    strided_copy(out, x.buffer, shape, contiguous_strides(shape), strides, 0, offset)


def _index_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (place(g, ctx.shapes[0], *ctx.attrs),)


def _index_parts(g: Tensor, ctx: Context) -> PartGradients:
    part, strides, offset = window(ctx.shapes[0], *ctx.attrs)
    return (Part(g, ctx.shapes[0], part, strides, contiguous_strides(part), offset),)


INDEX = Op("index", shape=_index_shape, forward=_index_forward, vjp=_index_vjp, parts=_index_parts, takes="x")


def basic_index(x: Tensor, entries: tuple[Any, ...]) -> Tensor:
    """x[entries] for ints, slices, None (a new axis) and `...`."""
    return apply(INDEX, (x,), tuple([_entry(e) for e in entries]))


def _entry(entry: Any) -> Entry:
    if type(entry) is int or entry is None or entry is Ellipsis:
        return entry
    try:
        if isinstance(entry, slice):
            bounds = _bound(entry.start), _bound(entry.stop), _bound(entry.step)
            if bounds[2] == 0:
                raise ArgumentError(f"[index] the step of a slice must not be 0; got {entry}; leave it out")
            return bounds
        if not isinstance(entry, (bool, np.bool_)):
            return entry.__index__()
    except (AttributeError, TypeError, ShapeError):
        pass
    what = f"{entry.dtype} of shape {entry.shape}" if hasattr(entry, "shape") else repr(entry)
    raise WrongIndex(
        f"[index] an index is made of ints, slices, None, ..., arrays of integers and masks; got {what}; convert it"
    )


def _bound(value: Any) -> int | None:
    return None if value is None else value.__index__()


def _place_shape(g: Tensor, shape: Shape, index: tuple[Entry, ...]) -> Shape:
    if min(shape, default=0) < 0 or window(shape, index).shape != g.shape:
        raise ShapeError(
            f"[place] the index must point at as much as there is; got {g.shape} for {shape}; see x[index]"
        )
    return shape


def _place_forward(out: Buffer, g: Tensor, shape: Shape, index: tuple[Entry, ...]) -> None:
    launch(kernels.fill, (out,), (), (out.size,), (0.0,))
    part, strides, offset = window(shape, index)
    strided_copy(out, g.buffer, part, strides, contiguous_strides(part), offset, 0)


def _place_vjp(c: Tensor, ctx: Context) -> Gradients:
    return (apply(INDEX, (c,), ctx.attrs[1]),)


PLACE = Op("place", shape=_place_shape, forward=_place_forward, vjp=_place_vjp)


def place(g: Tensor, shape: Shape, index: tuple[Entry, ...]) -> Tensor:
    """Zeros of `shape`, with g where `index` points: the gradient of x[index]."""
    return apply(PLACE, (g,), shape, index)
