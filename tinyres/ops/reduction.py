"""Reductions over any axes: sum, mean, max, min, logsumexp; and argmax, which has no gradient.

`axis` is None (all), an int or several; negative ones count from the end. `keepdims` leaves reduced axes as 1.
A run of neighbouring axes is reduced by one kernel over outer x n x inner.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape, launch_broadcast
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.dtypes import FLOAT32, INT64
from tinyres.kernels.record import Kernel
from tinyres.launch import launch
from tinyres.ops.by_axis import by_axis
from tinyres.ops.casting import astype
from tinyres.ops.comparison import equal
from tinyres.ops.elementwise import exp
from tinyres.ops.movement import broadcast_to, reshape, transpose

Axis = int | Sequence[int] | None


class Reduction(NamedTuple):
    """How a shape is reduced: the result's shape, the same with ones, and (outer, n, inner) per kernel.

    elements: how many go into each result.
    """

    shape: Shape
    kept: Shape
    runs: tuple[tuple[int, int, int], ...]
    elements: int


@functools.lru_cache(maxsize=4096)
def reduction(op: str, shape: Shape, axis: int | tuple[int, ...] | None, keepdims: bool) -> Reduction:
    """The plan to reduce `shape` over `axis`; errors name the op."""
    axes = normalized_axes(op, shape, axis)
    kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
    squeezed = tuple(size for i, size in enumerate(shape) if i not in axes)
    runs, sizes, stop = [], list(shape), len(shape)
    while stop > 0:  # runs of neighbouring axes, innermost first
        start = stop - 1
        if start in axes:
            while start - 1 in axes:
                start -= 1
            runs.append((math.prod(sizes[:start]), math.prod(sizes[start:stop]), math.prod(sizes[stop:])))
            sizes[start:stop] = [1] * (stop - start)
        stop = start
    elements = math.prod(shape[i] for i in axes)
    return Reduction(kept if keepdims else squeezed, kept, tuple(runs) or ((math.prod(shape), 1, 1),), elements)


def normalized_axes(op: str, shape: Shape, axis: Axis) -> tuple[int, ...]:
    """The axes as sorted indices from the front."""
    ndim = len(shape)
    numbers = axis_numbers(op, axis)
    if numbers is None:
        return tuple(range(ndim))
    axes = numbers if isinstance(numbers, tuple) else (numbers,)
    for i in axes:
        if not -ndim <= i < ndim:
            choice = f"choose one in {-ndim}..{ndim - 1}" if ndim else "leave axis out"
            raise ShapeError(f"[{op}] an axis must be one of the {ndim} of shape {shape}; got axis={axis}; {choice}")
    positive = sorted({i % ndim for i in axes})
    if len(positive) != len(axes):
        raise ShapeError(f"[{op}] each axis may be named once; got axis={axis} for shape {shape}; drop the second")
    return tuple(positive)


def one_axis(op: str, shape: Shape, axis: int) -> int:
    """A single axis as an index from the front."""
    if isinstance(axis, (tuple, list)) or axis is None:
        raise ArgumentError(f"[{op}] takes one axis, an int; got axis={axis!r}; reshape several axes into one first")
    return normalized_axes(op, shape, axis)[0]


def axis_numbers(op: str, axis: Axis) -> int | tuple[int, ...] | None:
    """The axis as it stands in an Op's attrs: None, an int or a tuple of ints."""
    if axis is None or type(axis) is int:
        return axis
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    if not all(isinstance(i, (int, np.integer)) for i in axes):
        raise ArgumentError(
            f"[{op}] an axis is an int, several are a tuple, None is all; got axis={axis!r}; name axes by number"
        )
    return tuple(int(i) for i in axes)


def run_reduction(kernel: Kernel, out: Buffer, x: Tensor, plan: Reduction, scale: tuple[float, ...] = ()) -> None:
    """Launch a reduction, one kernel per run of axes; scale: of a sum."""
    source = x.buffer
    for outer, n, inner in plan.runs[:-1]:
        partial = Buffer(outer * inner, x.dtype)
        launch(kernel, (partial,), (source,), (outer, n, inner), (1.0,) if scale else ())
        source = partial
    launch(kernel, (out,), (source,), plan.runs[-1], scale)


