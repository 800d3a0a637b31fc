"""Arithmetic: sub, mul, div, neg, pow. (`add` lives in the engine, which accumulates gradients with it.)

Inputs broadcast as in NumPy; what is not a Tensor takes part with the dtype of the Tensor. A VJP may return a
gradient of the broadcast shape: the engine sums it down to the input's.
"""

from __future__ import annotations

from tinyres.backends import reference as kernels
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, add, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.ops.comparison import equal, where
from tinyres.ops.elementwise import log, neg, reciprocal, sqrt, square
from tinyres.ops.rules import binary, broadcast

__all__ = ["add", "div", "mul", "neg", "pow", "sub"]


def _sub_vjp(g: Tensor, ctx: Context) -> Gradients:
    return g, neg(g) if ctx.needs[1] else None


SUB = Op("sub", shape=broadcast("sub"), forward=binary(kernels.sub), vjp=_sub_vjp)


def sub(a: Operand, b: Operand) -> Tensor:
    """The elementwise difference a - b, broadcast.

    >>> import tinyres as tr
    >>> tr.sub(tr.tensor([3.0, 2.0]), 1.0)
    Tensor([2., 1.], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(SUB, (a, b))


def _mul_vjp(g: Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    return mul(g, b) if ctx.needs[0] else None, mul(g, a) if ctx.needs[1] else None


MUL = Op("mul", shape=broadcast("mul"), forward=binary(kernels.mul), vjp=_mul_vjp, saves=(0, 1))


def mul(a: Operand, b: Operand) -> Tensor:
    """The elementwise product a · b, broadcast.

    >>> import tinyres as tr
    >>> tr.mul(tr.tensor([3.0, 2.0]), 2.0)
    Tensor([6., 4.], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(MUL, (a, b))


def _div_vjp(g: Tensor, ctx: Context) -> Gradients:
    to_a = div(g, ctx.inputs[1])
    return to_a, neg(mul(to_a, ctx.output)) if ctx.needs[1] else None


DIV = Op("div", shape=broadcast("div"), forward=binary(kernels.div), vjp=_div_vjp, saves=(1,), reads_output=True)


def div(a: Operand, b: Operand) -> Tensor:
    """The elementwise quotient a / b, broadcast; by zero it is ±inf or NaN, as in IEEE 754.

    >>> import tinyres as tr
    >>> tr.div(tr.tensor([3.0, 2.0]), 2.0)
    Tensor([1.5, 1. ], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(DIV, (a, b))


def _pow_vjp(g: Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    to_a = to_b = None
    if ctx.needs[0]:  # where b is 0 the derivative is 0, also at a = 0, where 0 · 0**-1 would be NaN
        to_a = mul(g, where(equal(b, 0.0), 0.0, mul(b, pow(a, sub(b, 1.0)))))
    if ctx.needs[1]:  # at a = 0 the limit for b > 0 is 0, where 0 · log 0 would be NaN
        to_b = mul(g, mul(ctx.output, log(where(equal(a, 0.0), 1.0, a))))
    return to_a, to_b


POW = Op("pow", shape=broadcast("pow"), forward=binary(kernels.pow), vjp=_pow_vjp, saves=(0, 1), reads_output=True)


def pow(a: Operand, b: Operand) -> Tensor:
    """The elementwise power a ** b, broadcast; NaN for a negative base with a fractional exponent.

    >>> import tinyres as tr
    >>> tr.pow(tr.tensor([3.0, 2.0]), 3)
    Tensor([27.,  8.], shape=(2,), dtype=float32)
    """
    if isinstance(b, (int, float)) and isinstance(a, Tensor):
        if b == 2:
            return square(a)
        if b == 0.5:
            return sqrt(a)
        if b == -1:
            return reciprocal(a)
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(POW, (a, b))
