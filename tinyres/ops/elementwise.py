"""Elementwise functions of one Tensor, and the ops that their gradients are made of.

Where a derivative has a kernel of its own (`relu_grad`, `tanh_grad`, `sigmoid_grad`, `clip_grad`) that kernel is an op
too, so that a gradient can be differentiated again.
"""

from __future__ import annotations

import numpy as np

from tinyres import kernels
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.ops.rules import equal_shapes, pairwise, same_shape, same_shapes, unary, zero_gradient


def _exp_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * ctx.output,)


EXP = Op(
    "exp",
    shape=same_shape,
    forward=unary(kernels.exp),
    vjp=_exp_vjp,
    reads_output=True,
    breaks=("its input is too large", "subtract the maximum first, or use tr.softmax and tr.logsumexp"),
)


def exp(x: Operand) -> Tensor:
    """e to the power of x, elementwise.

    >>> import tinyres as tr
    >>> tr.exp(tr.tensor([0.0, 1.0]))
    Tensor([1.    , 2.7183], shape=(2,), dtype=float32)
    """
    return apply(EXP, (x,) if isinstance(x, Tensor) else as_operands(x))


def _log_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g / ctx.inputs[0],)


LOG = Op(
    "log",
    shape=same_shape,
    forward=unary(kernels.log),
    vjp=_log_vjp,
    saves=(0,),
    breaks=("log of a number below 0 is NaN, of 0 infinite", "keep its input positive, as with tr.clip(x, 1e-7, 1.0)"),
)


def log(x: Operand) -> Tensor:
    """The natural logarithm, elementwise; -inf at 0, NaN below.

    >>> import tinyres as tr
    >>> tr.log(tr.tensor([1.0, 10.0]))
    Tensor([0.    , 2.3026], shape=(2,), dtype=float32)
    """
    return apply(LOG, (x,) if isinstance(x, Tensor) else as_operands(x))


def _sqrt_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * 0.5 / ctx.output,)


SQRT = Op(
    "sqrt",
    shape=same_shape,
    forward=unary(kernels.sqrt),
    vjp=_sqrt_vjp,
    reads_output=True,
    breaks=("the square root of a number below 0 is NaN", "keep its input from falling below 0"),
)


def sqrt(x: Operand) -> Tensor:
    """The square root, elementwise; NaN below 0. Its gradient at 0 is infinite.

    >>> import tinyres as tr
    >>> tr.sqrt(tr.tensor([4.0, 9.0]))
    Tensor([2., 3.], shape=(2,), dtype=float32)
    """
    return apply(SQRT, (x,) if isinstance(x, Tensor) else as_operands(x))


def _square_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * 2.0 * ctx.inputs[0],)


SQUARE = Op("square", shape=same_shape, forward=unary(kernels.square), vjp=_square_vjp, saves=(0,))


def square(x: Operand) -> Tensor:
    """x · x, elementwise.

    >>> import tinyres as tr
    >>> tr.square(tr.tensor([3.0, -2.0]))
    Tensor([9., 4.], shape=(2,), dtype=float32)
    """
    return apply(SQUARE, (x,) if isinstance(x, Tensor) else as_operands(x))


def _reciprocal_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (-(g * square(ctx.output)),)


RECIPROCAL = Op(
    "reciprocal", shape=same_shape, forward=unary(kernels.reciprocal), vjp=_reciprocal_vjp, reads_output=True
)


def reciprocal(x: Operand) -> Tensor:
    """1 / x, elementwise; ±inf at ±0.

    >>> import tinyres as tr
    >>> tr.reciprocal(tr.tensor([2.0, -4.0]))
    Tensor([ 0.5 , -0.25], shape=(2,), dtype=float32)
    """
    return apply(RECIPROCAL, (x,) if isinstance(x, Tensor) else as_operands(x))


def _abs_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * sign(ctx.inputs[0]),)


ABS = Op("abs", shape=same_shape, forward=unary(kernels.abs), vjp=_abs_vjp, saves=(0,))


def abs(x: Operand) -> Tensor:
    """|x|, elementwise. Its gradient at 0 is 0.

    >>> import tinyres as tr
    >>> tr.abs(tr.tensor([3.0, -2.0]))
    Tensor([3., 2.], shape=(2,), dtype=float32)
    """
    return apply(ABS, (x,) if isinstance(x, Tensor) else as_operands(x))


SIGN = Op("sign", shape=same_shape, forward=unary(kernels.sign), vjp=zero_gradient)


def sign(x: Operand) -> Tensor:
    """-1, 0 or 1, elementwise; NaN for NaN. Its gradient is 0 everywhere.

    >>> import tinyres as tr
    >>> tr.sign(tr.tensor([3.0, 0.0, -2.0]))
    Tensor([ 1.,  0., -1.], shape=(3,), dtype=float32)
    """
    return apply(SIGN, (x,) if isinstance(x, Tensor) else as_operands(x))


def _relu_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    return relu_grad(c, ctx.inputs[1]) if ctx.needs[0] else None, None


RELU_GRAD = Op(
    "relu_grad", shape=same_shapes("relu_grad"), forward=pairwise(kernels.relu_grad), vjp=_relu_grad_vjp, saves=(1,)
)


def relu_grad(g: Tensor, y: Tensor) -> Tensor:
    """g where y > 0 (or NaN), else 0: the gradient of y = relu(x)."""
    return apply(RELU_GRAD, (g, y))


def _relu_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (relu_grad(g, ctx.output),)


RELU = Op("relu", shape=same_shape, forward=unary(kernels.relu), vjp=_relu_vjp, reads_output=True, rectifies=True)


