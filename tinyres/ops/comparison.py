"""Comparisons (bool Tensors, no gradient) and what is chosen by them: where, maximum, minimum.

At a tie maximum and minimum give half of the gradient to each input, so that it always sums to what came.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.attributes import OneOf
from tinyres.engine.layout import Shape, broadcast_shapes, launch_broadcast
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor, tensor
from tinyres.kernels.dtypes import BOOL, FLOAT64
from tinyres.kernels.record import RELATION_SHIFT, RELATIONS
from tinyres.ops.casting import astype
from tinyres.ops.rules import binary, broadcast

Relation = Annotated[int, OneOf(tuple(i << RELATION_SHIFT for i in range(len(RELATIONS))))]


def _compare_shape(a: Tensor, b: Tensor, relation: Relation) -> Shape:
    return broadcast_shapes("compare", a.shape, b.shape)


COMPARE = Op("compare", shape=_compare_shape, forward=binary(kernels.compare), dtype=BOOL)


def _compare(relation: str, a: Operand, b: Operand) -> Tensor:
    a, b = (a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else as_operands(a, b)
    if a.dtype is not b.dtype and (a.dtype in FLOATS) != (b.dtype in FLOATS):  # float64 holds integers up to 2**53
        a, b = astype(a, FLOAT64), astype(b, FLOAT64)
    return apply(COMPARE, (a, b), RELATIONS.index(relation) << RELATION_SHIFT)


def greater(a: Operand, b: Operand) -> Tensor:
    """a > b, elementwise and broadcast, as a bool Tensor.

    >>> import tinyres as tr
    >>> tr.greater(tr.tensor([1.0, 2.0]), 1.5)
    Tensor([False,  True], shape=(2,), dtype=bool)
    """
    return _compare(">", a, b)


def greater_equal(a: Operand, b: Operand) -> Tensor:
    """a >= b, elementwise and broadcast, as a bool Tensor.

    >>> import tinyres as tr
    >>> tr.greater_equal(tr.tensor([1.0, 1.5, 2.0]), 1.5)
    Tensor([False,  True,  True], shape=(3,), dtype=bool)
    """
    return _compare(">=", a, b)


def less(a: Operand, b: Operand) -> Tensor:
    """a < b, elementwise and broadcast, as a bool Tensor.

    >>> import tinyres as tr
    >>> tr.less(tr.tensor([1.0, 1.5, 2.0]), 1.5)
    Tensor([ True, False, False], shape=(3,), dtype=bool)
    """
    return _compare("<", a, b)


def less_equal(a: Operand, b: Operand) -> Tensor:
    """a <= b, elementwise and broadcast, as a bool Tensor.

    >>> import tinyres as tr
    >>> tr.less_equal(tr.tensor([1.0, 1.5, 2.0]), 1.5)
    Tensor([ True,  True, False], shape=(3,), dtype=bool)
    """
    return _compare("<=", a, b)


def equal(a: Operand, b: Operand) -> Tensor:
    """a == b, elementwise and broadcast, as a bool Tensor; NaN equals nothing.

    >>> import tinyres as tr
    >>> tr.equal(tr.tensor([1.0, 1.5, 2.0]), 1.5)
    Tensor([False,  True, False], shape=(3,), dtype=bool)
    """
    return _compare("==", a, b)


def not_equal(a: Operand, b: Operand) -> Tensor:
    """a != b, elementwise and broadcast, as a bool Tensor.

    >>> import tinyres as tr
    >>> tr.not_equal(tr.tensor([1.0, 1.5, 2.0]), 1.5)
    Tensor([ True, False,  True], shape=(3,), dtype=bool)
    """
    return _compare("!=", a, b)


def _where_shape(a: Tensor, b: Tensor, condition: Tensor) -> Shape:
    return broadcast_shapes("where", condition.shape, a.shape, b.shape)


def _where_forward(out: Buffer, a: Tensor, b: Tensor, condition: Tensor) -> None:
    shape = broadcast_shapes("where", condition.shape, a.shape, b.shape)
    launch_broadcast(kernels.where, out, shape, (condition, a, b))


def _where_vjp(g: Tensor, ctx: Context) -> Gradients:
    condition = ctx.inputs[2]
    to_a = where(condition, g, 0.0) if ctx.needs[0] else None
    to_b = where(condition, 0.0, g) if ctx.needs[1] else None
    return to_a, to_b, None


WHERE = Op("where", shape=_where_shape, forward=_where_forward, vjp=_where_vjp, saves=(2,), takes="ffb")


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """a where the condition is true, else b; all three broadcast.

    condition: a bool Tensor or array. Raises DTypeError for a condition of another dtype.
    The branch that is not chosen gets the gradient 0, and 0 times a derivative that is infinite is NaN: where
    tr.where(x > 0, tr.sqrt(x), 0.0) meets x = 0, write tr.where(x > 0, tr.sqrt(tr.where(x > 0, x, 1.0)), 0.0).

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, -2.0])
    >>> tr.where(x > 0, x, 0.0)
    Tensor([1., 0.], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(WHERE, (a, b, _as_condition(condition)))


def _as_condition(value: Operand) -> Tensor:
    if isinstance(value, Tensor) or hasattr(value, "__tinyres_apply__"):
        return value  # type: ignore[return-value]
    return tensor(value, dtype=np.asarray(value).dtype)


def _maximum_vjp(g: Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    return _share(g, ctx, less_equal(b, a), less_equal(a, b))


def _minimum_vjp(g: Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    return _share(g, ctx, less_equal(a, b), less_equal(b, a))


def _share(g: Tensor, ctx: Context, a_fits: Tensor, b_fits: Tensor) -> Gradients:
    """g · 1 to the input that was chosen alone, g · 1/2 to each at a tie; a NaN, which fits nothing, is chosen."""
    a, b = ctx.inputs
    to_a = _or_nan(a_fits, a, g.dtype) - _or_nan(b_fits, b, g.dtype)
    part = to_a * 0.5 + 0.5
    return g * part if ctx.needs[0] else None, g * (1.0 - part) if ctx.needs[1] else None


def _or_nan(fits: Tensor, x: Tensor, dtype: np.dtype) -> Tensor:
    """1 where x fits or is NaN, else 0."""
    return astype(fits, dtype) + astype(not_equal(x, x), dtype)


MAXIMUM = Op("maximum", shape=broadcast("maximum"), forward=binary(kernels.maximum), vjp=_maximum_vjp, saves=(0, 1))
MINIMUM = Op("minimum", shape=broadcast("minimum"), forward=binary(kernels.minimum), vjp=_minimum_vjp, saves=(0, 1))


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of a and b, elementwise and broadcast. NaN wins, and gets the gradient; at a tie each gets half.

    >>> import tinyres as tr
    >>> tr.maximum(tr.tensor([1.0, 3.0]), 2.0)
    Tensor([2., 3.], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(MAXIMUM, (a, b))


def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of a and b, elementwise and broadcast. NaN wins, and gets the gradient; at a tie each gets half.

    >>> import tinyres as tr
    >>> tr.minimum(tr.tensor([1.0, 3.0]), 2.0)
    Tensor([1., 2.], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(MINIMUM, (a, b))
