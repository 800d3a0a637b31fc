"""Integers and masks: exact int64 arithmetic, comparisons and reductions, logic of bools, mixed dtypes.

Ops of floats come here with other inputs (`MIXED` in engine/op.py). A bool counts as 0 or 1. Beside a float an integer
or a mask becomes that float; among themselves they stay int64, which wraps around where it overflows.
No gradient flows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.attributes import OneOf
from tinyres.engine.layout import Shape, broadcast_shapes
from tinyres.engine.op import MIXED, Op, apply
from tinyres.engine.primitives import ADD, Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import DTypeError
from tinyres.kernels.dtypes import BOOL, FLOAT32, INT64
from tinyres.kernels.record import OPERATIONS, RELATION_SHIFT
from tinyres.launch import launch
from tinyres.ops import arithmetic, comparison, division, elementwise, power, reduction
from tinyres.ops.by_axis import by_axis
from tinyres.ops.casting import astype
from tinyres.ops.comparison import equal, greater
from tinyres.ops.reduction import Axis, axis_numbers, nonempty
from tinyres.ops.rules import binary


def _flags(operation: str) -> int:
    return OPERATIONS.index(operation) << RELATION_SHIFT


_Operation = Annotated[int, OneOf(tuple(map(_flags, OPERATIONS)))]
_Logic = Annotated[int, OneOf(tuple(map(_flags, ("and", "or", "xor"))))]


def _integers_shape(a: Tensor, b: Tensor, operation: _Operation) -> Shape:
    return broadcast_shapes("integers", a.shape, b.shape)


def _logic_shape(a: Tensor, b: Tensor, operation: _Logic) -> Shape:
    return broadcast_shapes("logic", a.shape, b.shape)


def _compare_shape(a: Tensor, b: Tensor, relation: comparison.Relation) -> Shape:
    return broadcast_shapes("compare_integers", a.shape, b.shape)


INTEGERS = Op("integers", shape=_integers_shape, forward=binary(kernels.integers), takes="l")
LOGIC = Op("logic", shape=_logic_shape, forward=binary(kernels.logic), takes="b", dtype=BOOL)
COMPARE_INTEGERS = Op(
    "compare_integers",
    shape=_compare_shape,
    forward=binary(kernels.compare_integers),
    takes="l",
    dtype=BOOL,
)


def _reduce_shape(x: Tensor, operation: str, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    if operation in ("add", "mul"):
        return reduction.reduction(_NAMES[operation], x.shape, axis, keepdims).shape
    return nonempty(_NAMES[operation], x, axis, keepdims).shape


_NAMES = {"add": "sum", "mul": "prod", "maximum": "max", "minimum": "min"}


def _reduce_forward(out: Buffer, x: Tensor, operation: str, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    runs, source = reduction.reduction(operation, x.shape, axis, keepdims).runs, x.buffer
    for i, (outer, n, inner) in enumerate(runs, 1):
        target = out if i == len(runs) else Buffer(outer * inner, INT64)
        launch(kernels.reduce_integers, (target,), (source,), (outer, n, inner), (), _flags(operation))
        source = target


REDUCE_INTEGERS = Op("reduce_integers", shape=_reduce_shape, forward=_reduce_forward, takes="l")


def _of_floats(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Tensor | None:
    """The op with every input as a float of the one kind that is among them; None if they are floats already."""
    kinds = {t.dtype for t in inputs}
    if kinds <= set(FLOATS):
        return None
    kind = next((t.dtype for t in inputs if t.dtype in FLOATS), FLOAT32)
    return apply(op, tuple([t if t.dtype in FLOATS else astype(t, kind) for t in inputs]), *attrs)


def _rule(op: Op, operation: str) -> Callable[[tuple[Tensor, ...], tuple[Any, ...]], Tensor | None]:
    """What an op of two inputs is among integers and masks."""

    def run(inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Tensor | None:
        for t in inputs:
            if t.dtype in FLOATS:
                return _of_floats(op, inputs, attrs)
        return apply(INTEGERS, _as_integers(inputs), _flags(operation))

    return run


def _as_integers(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple([astype(t, INT64) for t in inputs])


def _compared(inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Tensor | None:
    for t in inputs:
        if t.dtype in FLOATS:
            return None
    return apply(COMPARE_INTEGERS, _as_integers(inputs), *attrs)


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[tuple[Tensor, ...], tuple[Any, ...]], Tensor | None]:
    def run(inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Tensor | None:
        return None if inputs[0].dtype in FLOATS else function(astype(inputs[0], INT64))

    return run


def _reduced(operation: str) -> Callable[[tuple[Tensor, ...], tuple[Any, ...]], Tensor | None]:
    def run(inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Tensor | None:
        return None if inputs[0].dtype in FLOATS else apply(REDUCE_INTEGERS, _as_integers(inputs), operation, *attrs)

    return run


def _chosen(inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Tensor | None:
    a, b, condition = inputs
    kinds = [t.dtype for t in (a, b) if t.dtype in FLOATS]
    if len(kinds) == 2:
        return None
    if kinds or condition.dtype is not BOOL:  # which is refused there
        kind = kinds[0] if kinds else FLOAT32
        return apply(comparison.WHERE, (astype(a, kind), astype(b, kind), condition))
    a, b, chosen = _as_integers((a, b, condition))
    return arithmetic.add(b, arithmetic.mul(arithmetic.sub(a, b), chosen))  # overflow wraps back


def _mean(inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Tensor | None:
    (x,) = inputs
    if x.dtype in FLOATS:
        return None
    elements = nonempty("mean", x, *attrs).elements
    return astype(reduction.sum(astype(x, INT64), *attrs), FLOAT32) / elements


def _argmax(inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Tensor | None:
    (x,) = inputs
    if x.dtype in FLOATS or x.shape[-1] == 0:
        return None
    x = astype(x, INT64)
    return apply(reduction.ARGMAX, (astype(equal(x, reduction.max(x, -1, keepdims=True)), FLOAT32),))


MIXED.update(
    {
        ADD: _rule(ADD, "add"),
        arithmetic.SUB: _rule(arithmetic.SUB, "sub"),
        arithmetic.MUL: _rule(arithmetic.MUL, "mul"),
        arithmetic.DIV: functools.partial(_of_floats, arithmetic.DIV),
        arithmetic.NEG: _unary(lambda x: arithmetic.sub(0, x)),
        elementwise.ABS: _unary(lambda x: comparison.maximum(x, arithmetic.neg(x))),
        elementwise.SQUARE: _unary(lambda x: arithmetic.mul(x, x)),
        power.POW: _rule(power.POW, "pow"),
        division.MOD: _rule(division.MOD, "mod"),
        division.FLOOR_DIVIDE: _rule(division.FLOOR_DIVIDE, "floor_divide"),
        comparison.COMPARE: _compared,
        comparison.WHERE: _chosen,
        comparison.MAXIMUM: _rule(comparison.MAXIMUM, "maximum"),
        comparison.MINIMUM: _rule(comparison.MINIMUM, "minimum"),
        reduction.SUM: _reduced("add"),
        reduction.MAX: _reduced("maximum"),
        reduction.MIN: _reduced("minimum"),
        reduction.MEAN: _mean,
        reduction.ARGMAX: _argmax,
    }
)


def product_of_integers(x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """The exact product over the axes."""
    return apply(REDUCE_INTEGERS, (astype(x, INT64),), "mul", axis_numbers("prod", axis), keepdims)


def _bitwise(operation: str, sign: str, a: Operand, b: Operand) -> Tensor:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    kinds = {a.dtype, b.dtype}
    if not kinds <= {BOOL, INT64}:
        raise DTypeError(
            f"[{operation}] {sign} takes masks or integers; got {a.dtype} {a.shape} and {b.dtype} {b.shape}; "
            "compare first, as in (x > 0) & (y > 0)"
        )
    if kinds == {BOOL}:
        return apply(LOGIC, (a, b), _flags(operation))
    return apply(INTEGERS, _as_integers((a, b)), _flags(operation))


def bitwise_and(a: Operand, b: Operand) -> Tensor:
    """a & b of masks (both true) or of the bits of integers, broadcast.

    Raises DTypeError for floats.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, 2.0, 3.0])
    >>> (x > 1) & (x < 3)
    Tensor([False,  True, False], shape=(3,), dtype=bool)
    """
    return _bitwise("and", "&", a, b)


def bitwise_or(a: Operand, b: Operand) -> Tensor:
    """a | b of masks (one true or both) or of the bits of integers, broadcast.

    Raises DTypeError for floats.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, 2.0, 3.0])
    >>> (x < 2) | (x > 2)
    Tensor([ True, False,  True], shape=(3,), dtype=bool)
    """
    return _bitwise("or", "|", a, b)


def bitwise_xor(a: Operand, b: Operand) -> Tensor:
    """a ^ b of masks (just one true) or of the bits of integers, broadcast.

    Raises DTypeError for floats.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, 2.0, 3.0])
    >>> (x > 1) ^ (x > 2)
    Tensor([False,  True, False], shape=(3,), dtype=bool)
    """
    return _bitwise("xor", "^", a, b)


def bitwise_left_shift(a: Operand, count: Operand) -> Tensor:
    """a << count of integers, broadcast: a · 2^count, with what leaves the 64 bits lost; 0 for a count below 0.

    Raises DTypeError for floats.

    >>> import tinyres as tr
    >>> tr.arange(3) << 2
    Tensor([0, 4, 8], shape=(3,), dtype=int64)
    """
    a, count = _shifted("left_shift", "<<", a, count)
    return arithmetic.mul(a, power.pow(2, count))


def bitwise_right_shift(a: Operand, count: Operand) -> Tensor:
    """a >> count of integers, broadcast: a / 2^count rounded down; 0 for a count below 0.

    Raises DTypeError for floats.

    >>> import tinyres as tr
    >>> tr.arange(6) >> 1
    Tensor([0, 0, 1, 1, 2, 2], shape=(6,), dtype=int64)
    """
    a, count = _shifted("right_shift", ">>", a, count)
    most = comparison.minimum(count, 62)  # 2^63 is no int64
    rest = comparison.minimum(arithmetic.sub(count, most), 1)
    return division.floor_divide(division.floor_divide(a, power.pow(2, most)), power.pow(2, rest))


def _shifted(name: str, sign: str, a: Operand, count: Operand) -> tuple[Tensor, ...]:
    if not isinstance(a, Tensor) or not isinstance(count, Tensor):
        a, count = as_operands(a, count)
    if not {a.dtype, count.dtype} <= {BOOL, INT64}:
        raise DTypeError(
            f"[{name}] {sign} takes integers; got {a.dtype} {a.shape} and {count.dtype} {count.shape}; "
            "multiply floats, as in x * 2.0**n"
        )
    return _as_integers((a, count))


def bitwise_not(x: Operand) -> Tensor:
    """~x, elementwise: a mask turned around, or the bits of integers.

    Raises DTypeError for floats.

    >>> import tinyres as tr
    >>> ~(tr.tensor([1.0, 2.0]) > 1)
    Tensor([ True, False], shape=(2,), dtype=bool)
    """
    (x,) = (x,) if isinstance(x, Tensor) else as_operands(x)
    return _bitwise("xor", "~", x, True if x.dtype is BOOL else -1)


@by_axis
def any(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether a value over the axes is true (not 0), as a mask; not so over none.

    >>> import tinyres as tr
    >>> tr.any(tr.tensor([[1.0, 0.0], [0.0, 0.0]]) > 0, axis=1)
    Tensor([ True, False], shape=(2,), dtype=bool)
    """
    return greater(reduction.sum(_truth(x), axis, keepdims), 0)


@by_axis
def all(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether every value over the axes is true (not 0), as a mask; so it is over none.

    >>> import tinyres as tr
    >>> tr.all(tr.tensor([[1.0, 1.0], [1.0, 0.0]]) > 0, axis=1)
    Tensor([ True, False], shape=(2,), dtype=bool)
    """
    return equal(reduction.sum(bitwise_not(_truth(x)), axis, keepdims), 0)


def _truth(x: Operand) -> Tensor:
    (x,) = (x,) if isinstance(x, Tensor) else as_operands(x)
    return x if x.dtype is BOOL else astype(x, BOOL)
