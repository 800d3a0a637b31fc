"""Arithmetic: sub, mul, div, neg. (`add` lives in the engine, which accumulates gradients with it.)

Inputs broadcast as in NumPy; what is not a Tensor takes part with the dtype of the Tensor. A VJP may return a
gradient of the broadcast shape: the engine sums it down to the input's.
"""

from __future__ import annotations

from tinyres import kernels
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, add, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.ops.rules import binary, broadcast, same_shape, unary

__all__ = ["add", "div", "mul", "neg", "sub"]


def _sub_vjp(g: Tensor, ctx: Context) -> Gradients:
    return g, -g if ctx.needs[1] else None


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
    return g * b if ctx.needs[0] else None, g * a if ctx.needs[1] else None


MUL = Op("mul", shape=broadcast("mul"), forward=binary(kernels.mul), vjp=_mul_vjp, saves=(0, 1), multiplies=True)


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
    to_a = g / ctx.inputs[1]
    return to_a, -(to_a * ctx.output) if ctx.needs[1] else None


DIV = Op(
    "div",
    shape=broadcast("div"),
    forward=binary(kernels.div),
    vjp=_div_vjp,
    saves=(1,),
    reads_output=True,
    multiplies=True,
    breaks=("it divides by 0, or by next to nothing", "add a small number to the denominator"),
)


def div(a: Operand, b: Operand) -> Tensor:
    """The elementwise quotient a / b, broadcast; by zero it is ±inf or NaN, as in IEEE 754.

    >>> import tinyres as tr
    >>> tr.div(tr.tensor([3.0, 2.0]), 2.0)
    Tensor([1.5, 1. ], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(DIV, (a, b))


def _neg_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (-g,)


NEG = Op("neg", shape=same_shape, forward=unary(kernels.neg), vjp=_neg_vjp)


def neg(x: Operand) -> Tensor:
    """-x, elementwise.

    >>> import tinyres as tr
    >>> tr.neg(tr.tensor([1.0, -2.0]))
    Tensor([-1.,  2.], shape=(2,), dtype=float32)
    """
    return apply(NEG, (x,) if isinstance(x, Tensor) else as_operands(x))
