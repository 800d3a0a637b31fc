"""prod, a product by halves; cumsum, whose gradient is a cumsum the other way round."""

from __future__ import annotations

import math

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.kernels.record import REVERSE
from tinyres.launch import launch
from tinyres.ops.by_axis import by_axis
from tinyres.ops.composed import composed
from tinyres.ops.creation import ones
from tinyres.ops.integers import product_of_integers
from tinyres.ops.movement import concatenate, flatten, reshape, transpose
from tinyres.ops.reduction import Axis, normalized_axes, numeric, one_axis, reduction


@by_axis
@composed
def prod(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over the axes; 1 over none. Its gradient is right also where elements are 0.

    Multiplied by halves, the first with the second, and these again. Raises ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.prod(tr.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    Tensor([ 2., 12.], shape=(2,), dtype=float32)
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    if x.dtype not in FLOATS:
        return product_of_integers(x, axis, keepdims)
    plan = reduction("prod", x.shape, axis, keepdims)
    axes = normalized_axes("prod", x.shape, axis)
    if axes != tuple(range(len(axes))):
        x = transpose(x, (*axes, *[i for i in range(x.ndim) if i not in axes]))
    n, rest = plan.elements, math.prod(plan.shape)
    x = reshape(x, (n, rest))
    if n == 0:
        return reshape(ones((rest,), dtype=x.dtype), plan.shape)
    while n > 1:
        half = n // 2
        product = x[:half] * x[half : 2 * half]
        x = concatenate([product, x[2 * half :]]) if n % 2 else product
        n -= half
    return reshape(x, plan.shape)


def _cumsum_forward(out: Buffer, x: Tensor, axis: int, reverse: bool) -> None:
    at = one_axis("cumsum", x.shape, axis)
    sizes = math.prod(x.shape[:at]), x.shape[at], math.prod(x.shape[at + 1 :])
    launch(kernels.cumsum, (out,), (x.buffer,), sizes, (), REVERSE if reverse else 0)


def _cumsum_vjp(g: Tensor, ctx: Context) -> Gradients:
    axis, reverse = ctx.attrs
    return (apply(CUMSUM, (g,), axis, not reverse),)


def _cumsum_shape(x: Tensor, axis: int, reverse: bool) -> Shape:
    one_axis("cumsum", x.shape, axis)
    return x.shape


CUMSUM = Op("cumsum", shape=_cumsum_shape, forward=_cumsum_forward, vjp=_cumsum_vjp)


@by_axis
def cumsum(x: Operand, axis: int | None = None, reverse: bool = False) -> Tensor:
    """The sums of the elements up to each along an axis, or of the flattened Tensor.

    reverse: from each element to the last. Raises ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.cumsum(tr.tensor([1.0, 2.0, 3.0]))
    Tensor([1., 3., 6.], shape=(3,), dtype=float32)
    """
    x = numeric(x)
    if axis is None:
        x, axis = flatten(x), 0
    return apply(CUMSUM, (x,), axis, bool(reverse))
