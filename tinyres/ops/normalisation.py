"""Batch normalisation (Ioffe and Szegedy, 2015) over all axes but the last, with the biased variance, as Keras.

In training the batch's own statistics normalise, and the gradient flows through them; `batchnorm` also returns them
for the moving averages. In inference given statistics do, and every row stands for itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply, apply_first
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor, constant
from tinyres.errors import DTypeError, ShapeError
from tinyres.launch import launch
from tinyres.ops.elementwise import sqrt, square
from tinyres.ops.movement import broadcast_to
from tinyres.ops.reduction import mean, sum


def _rows_and_columns(shape: Shape) -> tuple[int, int]:
    rows = 1
    for size in shape[:-1]:
        rows *= size
    return rows, shape[-1]


def _check(op: str, x: Tensor, *per_feature: Tensor) -> Shape:
    if len(x.shape) < 2:
        raise ShapeError(f"[{op}] the input must have shape (batch, ..., features); got {x.shape}; add a batch axis")
    for t in per_feature:
        if t.shape != x.shape[-1:]:
            raise ShapeError(
                f"[{op}] gamma, beta and the statistics must have one element per feature, shape {x.shape[-1:]}; "
                f"got {t.shape} for an input of shape {x.shape}; build the layer for {x.shape[-1]} features"
            )
    return x.shape


def _batchnorm_shape(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Shape, Shape, Shape]:
    _check("batchnorm", x, gamma, beta)
    if 0 in x.shape:
        raise ShapeError(
            f"[batchnorm] the batch is empty, its mean is not defined: got shape {x.shape}; give at least one example"
        )
    return x.shape, gamma.shape, gamma.shape


def _batchnorm_forward(outs: tuple[Buffer, ...], x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> None:
    ins = x.buffer, gamma.buffer, beta.buffer
    launch(kernels.batchnorm, outs, ins, _rows_and_columns(x.shape), (epsilon,))


def _batchnorm_vjp(cotangents: tuple[Tensor | None, ...], ctx: Context) -> Gradients:
    x, gamma, _ = ctx.inputs
    _, average, variance = ctx.outputs
    g, to_average, to_variance = cotangents
    axes = tuple(range(len(x.shape) - 1))
    to_x = to_gamma = None
    centred = x - average if ctx.needs[0] or ctx.needs[1] else None
    if centred is not None and ctx.needs[0]:
        to_x = _through_statistics(centred, to_average, to_variance)
    if centred is not None and g is not None:
        deviation = sqrt(variance + ctx.attrs[0])
        normalised = centred / deviation
        along = g * normalised
        to_gamma = sum(along, axes) if ctx.needs[1] else None
        if ctx.needs[0]:
            direct = (g - mean(g, axes) - normalised * mean(along, axes)) * (gamma / deviation)
            to_x = direct if to_x is None else direct + to_x
    return to_x, to_gamma, sum(g, axes) if g is not None and ctx.needs[2] else None


def _through_statistics(centred: Tensor, to_average: Tensor | None, to_variance: Tensor | None) -> Tensor | None:
    """What the gradients of both statistics bring to x: the mean is Σ x / n, the variance Σ (x - mean)² / n."""
    rows, _ = _rows_and_columns(centred.shape)
    to_x = None if to_average is None else broadcast_to(to_average * (1.0 / rows), centred.shape)
    if to_variance is None:
        return to_x
    through_variance = centred * (to_variance * (2.0 / rows))
    return through_variance if to_x is None else through_variance + to_x


def _batchnorm_fast_vjp(cotangents: tuple[Tensor | None, ...], ctx: Context) -> Gradients:
    g, to_mean, to_variance = cotangents
    if g is None or to_mean is not None or to_variance is not None:
        return _batchnorm_vjp(cotangents, ctx)
    x, gamma, _ = ctx.inputs
    _, average, variance = ctx.output_buffers
    sizes = x.buffer.size, gamma.buffer.size, gamma.buffer.size
    outs = [Buffer(size, x.dtype) if needed else ABSENT for size, needed in zip(sizes, ctx.needs)]
    ins = g.buffer, x.buffer, average, variance, gamma.buffer
    launch(kernels.batchnorm_grad, outs, ins, _rows_and_columns(x.shape), ctx.attrs)
    shapes = x.shape, gamma.shape, gamma.shape
    return [Tensor(out, shape, x.dtype) if needed else None for out, shape, needed in zip(outs, shapes, ctx.needs)]


BATCHNORM = Op(
    "batchnorm",
    outputs=("y", "mean", "variance"),
    shape=_batchnorm_shape,
    forward=_batchnorm_forward,
    vjp=_batchnorm_vjp,
    fast_vjp=_batchnorm_fast_vjp,
    saves=(0, 1, 2),
    reads_output=True,
    normalises="batch",
)


def batchnorm(
    x: Operand, gamma: Operand | None = None, beta: Operand | None = None, epsilon: float = 1e-3
) -> tuple[Tensor, Tensor, Tensor]:
    """gamma · (x - mean) / sqrt(variance + epsilon) + beta with the batch's own statistics, and these statistics.

    x: (batch, ..., features). gamma, beta: (features,), None for 1 and 0. Returns (y, mean, variance); the statistics
    have shape (features,), the variance is biased; gradients flow through all three.
    Raises ShapeError where the shapes do not fit or the batch is empty, DTypeError for a symbolic tensor.

    >>> import tinyres as tr
    >>> y, mean, variance = tr.batchnorm(tr.tensor([[1.0], [3.0]]), epsilon=0.0)
    >>> y.tolist(), mean.item(), variance.item()
    ([[-1.0], [1.0]], 2.0, 1.0)
    """
    y, average, variance = apply(BATCHNORM, _tensors(x, gamma, beta), float(epsilon))
    return y, average, variance


def batchnorm_and_statistics(
    x: Operand, gamma: Operand | None, beta: Operand | None, epsilon: float
) -> tuple[Tensor, Buffer, Buffer]:
    """`batchnorm` for a layer, which only reads the values of mean and variance."""
    if not (isinstance(x, Tensor) and isinstance(gamma, Tensor) and isinstance(beta, Tensor)):
        x, gamma, beta = _tensors(x, gamma, beta)
    y, (_, average, variance) = apply_first(BATCHNORM, (x, gamma, beta), epsilon)
    return y, average, variance


def batchnorm_across(
    x: Tensor, gamma: Operand | None, beta: Operand | None, epsilon: float, across: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Buffer, Buffer]:
    """`batchnorm` of a part of a batch by the statistics of all its parts. across: sums a Tensor over them."""
    x, gamma, beta = _tensors(x, gamma, beta)
    rows, axes = x.size // x.shape[-1], tuple(range(x.ndim - 1))
    count = across(constant(np.array([rows]), x.dtype))
    average = across(sum(x, axes)) / count
    centred = x - average
    variance = across(sum(square(centred), axes)) / count
    return centred / sqrt(variance + epsilon) * gamma + beta, average.buffer, variance.buffer


def _tensors(x: Operand, gamma: Operand | None, beta: Operand | None) -> tuple[Tensor, ...]:
    operands = _operands(x, gamma, beta)
    if not isinstance(operands[0], Tensor):
        raise DTypeError(f"[batchnorm] takes Tensors; got {type(operands[0]).__name__}; use layers.BatchNorm")
    return operands


def _operands(x: Operand, gamma: Operand | None, beta: Operand | None) -> tuple[Tensor, ...]:
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    features = x.shape[-1] if x.shape else 0
    gamma = _constant_row(1.0, features, x.dtype) if gamma is None else gamma
    beta = _constant_row(0.0, features, x.dtype) if beta is None else beta
    if not isinstance(gamma, Tensor) or not isinstance(beta, Tensor):
        return as_operands(x, gamma, beta)
    return x, gamma, beta


@functools.lru_cache(maxsize=64)
def _constant_row(value: float, features: int, dtype: np.dtype) -> Tensor:
    return constant(np.full(features, value), dtype)


def _inference_shape(
    x: Tensor, moving_mean: Tensor, moving_variance: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> Shape:
    return _check("batchnorm_inference", x, moving_mean, moving_variance, gamma, beta)


def _inference_forward(
    out: Buffer,
    x: Tensor,
    moving_mean: Tensor,
    moving_variance: Tensor,
    gamma: Tensor,
    beta: Tensor,
    epsilon: float,
) -> None:
    launch(
        kernels.batchnorm_inference,
        (out,),
        (x.buffer, moving_mean.buffer, moving_variance.buffer, gamma.buffer, beta.buffer),
        _rows_and_columns(x.shape),
        (epsilon,),
    )


def _inference_vjp(g: Tensor, ctx: Context) -> Gradients:
    x, moving_mean, moving_variance, gamma, _ = ctx.inputs
    (epsilon,) = ctx.attrs
    needs = ctx.needs
    axes = tuple(range(len(x.shape) - 1))
    deviation = sqrt(moving_variance + epsilon)
    slope = gamma / deviation
    to_x = g * slope if needs[0] else None
    to_beta = sum(g, axes) if needs[4] or needs[1] else None
    to_mean = to_beta * -slope if to_beta is not None and needs[1] else None
    to_gamma = to_variance = None
    if needs[2] or needs[3]:
        to_gamma = sum(g * (x - moving_mean), axes) / deviation
    if to_gamma is not None and needs[2]:
        to_variance = to_gamma * gamma * -0.5 / (moving_variance + epsilon)
    return to_x, to_mean, to_variance, to_gamma, to_beta


BATCHNORM_INFERENCE = Op(
    "batchnorm_inference",
    shape=_inference_shape,
    forward=_inference_forward,
    vjp=_inference_vjp,
    saves=(0, 1, 2, 3, 4),
    normalises="batch",
)


def batchnorm_inference(
    x: Operand,
    moving_mean: Operand,
    moving_variance: Operand,
    gamma: Operand | None = None,
    beta: Operand | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """gamma · (x - moving_mean) / sqrt(moving_variance + epsilon) + beta: each row on its own.

    x: (batch, ..., features); all others (features,), gamma and beta None for 1 and 0.
    Raises ShapeError where the shapes do not fit.

    >>> import tinyres as tr
    >>> tr.batchnorm_inference(tr.tensor([[5.0]]), tr.tensor([1.0]), tr.tensor([4.0]), epsilon=0.0)
    Tensor([[2.]], shape=(1, 1), dtype=float32)
    """
    x, gamma, beta = _operands(x, gamma, beta)
    if not isinstance(moving_mean, Tensor) or not isinstance(moving_variance, Tensor):
        x, moving_mean, moving_variance = as_operands(x, moving_mean, moving_variance)
    return apply(BATCHNORM_INFERENCE, (x, moving_mean, moving_variance, gamma, beta), float(epsilon))