def relu(x: Operand) -> Tensor:
    """max(x, 0), elementwise; NaN stays NaN. Its gradient at 0 is 0.

    >>> import tinyres as tr
    >>> tr.relu(tr.tensor([3.0, -2.0]))
    Tensor([3., 0.], shape=(2,), dtype=float32)
    """
    return apply(RELU, (x,) if isinstance(x, Tensor) else as_operands(x))


def _tanh_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    g, y = ctx.inputs
    to_y = c * g * y * -2.0 if ctx.needs[1] else None
    return tanh_grad(c, y) if ctx.needs[0] else None, to_y


TANH_GRAD = Op(
    "tanh_grad", shape=same_shapes("tanh_grad"), forward=pairwise(kernels.tanh_grad), vjp=_tanh_grad_vjp, saves=(0, 1)
)


def tanh_grad(g: Tensor, y: Tensor) -> Tensor:
    """g · (1 - y²): the gradient of y = tanh(x)."""
    return apply(TANH_GRAD, (g, y))


def _tanh_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (tanh_grad(g, ctx.output),)


TANH = Op("tanh", shape=same_shape, forward=unary(kernels.tanh), vjp=_tanh_vjp, reads_output=True, slope=1.0)


def tanh(x: Operand) -> Tensor:
    """The hyperbolic tangent, elementwise.

    >>> import tinyres as tr
    >>> tr.tanh(tr.tensor([0.0, 1.0]))
    Tensor([0.    , 0.7616], shape=(2,), dtype=float32)
    """
    return apply(TANH, (x,) if isinstance(x, Tensor) else as_operands(x))


def _sigmoid_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    g, y = ctx.inputs
    to_y = c * g * (1.0 - 2.0 * y) if ctx.needs[1] else None
    return sigmoid_grad(c, y) if ctx.needs[0] else None, to_y


SIGMOID_GRAD = Op(
    "sigmoid_grad",
    shape=same_shapes("sigmoid_grad"),
    forward=pairwise(kernels.sigmoid_grad),
    vjp=_sigmoid_grad_vjp,
    saves=(0, 1),
)


def sigmoid_grad(g: Tensor, y: Tensor) -> Tensor:
    """g · y · (1 - y): the gradient of y = sigmoid(x)."""
    return apply(SIGMOID_GRAD, (g, y))


def _sigmoid_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (sigmoid_grad(g, ctx.output),)


SIGMOID = Op(
    "sigmoid", shape=same_shape, forward=unary(kernels.sigmoid), vjp=_sigmoid_vjp, reads_output=True, slope=0.25
)


def sigmoid(x: Operand) -> Tensor:
    """1 / (1 + e^-x), elementwise; never overflows.

    >>> import tinyres as tr
    >>> tr.sigmoid(tr.tensor([0.0, 1.0]))
    Tensor([0.5   , 0.7311], shape=(2,), dtype=float32)
    """
    return apply(SIGMOID, (x,) if isinstance(x, Tensor) else as_operands(x))


def _softplus_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * sigmoid(ctx.inputs[0]),)


SOFTPLUS = Op("softplus", shape=same_shape, forward=unary(kernels.softplus), vjp=_softplus_vjp, saves=(0,))


def softplus(x: Operand) -> Tensor:
    """log(1 + e^x), elementwise; never overflows.

    >>> import tinyres as tr
    >>> tr.softplus(tr.tensor([0.0, 1.0]))
    Tensor([0.6931, 1.3133], shape=(2,), dtype=float32)
    """
    return apply(SOFTPLUS, (x,) if isinstance(x, Tensor) else as_operands(x))


def _clip_grad_shape(g: Tensor, x: Tensor, lo: float, hi: float) -> Shape:
    return equal_shapes("clip_grad", g, x)


def _clip_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    return clip_grad(c, ctx.inputs[1], *ctx.attrs) if ctx.needs[0] else None, None


CLIP_GRAD = Op("clip_grad", shape=_clip_grad_shape, forward=pairwise(kernels.clip_grad), vjp=_clip_grad_vjp, saves=(1,))


def clip_grad(g: Tensor, x: Tensor, lo: float, hi: float) -> Tensor:
    """g where lo <= x <= hi (or x is NaN), else 0: the gradient of clip(x, lo, hi)."""
    return apply(CLIP_GRAD, (g, x), lo, hi)


def _clip_shape(x: Tensor, lo: float, hi: float) -> Shape:
    return x.shape


def _clip_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (clip_grad(g, ctx.inputs[0], *ctx.attrs),)


def _cuts_at_zero(lo: float, hi: float) -> bool:
    return (lo, hi) in ((0.0, np.inf), (-np.inf, 0.0))


CLIP = Op("clip", shape=_clip_shape, forward=unary(kernels.clip), vjp=_clip_vjp, saves=(0,), rectifies=_cuts_at_zero)


def clip(x: Operand, lo: float | None = None, hi: float | None = None) -> Tensor:
    """x limited to lo..hi, elementwise; NaN stays NaN. The gradient passes where lo <= x <= hi.

    lo, hi: numbers, None for no limit. Raises ArgumentError if lo > hi, or one is not a number.

    >>> import tinyres as tr
    >>> tr.clip(tr.tensor([-3.0, 0.5, 3.0]), -1.0, 1.0)
    Tensor([-1. ,  0.5,  1. ], shape=(3,), dtype=float32)
    """
    try:
        low, high = -np.inf if lo is None else float(lo), np.inf if hi is None else float(hi)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"[clip] the limits must be numbers or None; got {lo!r} and {hi!r}; "
            "for limits per element use tr.minimum(tr.maximum(x, lo), hi)"
        ) from None
    if not low <= high:
        raise ArgumentError(f"[clip] the lower limit must not exceed the upper; got lo={lo}, hi={hi}; swap them")
    return apply(CLIP, (x,) if isinstance(x, Tensor) else as_operands(x), low, high)
