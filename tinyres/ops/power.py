"""Powers: pow, which turns into square, sqrt or reciprocal where the exponent is the number 2, 0.5 or -1."""

from __future__ import annotations

from tinyres import kernels
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.ops.comparison import equal, greater, where
from tinyres.ops.elementwise import abs, log, reciprocal, sqrt, square
from tinyres.ops.rules import binary, broadcast


def _pow_vjp(g: Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    to_a = to_b = None
    if ctx.needs[0]:  # where b is 0 the derivative is 0, also at a = 0 and NaN: another base keeps all orders finite
        harmless = equal(b, 0.0) & ~greater(abs(a), 0.0)
        to_a = g * (b * pow(where(harmless, 1.0, a), b - 1.0))
    if ctx.needs[1]:  # at a = 0 the limit for b > 0 is 0, where 0 · log 0 would be NaN
        to_b = g * (ctx.output * log(where(equal(a, 0.0), 1.0, a)))
    return to_a, to_b


POW = Op(
    "pow",
    shape=broadcast("pow"),
    forward=binary(kernels.pow),
    vjp=_pow_vjp,
    saves=(0, 1),
    reads_output=True,
    breaks=("a negative base or too large a result", "keep the base positive and the exponent small"),
)


def pow(a: Operand, b: Operand) -> Tensor:
    """The elementwise power a ** b, broadcast; NaN for a negative base with a fractional exponent.

    >>> import tinyres as tr
    >>> tr.pow(tr.tensor([3.0, 2.0]), 3)
    Tensor([27.,  8.], shape=(2,), dtype=float32)
    """
    if isinstance(b, (int, float)) and isinstance(a, Tensor) and a.dtype in FLOATS:
        if b == 2:
            return square(a)
        if b == 0.5:
            return sqrt(a)
        if b == -1:
            return reciprocal(a)
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(POW, (a, b))