def _sum_shape(x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    return reduction("sum", x.shape, axis, keepdims).shape


def _sum_forward(out: Buffer, x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    run_reduction(kernels.sum, out, x, reduction("sum", x.shape, axis, keepdims), (1.0,))


def _sum_vjp(g: Tensor, ctx: Context) -> Gradients:
    (shape,) = ctx.shapes
    return (broadcast_to(reshape(g, reduction("sum", shape, *ctx.attrs).kept), shape),)


SUM = Op("sum", shape=_sum_shape, forward=_sum_forward, vjp=_sum_vjp)


@by_axis
def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes; 0 over none. That of integers and bools (0 and 1) is int64, exactly.

    Raises ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.sum(tr.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([4., 6.], shape=(2,), dtype=float32)
    """
    return apply(SUM, (x,) if isinstance(x, Tensor) else as_operands(x), axis_numbers("sum", axis), keepdims)


def numeric(x: Operand) -> Tensor:
    """x as a Tensor of floats; integers and bools as float32."""
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    return x if x.dtype in FLOATS else astype(x, FLOAT32)


def _mean_shape(x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    return nonempty("mean", x, axis, keepdims).shape


def nonempty(op: str, x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> Reduction:
    """The plan to reduce x; ShapeError over no elements."""
    plan = reduction(op, x.shape, axis, keepdims)
    if plan.elements == 0:
        raise ShapeError(
            f"[{op}] needs at least one element to reduce; got shape {x.shape}, axis={axis}; check for an empty batch"
        )
    return plan


def _mean_forward(out: Buffer, x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    plan = reduction("mean", x.shape, axis, keepdims)
    run_reduction(kernels.sum, out, x, plan, (1.0 / plan.elements,))


def _mean_vjp(g: Tensor, ctx: Context) -> Gradients:
    (shape,) = ctx.shapes
    plan = reduction("mean", shape, *ctx.attrs)
    return (broadcast_to(reshape(g * (1.0 / plan.elements), plan.kept), shape),)


MEAN = Op("mean", shape=_mean_shape, forward=_mean_forward, vjp=_mean_vjp)


@by_axis
def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes; that of integers and bools (0 and 1) is float32.

    Raises ShapeError over no elements, or for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.mean(tr.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1, keepdims=True)
    Tensor([[1.5],
            [3.5]], shape=(2, 1), dtype=float32)
    """
    return apply(MEAN, (x,) if isinstance(x, Tensor) else as_operands(x), axis_numbers("mean", axis), keepdims)


def _max_shape(x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    return nonempty("max", x, axis, keepdims).shape


def _max_forward(out: Buffer, x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    run_reduction(kernels.max, out, x, reduction("max", x.shape, axis, keepdims))


def _extremum_vjp(g: Tensor, ctx: Context) -> Gradients:
    """The gradient goes to where the extremum stands, in equal parts if it stands in several places."""
    (x,) = ctx.inputs
    axis, _ = ctx.attrs
    kept = reduction("max", x.shape, *ctx.attrs).kept
    hits = astype(equal(x, reshape(ctx.output, kept)), x.dtype)
    return (reshape(g, kept) / sum(hits, axis, keepdims=True) * hits,)


MAX = Op("max", shape=_max_shape, forward=_max_forward, vjp=_extremum_vjp, saves=(0,), reads_output=True)


@by_axis
def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over the axes; NaN if one is NaN. Equal maxima share the gradient equally.

    Raises ShapeError over no elements, or for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.max(tr.tensor([[1.0, 4.0], [3.0, 2.0]]), axis=0)
    Tensor([3., 4.], shape=(2,), dtype=float32)
    """
    return apply(MAX, (x,) if isinstance(x, Tensor) else as_operands(x), axis_numbers("max", axis), keepdims)


def _min_shape(x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    return nonempty("min", x, axis, keepdims).shape


def _min_forward(out: Buffer, x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    run_reduction(kernels.min, out, x, reduction("min", x.shape, axis, keepdims))


MIN = Op("min", shape=_min_shape, forward=_min_forward, vjp=_extremum_vjp, saves=(0,), reads_output=True)


@by_axis
def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over the axes; NaN if one is NaN. Equal minima share the gradient equally.

    Raises ShapeError over no elements, or for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.min(tr.tensor([[1.0, 4.0], [3.0, 2.0]]), axis=0)
    Tensor([1., 2.], shape=(2,), dtype=float32)
    """
    return apply(MIN, (x,) if isinstance(x, Tensor) else as_operands(x), axis_numbers("min", axis), keepdims)


def _logsumexp_shape(x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    return nonempty("logsumexp", x, axis, keepdims).shape


def _logsumexp_forward(out: Buffer, x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    """log Σ e^(x - max) + max; an infinite maximum counts as the largest float, for inf - inf is NaN."""
    plan = reduction("logsumexp", x.shape, axis, keepdims)
    size, limit = out.size, float(np.finfo(x.dtype).max)
    peak, shift, total, logarithm = (Buffer(size, x.dtype) for _ in range(4))
    distance, weights = Buffer(x.buffer.size, x.dtype), Buffer(x.buffer.size, x.dtype)
    run_reduction(kernels.max, peak, x, plan)
    launch(kernels.clip, (shift,), (peak,), (size,), (-limit, limit))
    launch_broadcast(kernels.sub, distance, x.shape, (x, Tensor(shift, plan.kept, x.dtype)))
    launch(kernels.exp, (weights,), (distance,), (weights.size,))
    run_reduction(kernels.sum, total, Tensor(weights, x.shape, x.dtype), plan, (1.0,))
    launch(kernels.log, (logarithm,), (total,), (size,))
    launch(kernels.add, (out,), (logarithm, shift), (1, size))


def _logsumexp_vjp(g: Tensor, ctx: Context) -> Gradients:
    (x,) = ctx.inputs
    kept = reduction("logsumexp", x.shape, *ctx.attrs).kept
    return (reshape(g, kept) * exp(x - reshape(ctx.output, kept)),)


LOGSUMEXP = Op(
    "logsumexp",
    shape=_logsumexp_shape,
    forward=_logsumexp_forward,
    vjp=_logsumexp_vjp,
    saves=(0,),
    reads_output=True,
)


@by_axis
def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log Σ e^x over the axes; never overflows. Its gradient is the softmax.

    Raises ShapeError over no elements, or for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.logsumexp(tr.tensor([500.0, 500.0]))
    Tensor(500.6931, shape=(), dtype=float32)
    """
    operands = (x,) if isinstance(x, Tensor) else as_operands(x)
    return apply(LOGSUMEXP, operands, axis_numbers("logsumexp", axis), keepdims)


def _argmax_shape(x: Tensor) -> Shape:
    if x.shape[-1] == 0:
        raise ShapeError(f"[argmax] needs at least one element per row; got shape {x.shape}; check for an empty axis")
    return x.shape[:-1]


def _argmax_forward(out: Buffer, x: Tensor) -> None:
    launch(kernels.argmax, (out,), (x.buffer,), (out.size, x.shape[-1]))


ARGMAX = Op("argmax", shape=_argmax_shape, forward=_argmax_forward, dtype=INT64)


@by_axis
def argmax(x: Operand, axis: int | None = None) -> Tensor:
    """Where the (first) maximum stands along an axis, or in the flattened Tensor; int64, no gradient.

    NaN counts as the maximum, as in np.argmax. Raises ShapeError for an axis that is not there or empty.

    >>> import tinyres as tr
    >>> tr.argmax(tr.tensor([[1.0, 4.0], [3.0, 2.0]]), axis=1)
    Tensor([1, 0], shape=(2,), dtype=int64)
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    if axis is None:
        return apply(ARGMAX, (reshape(x, (-1,)),))
    chosen = one_axis("argmax", x.shape, axis)
    last = len(x.shape) - 1
    if chosen != last:
        x = transpose(x, (*(i for i in range(last + 1) if i != chosen), chosen))
    return apply(ARGMAX, (x,))
