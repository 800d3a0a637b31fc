"""Arranging: squeeze, expand_dims, split, tile, repeat, copy: views, windows and repetitions of a Tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape, contiguous_strides, strided_copy
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.ops.by_axis import by_axis
from tinyres.ops.gather import take
from tinyres.ops.movement import flatten, reshape, share_buffer, to_own_shape, transpose
from tinyres.ops.reduction import Axis, axis_numbers, normalized_axes, one_axis, sum


def _squeeze_shape(x: Tensor, axis: int | tuple[int, ...] | None) -> Shape:
    if axis is None:
        return tuple([size for size in x.shape if size != 1])
    axes = normalized_axes("squeeze", x.shape, axis)
    wide = [i for i in axes if x.shape[i] != 1]
    if wide:
        raise ShapeError(
            f"[squeeze] only axes of size 1 can go; got axis {wide[0]} of shape {x.shape}; leave it out or reduce it"
        )
    return tuple([size for i, size in enumerate(x.shape) if i not in axes])


SQUEEZE = Op("squeeze", shape=_squeeze_shape, forward=share_buffer, vjp=to_own_shape, takes="x", view=True)


@by_axis
def squeeze(x: Operand, axis: Axis = None) -> Tensor:
    """x without these axes of size 1, or without all of them. No copy.

    Raises ShapeError for an axis of another size, or one that is not there.

    >>> import tinyres as tr
    >>> tr.squeeze(tr.tensor([[1.0], [2.0]])).shape
    (2,)
    """
    return apply(SQUEEZE, _tensor(x), axis_numbers("squeeze", axis))


def _expand_dims_shape(x: Tensor, axis: int | tuple[int, ...]) -> Shape:
    axes = axis if isinstance(axis, tuple) else (axis,)
    ndim = len(x.shape) + len(axes)
    places = {i % ndim for i in axes if -ndim <= i < ndim}
    if len(places) != len(axes):
        raise ShapeError(
            f"[expand_dims] new axes must be different ones of the {ndim} of the result; got axis={axis} for shape "
            f"{x.shape}; choose in {-ndim}..{ndim - 1}"
        )
    sizes = iter(x.shape)
    return tuple([1 if i in places else next(sizes) for i in range(ndim)])


EXPAND_DIMS = Op("expand_dims", shape=_expand_dims_shape, forward=share_buffer, vjp=to_own_shape, takes="x", view=True)


@by_axis
def expand_dims(x: Operand, axis: int | Sequence[int]) -> Tensor:
    """x with new axes of size 1, which stand at `axis` in the result. No copy.

    Raises ShapeError for an axis that the result has not.

    >>> import tinyres as tr
    >>> tr.expand_dims(tr.tensor([1.0, 2.0]), -1).shape
    (2, 1)
    """
    numbers = axis_numbers("expand_dims", axis)
    return apply(EXPAND_DIMS, _tensor(x), () if numbers is None else numbers)


def _tensor(x: Operand) -> tuple[Tensor]:
    return (x,) if isinstance(x, Tensor) else as_operands(x)  # type: ignore[return-value]


def ravel(x: Operand) -> Tensor:
    """All elements along one axis, in C order. No copy.

    >>> import tinyres as tr
    >>> tr.ravel(tr.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([1., 2., 3., 4.], shape=(4,), dtype=float32)
    """
    return flatten(x)


def copy(x: Operand) -> Tensor:
    """The same values in memory of their own; the gradient passes.

    >>> import tinyres as tr
    >>> tr.tensor([1.0, 2.0]).copy()
    Tensor([1., 2.], shape=(2,), dtype=float32)
    """
    (x,) = _tensor(x)
    return transpose(x, tuple(range(x.ndim)))


@by_axis
def split(x: Operand, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Parts of x along an axis, as np.split.

    sections: into how many equal parts, or the indices at which to cut (not, as in PyTorch, the sizes of the parts).
    Raises ShapeError where equal parts do not come out, or for an axis that is not there.

    >>> import tinyres as tr
    >>> [part.tolist() for part in tr.split(tr.tensor([1.0, 2.0, 3.0]), [1])]
    [[1.0], [2.0, 3.0]]
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    at = one_axis("split", x.shape, axis)
    size = x.shape[at]
    if size is None:
        raise ShapeError(
            f"[split] the batch of a symbolic tensor cannot be split; got axis {axis} of shape {x.shape}; "
            "do it in an own layer"
        )
    if isinstance(sections, (int, np.integer)):
        if sections < 1 or size % sections:
            raise ShapeError(
                f"[split] equal parts must come out; got {sections} parts of axis {axis} of shape {x.shape}; "
                "give the indices at which to cut"
            )
        sections = range(size // sections, size, size // sections) if size else [0] * (int(sections) - 1)
    bounds = [0, *[int(i) for i in sections], size]
    before = (slice(None),) * at
    return [x[before + (slice(start, stop),)] for start, stop in zip(bounds, bounds[1:])]


def _tiled_shapes(shape: Shape, reps: tuple[int, ...]) -> tuple[Shape, tuple[int, ...]]:
    """Shape and repetitions with as many axes."""
    ndim = len(shape) if len(shape) > len(reps) else len(reps)
    return (1,) * (ndim - len(shape)) + shape, (1,) * (ndim - len(reps)) + reps


def _tile_shape(x: Tensor, reps: tuple[int, ...]) -> Shape:
    if min(reps, default=0) < 0:
        raise ShapeError(f"[tile] reps are counts from 0 on; got {reps}; leave out what is not repeated")
    return tuple([size * count for size, count in zip(*_tiled_shapes(x.shape, reps))])


def _tile_forward(out: Buffer, x: Tensor, reps: tuple[int, ...]) -> None:
    shape, counts = _tiled_shapes(x.shape, reps)
    sizes = [n for pair in zip(counts, shape) for n in pair]
    steps = [n for step in contiguous_strides(shape) for n in (0, step)]
    strided_copy(out, x.buffer, sizes, contiguous_strides(tuple(sizes)), steps)


def _tile_vjp(g: Tensor, ctx: Context) -> Gradients:
    shape, counts = _tiled_shapes(ctx.shapes[0], *ctx.attrs)
    apart = reshape(g, [n for pair in zip(counts, shape) for n in pair])
    return (reshape(sum(apart, tuple(range(0, 2 * len(shape), 2))), ctx.shapes[0]),)


TILE = Op("tile", shape=_tile_shape, forward=_tile_forward, vjp=_tile_vjp, takes="x")


def tile(x: Operand, reps: int | Sequence[int]) -> Tensor:
    """x laid side by side, reps times along each axis, as np.tile.

    reps: counts for the last axes, or one for the last axis. Raises ArgumentError unless they are counts.

    >>> import tinyres as tr
    >>> tr.tile(tr.tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2., 1., 2.],
            [1., 2., 1., 2.]], shape=(2, 4), dtype=float32)
    """
    return apply(TILE, _tensor(x), _counts("tile", "reps", reps))


def _counts(op: str, what: str, given: Any) -> tuple[int, ...]:
    counts = np.asarray(given)
    if counts.dtype.kind not in "iu" or counts.ndim > 1 or counts.size and counts.min() < 0:
        raise ArgumentError(f"[{op}] {what} are counts from 0 on; got {given!r}; give an int or a list of ints")
    return tuple(counts.reshape(-1).tolist())


def _repeat_shape(x: Tensor, count: int, axis: int) -> Shape:
    if count < 0:
        raise ShapeError(f"[repeat] repeats are counts from 0 on; got {count}; leave out what is not repeated")
    at = one_axis("repeat", x.shape, axis)
    return (*x.shape[:at], x.shape[at] * count, *x.shape[at + 1 :])


def _repeat_forward(out: Buffer, x: Tensor, count: int, axis: int) -> None:
    at = one_axis("repeat", x.shape, axis)
    outer, n, inner = math.prod(x.shape[:at]), x.shape[at], math.prod(x.shape[at + 1 :])
    sizes = outer * n, count, inner
    strided_copy(out, x.buffer, sizes, contiguous_strides(sizes), (inner, 0, 1))


def _repeat_vjp(g: Tensor, ctx: Context) -> Gradients:
    (shape,) = ctx.shapes
    count, axis = ctx.attrs
    at = one_axis("repeat", shape, axis)
    return (sum(reshape(g, (*shape[: at + 1], count, *shape[at + 1 :])), at + 1),)


REPEAT = Op("repeat", shape=_repeat_shape, forward=_repeat_forward, vjp=_repeat_vjp, takes="x")


@by_axis
def repeat(x: Operand, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
    """Each element along an axis several times in a row, as np.repeat; without an axis, of the flattened Tensor.

    repeats: a count, or one per element of the axis. Raises ArgumentError unless they are counts, ShapeError where
    their number does not fit or the axis is not there.

    >>> import tinyres as tr
    >>> tr.repeat(tr.tensor([1.0, 2.0]), 2)
    Tensor([1., 1., 2., 2.], shape=(4,), dtype=float32)
    """
    counts = _counts("repeat", "repeats", repeats)
    if axis is None:
        x, axis = flatten(x), 0
    (x,) = _tensor(x)
    if len(counts) == 1:
        return apply(REPEAT, (x,), counts[0], axis)
    size = x.shape[one_axis("repeat", x.shape, axis)]
    if size != len(counts):
        raise ShapeError(
            f"[repeat] needs one count for all or one per element; got {len(counts)} for axis {axis} of shape "
            f"{x.shape}; give one for each"
        )
    return take(x, np.repeat(np.arange(size), counts), axis)
