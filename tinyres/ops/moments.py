"""Spread and length: var, std and norm. Where a length is 0 its gradient is 0, and not the NaN of 0 / 0."""

from __future__ import annotations

import math

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.launch import launch
from tinyres.ops.by_axis import by_axis
from tinyres.ops.comparison import equal, where
from tinyres.ops.composed import composed
from tinyres.ops.elementwise import abs, square
from tinyres.ops.movement import reshape
from tinyres.ops.reduction import (
    Axis,
    axis_numbers,
    max,
    mean,
    min,
    nonempty,
    numeric,
    reduction,
    run_reduction,
    sum,
)


def _norm_shape(x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    return reduction("norm", x.shape, axis, keepdims).shape


def _norm_forward(out: Buffer, x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    squares, total = Buffer(x.buffer.size, x.dtype), Buffer(out.size, x.dtype)
    launch(kernels.square, (squares,), (x.buffer,), (squares.size,))
    plan = reduction("norm", x.shape, axis, keepdims)
    run_reduction(kernels.sum, total, Tensor(squares, x.shape, x.dtype), plan, (1.0,))
    launch(kernels.sqrt, (out,), (total,), (out.size,))


def _norm_vjp(g: Tensor, ctx: Context) -> Gradients:
    (x,) = ctx.inputs
    kept = reduction("norm", x.shape, *ctx.attrs).kept
    length = reshape(ctx.output, kept)
    return (reshape(g, kept) * (x / where(equal(length, 0.0), 1.0, length)),)


NORM = Op("norm", shape=_norm_shape, forward=_norm_forward, vjp=_norm_vjp, saves=(0,), reads_output=True)


@by_axis
def norm(x: Operand, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The length √Σx² over the axes, or Σ|x| (ord=1), max |x| (ord=inf), min |x| (ord=-inf); 0 over none.

    All axes together by default, which for a matrix is the Frobenius norm. The gradient of a length of 0 is 0.
    Raises ArgumentError for another ord, ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.norm(tr.tensor([3.0, 4.0]))
    Tensor(5., shape=(), dtype=float32)
    """
    if ord in (None, 2, "fro"):
        return apply(NORM, (numeric(x),), axis_numbers("norm", axis), keepdims)
    if ord == 1:
        return sum(abs(x), axis, keepdims)
    if ord in (math.inf, -math.inf):
        return max(abs(x), axis, keepdims) if ord == math.inf else min(abs(x), axis, keepdims)
    raise ArgumentError(f"[norm] ord is 2 (the default), 1, inf or -inf; got {ord!r}; write it as a sum of powers")


@by_axis
@composed
def var(x: Operand, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """The variance over the axes: the mean squared distance from the mean, as np.var.

    ddof: divide by the number of elements less so many (1: unbiased, PyTorch's default).
    Raises ShapeError over no elements, or for an axis that is not there, ArgumentError where ddof leaves none.

    >>> import tinyres as tr
    >>> tr.var(tr.tensor([1.0, 2.0, 3.0]))
    Tensor(0.6667, shape=(), dtype=float32)
    """
    x = numeric(x)
    variance = mean(square(x - mean(x, axis, keepdims=True)), axis, keepdims)
    if ddof == 0:
        return variance
    elements = nonempty("var", x, axis_numbers("var", axis), keepdims).elements
    return variance * (elements / _freedom("var", x, axis, elements, ddof))


@by_axis
@composed
def std(x: Operand, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """The standard deviation over the axes, as np.std: the root of the variance. Where it is 0 its gradient is 0.

    ddof: divide by the number of elements less so many (1: unbiased, PyTorch's default).
    Raises ShapeError over no elements, or for an axis that is not there, ArgumentError where ddof leaves none.

    >>> import tinyres as tr
    >>> tr.std(tr.tensor([1.0, 2.0, 3.0]), ddof=1)
    Tensor(1., shape=(), dtype=float32)
    """
    x = numeric(x)
    elements = nonempty("std", x, axis_numbers("std", axis), keepdims).elements
    freedom = _freedom("std", x, axis, elements, ddof)
    return norm(x - mean(x, axis, keepdims=True), None, axis, keepdims) * (1.0 / math.sqrt(freedom))


def _freedom(op: str, x: Tensor, axis: Axis, elements: int, ddof: int) -> int:
    if not isinstance(ddof, (int, np.integer)) or not 0 <= ddof < elements:
        raise ArgumentError(
            f"[{op}] ddof must be less than the number of elements; got ddof={ddof} for {elements} elements of shape "
            f"{x.shape}, axis={axis}; use ddof=0"
        )
    return elements - int(ddof)
