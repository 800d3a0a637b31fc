"""Order: argsort, sort and argmin. Sorting is stable, NaN comes last (first where descending)."""

from __future__ import annotations

import math

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor, tensor
from tinyres.kernels.dtypes import FLOAT64, INT64
from tinyres.kernels.record import REVERSE, SORTED_IN_WORKSPACE
from tinyres.launch import launch
from tinyres.ops.arithmetic import neg
from tinyres.ops.by_axis import by_axis
from tinyres.ops.casting import astype
from tinyres.ops.composed import composed
from tinyres.ops.gather import GATHER_ROWS
from tinyres.ops.movement import flatten, reshape, transpose
from tinyres.ops.reduction import argmax, one_axis


def _argsort_shape(x: Tensor, descending: bool) -> Shape:
    return x.shape


def _argsort_forward(out: Buffer, x: Tensor, descending: bool) -> None:
    columns = x.shape[-1]
    rows = out.size // columns if columns else 0
    scratch = ABSENT if columns <= SORTED_IN_WORKSPACE else Buffer(out.size, INT64)
    launch(kernels.argsort, (out, scratch), (x.buffer,), (rows, columns), (), REVERSE if descending else 0)


ARGSORT = Op("argsort", shape=_argsort_shape, forward=_argsort_forward, dtype=INT64)


@by_axis
@composed
def argsort(x: Operand, axis: int | None = -1, descending: bool = False) -> Tensor:
    """The positions that put the values along an axis in ascending order; int64, no gradient.

    axis: None sorts the flattened Tensor. Equal values keep their order.
    Raises ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.argsort(tr.tensor([3.0, 1.0, 2.0]))
    Tensor([1, 2, 0], shape=(3,), dtype=int64)
    """
    x, order = _last_axis("argsort", x, axis)
    return transpose(_order(x, descending), order) if order else _order(x, descending)


@by_axis
@composed
def sort(x: Operand, axis: int | None = -1, descending: bool = False) -> Tensor:
    """The values along an axis in ascending order; each gradient goes back to where its value stood.

    axis: None sorts the flattened Tensor. For the positions too, use tr.argsort and tr.take.
    Raises ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.sort(tr.tensor([3.0, 1.0, 2.0]), descending=True)
    Tensor([3., 2., 1.], shape=(3,), dtype=float32)
    """
    x, order = _last_axis("sort", x, axis)
    columns = x.shape[-1]
    rows = math.prod(x.shape[:-1])
    starts = tensor(np.arange(rows).reshape(*x.shape[:-1], 1) * columns, dtype=INT64)
    ids = _order(x, descending) + starts
    y = apply(GATHER_ROWS, (reshape(x, (rows * columns,)), ids), 0, 1)
    return transpose(y, order) if order else y


def _order(x: Tensor, descending: bool) -> Tensor:
    return apply(ARGSORT, (x if x.dtype in FLOATS else astype(x, FLOAT64),), bool(descending))


def _last_axis(op: str, x: Operand, axis: int | None) -> tuple[Tensor, tuple[int, ...]]:
    """x with this axis exchanged with the last, and the order that undoes it; () where it is the last."""
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    if axis is None:
        x, axis = flatten(x), -1
    at, last = one_axis(op, x.shape, axis), x.ndim - 1
    if at == last:
        return x, ()
    order = list(range(x.ndim))
    order[at], order[last] = last, at
    return transpose(x, order), tuple(order)


@by_axis
def argmin(x: Operand, axis: int | None = None) -> Tensor:
    """Where the (first) minimum stands along an axis, or in the flattened Tensor; int64, no gradient.

    NaN counts as the minimum, as in np.argmin. Raises ShapeError for an axis that is not there or empty.

    >>> import tinyres as tr
    >>> tr.argmin(tr.tensor([[1.0, 4.0], [3.0, 2.0]]), axis=1)
    Tensor([0, 1], shape=(2,), dtype=int64)
    """
    return argmax(neg(x), axis)
