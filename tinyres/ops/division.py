"""Division with rest: mod (%) and floor_divide (//), rounded down as in Python and NumPy."""

from __future__ import annotations

from tinyres import kernels
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.ops.rules import binary, broadcast, zero_gradient


def _mod_vjp(g: Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    return g, g * -floor_divide(a, b) if ctx.needs[1] else None


MOD = Op("mod", shape=broadcast("mod"), forward=binary(kernels.mod), vjp=_mod_vjp, saves=(0, 1))
FLOOR_DIVIDE = Op(
    "floor_divide", shape=broadcast("floor_divide"), forward=binary(kernels.floor_divide), vjp=zero_gradient
)


def mod(a: Operand, b: Operand) -> Tensor:
    """a % b, broadcast: what is left of a / b when it is rounded down; it has the sign of b.

    Floats by 0 give NaN, integers 0.

    >>> import tinyres as tr
    >>> tr.tensor([5.0, -5.0]) % 3
    Tensor([2., 1.], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(MOD, (a, b))


def floor_divide(a: Operand, b: Operand) -> Tensor:
    """a // b, broadcast: the quotient rounded down. Its gradient is 0 everywhere.

    Floats by 0 give ±inf or NaN, integers 0.

    >>> import tinyres as tr
    >>> tr.tensor([5.0, -5.0]) // 3
    Tensor([ 1., -2.], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(FLOOR_DIVIDE, (a, b))
