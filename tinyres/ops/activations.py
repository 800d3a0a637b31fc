"""Activations with a kernel each for value and slope: gelu, silu, leaky_relu, elu.

The slope's kernel is an op too, so that a gradient can be differentiated again.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.attributes import OneOf
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.record import TANH_FORM
from tinyres.launch import launch
from tinyres.ops.comparison import greater, where
from tinyres.ops.elementwise import exp, sigmoid, square, tanh
from tinyres.ops.rules import equal_shapes, pairwise, same_shape, same_shapes, unary


def _operand(x: Operand) -> tuple[Tensor, ...]:
    return (x,) if isinstance(x, Tensor) else as_operands(x)


def _gelu_forward(out: Buffer, x: Tensor, flags: int) -> None:
    launch(kernels.gelu, (out,), (x.buffer,), (out.size,), (), flags)


def _gelu_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(GELU_GRAD, (g, ctx.inputs[0]), *ctx.attrs),)


def _gelu_grad_forward(out: Buffer, g: Tensor, x: Tensor, flags: int) -> None:
    launch(kernels.gelu_grad, (out,), (g.buffer, x.buffer), (out.size,), (), flags)


def _gelu_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    g, x = ctx.inputs
    (flags,) = ctx.attrs
    to_x = None
    if ctx.needs[1]:
        to_x = c * g * (_tanh_curvature(x) if flags & TANH_FORM else _curvature(x))
    return apply(GELU_GRAD, (c, x), flags) if ctx.needs[0] else None, to_x


def _curvature(x: Tensor) -> Tensor:
    """The second derivative of x Φ(x): φ(x) (2 - x²)."""
    z = square(x)
    return exp(z * -0.5) * ((2.0 - z) / math.sqrt(2 * math.pi))


def _tanh_curvature(x: Tensor) -> Tensor:
    """The second derivative of x (1 + tanh u) / 2 with u = k (x + a x³)."""
    k, a = math.sqrt(2 / math.pi), 0.044715
    z = square(x)
    t = tanh(x * k * (1.0 + z * a))
    slope = k * (1.0 + 3 * a * z)
    return (1.0 - square(t)) * (slope + x * (3 * a * k * x - t * square(slope)))


_Form = Annotated[int, OneOf((0, TANH_FORM))]


def _gelu_shape(x: Tensor, flags: _Form) -> Shape:
    return x.shape


def _gelu_grad_shape(g: Tensor, x: Tensor, flags: _Form) -> Shape:
    return equal_shapes("gelu_grad", g, x)


GELU = Op("gelu", shape=_gelu_shape, forward=_gelu_forward, vjp=_gelu_vjp, saves=(0,))
GELU_GRAD = Op("gelu_grad", shape=_gelu_grad_shape, forward=_gelu_grad_forward, vjp=_gelu_grad_vjp, saves=(0, 1))


def gelu(x: Operand, approximate: bool | str = False) -> Tensor:
    """x Φ(x), elementwise, where Φ is the distribution of a standard normal number.

    approximate: True or "tanh" for x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, as GPT-2 has it; "none" is False.
    Source: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016. Raises ArgumentError for another form.

    >>> import tinyres as tr
    >>> tr.gelu(tr.tensor([-1.0, 1.0]))
    Tensor([-0.1587,  0.8413], shape=(2,), dtype=float32)
    """
    if approximate not in (True, False, "tanh", "none"):
        raise ArgumentError(
            f'[gelu] approximate is False, True, "none" or "tanh"; got {approximate!r}; leave it out for the exact one'
        )
    return apply(GELU, _operand(x), TANH_FORM if approximate in (True, "tanh") else 0)


def _silu_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(SILU_GRAD, (g, ctx.inputs[0])),)


def _silu_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    g, x = ctx.inputs
    to_x = None
    if ctx.needs[1]:
        s = sigmoid(x)
        to_x = c * g * (s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s)))
    return apply(SILU_GRAD, (c, x)) if ctx.needs[0] else None, to_x


SILU = Op("silu", shape=same_shape, forward=unary(kernels.silu), vjp=_silu_vjp, saves=(0,))
SILU_GRAD = Op(
    "silu_grad", shape=same_shapes("silu_grad"), forward=pairwise(kernels.silu_grad), vjp=_silu_grad_vjp, saves=(0, 1)
)


def silu(x: Operand) -> Tensor:
    """x sigmoid(x), elementwise, also known as swish.

    Source: Elfwing, Uchibe and Doya, Sigmoid-weighted linear units, 2017.

    >>> import tinyres as tr
    >>> tr.silu(tr.tensor([-1.0, 1.0]))
    Tensor([-0.2689,  0.7311], shape=(2,), dtype=float32)
    """
    return apply(SILU, _operand(x))


def _leaky_relu_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(LEAKY_RELU_GRAD, (g, ctx.inputs[0]), *ctx.attrs),)


def _leaky_relu_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    return apply(LEAKY_RELU_GRAD, (c, ctx.inputs[1]), *ctx.attrs) if ctx.needs[0] else None, None


def _leaky_relu_shape(x: Tensor, negative_slope: float) -> Shape:
    return x.shape


def _leaky_relu_grad_shape(g: Tensor, x: Tensor, negative_slope: float) -> Shape:
    return equal_shapes("leaky_relu_grad", g, x)


def _is_relu(negative_slope: float) -> bool:
    return negative_slope == 0


def _kept(negative_slope: float) -> float:
    return negative_slope


LEAKY_RELU = Op(
    "leaky_relu",
    shape=_leaky_relu_shape,
    forward=unary(kernels.leaky_relu),
    vjp=_leaky_relu_vjp,
    saves=(0,),
    rectifies=_is_relu,
    leaks=_kept,
)
LEAKY_RELU_GRAD = Op(
    "leaky_relu_grad",
    shape=_leaky_relu_grad_shape,
    forward=pairwise(kernels.leaky_relu_grad),
    vjp=_leaky_relu_grad_vjp,
    saves=(1,),
)


def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Tensor:
    """x where it is above 0, else negative_slope · x, elementwise. Its gradient at 0 is negative_slope.

    negative_slope: a number; 0.01 as in PyTorch (Keras' layer has 0.3). Raises ArgumentError unless it is one.

    >>> import tinyres as tr
    >>> tr.leaky_relu(tr.tensor([-1.0, 2.0]), 0.1)
    Tensor([-0.1,  2. ], shape=(2,), dtype=float32)
    """
    return apply(LEAKY_RELU, _operand(x), _number("leaky_relu", "negative_slope", negative_slope))


def _elu_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(ELU_GRAD, (g, ctx.inputs[0]), *ctx.attrs),)


def _elu_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    g, x = ctx.inputs
    to_x = None
    if ctx.needs[1]:
        to_x = where(greater(x, 0.0), 0.0, apply(ELU_GRAD, (c * g, x), *ctx.attrs))
    return apply(ELU_GRAD, (c, x), *ctx.attrs) if ctx.needs[0] else None, to_x


def _elu_shape(x: Tensor, alpha: float) -> Shape:
    return x.shape


def _elu_grad_shape(g: Tensor, x: Tensor, alpha: float) -> Shape:
    return equal_shapes("elu_grad", g, x)


ELU = Op("elu", shape=_elu_shape, forward=unary(kernels.elu), vjp=_elu_vjp, saves=(0,))
ELU_GRAD = Op("elu_grad", shape=_elu_grad_shape, forward=pairwise(kernels.elu_grad), vjp=_elu_grad_vjp, saves=(0, 1))


def elu(x: Operand, alpha: float = 1.0) -> Tensor:
    """x where it is above 0, else alpha (e^x - 1), elementwise. Its gradient at 0 is alpha.

    alpha: a number. Source: Clevert, Unterthiner and Hochreiter, Exponential Linear Units, 2015. Raises ArgumentError
    for an alpha that is no number.

    >>> import tinyres as tr
    >>> tr.elu(tr.tensor([-1.0, 2.0]))
    Tensor([-0.6321,  2.    ], shape=(2,), dtype=float32)
    """
    return apply(ELU, _operand(x), _number("elu", "alpha", alpha))


def _number(op: str, what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"[{op}] {what} is a number; got {value!r}; write {what}=0.1") from None
