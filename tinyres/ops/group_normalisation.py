"""Normalisation that needs no batch: of rows (layer, RMS), and of groups of channels over the positions of a sample.

All three are one kernel. x is seen as samples x positions x groups x channels of a group; each group of a sample has
its own statistics, through which the gradient flows, and gamma and beta belong to channels. The variance is the biased
one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor, constant
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.record import RMS
from tinyres.launch import launch
from tinyres.ops.by_axis import by_axis
from tinyres.ops.elementwise import sqrt, square
from tinyres.ops.movement import reshape
from tinyres.ops.reduction import mean, sum

MOST_CHANNELS = 1 << 16  # of one sample, where groups are not whole rows: the kernel's workspace holds no more


class Groups(NamedTuple):
    """How x is seen; the sizes of the kernel."""

    samples: int
    positions: int
    channels: int
    groups: int

    @property
    def split(self) -> Shape:
        """The shape of x with an axis for the groups."""
        return self.samples, self.positions, self.groups, self.channels // self.groups


def _rows(shape: Shape, axes: int) -> Groups:
    """Groups that are rows: the last `axes` axes together."""
    return Groups(math.prod(shape[: len(shape) - axes]), 1, math.prod(shape[len(shape) - axes :]), 1)


def _channels(shape: Shape, groups: int) -> Groups:
    """Groups of channels: the first axis is of the samples, the last of the channels."""
    return Groups(shape[0], math.prod(shape[1:-1]), shape[-1], groups)


def _check_rows(op: str, x: Tensor, axes: int, *weights: Tensor) -> Shape:
    if not 1 <= axes <= len(x.shape):
        raise ShapeError(f"[{op}] the input must have the axes to normalise over; got {x.shape}; give rows of features")
    return _check(op, x, x.shape[len(x.shape) - axes :], *weights)


def _check(op: str, x: Tensor, features: Shape, *weights: Tensor) -> Shape:
    if 0 in features:
        raise ShapeError(f"[{op}] there must be something to normalise over; got shape {x.shape}; give it features")
    for weight in weights:
        if weight.shape != features:
            raise ShapeError(
                f"[{op}] gamma and beta must have one element per feature, shape {features}; got {weight.shape} for an "
                f"input of shape {x.shape}; build the layer for this input"
            )
    return x.shape


def _layer_norm_shape(x: Tensor, gamma: Tensor, beta: Tensor, axes: int, epsilon: float) -> Shape:
    return _check_rows("layer_norm", x, axes, gamma, beta)


def _rms_norm_shape(x: Tensor, gamma: Tensor, axes: int, epsilon: float) -> Shape:
    return _check_rows("rms_norm", x, axes, gamma)


def _group_norm_shape(x: Tensor, gamma: Tensor, beta: Tensor, groups: int, epsilon: float) -> Shape:
    if len(x.shape) < 2:
        raise ShapeError(f"[group_norm] the input must have shape (batch, ..., channels); got {x.shape}; add an axis")
    channels = x.shape[-1]
    if groups < 1 or channels % groups or channels > MOST_CHANNELS:
        raise ShapeError(
            f"[group_norm] groups must divide the channels, which are {MOST_CHANNELS:,} at most; got {groups} groups "
            f"for shape {x.shape}; choose a divisor of the channels"
        )
    _check("group_norm", x, x.shape[1:])
    return _check("group_norm", x, (channels,), gamma, beta)


def _forward(rms: bool, groups_of: Callable[[Shape, int], Groups]) -> Callable[..., tuple[Buffer, ...]]:
    def forward(out: Buffer, x: Tensor, gamma: Tensor, *rest: Any) -> tuple[Buffer, ...]:
        *beta, number, epsilon = rest
        groups = groups_of(x.shape, number)
        count = groups.samples * groups.groups
        average, deviation = ABSENT if rms else Buffer(count, x.dtype), Buffer(count, x.dtype)
        ins = x.buffer, gamma.buffer, beta[0].buffer if beta else ABSENT
        launch(kernels.groupnorm, (out, average, deviation), ins, groups, (epsilon,), RMS if rms else 0)
        return average, deviation

    return forward


def _vjp(rms: bool, groups_of: Callable[[Shape, int], Groups]) -> Callable[[Tensor, Context], Gradients]:
    def vjp(g: Tensor, ctx: Context) -> Gradients:
        number, epsilon = ctx.attrs
        x, gamma = ctx.inputs[:2]
        groups = groups_of(x.shape, number)
        g = reshape(g, groups.split)
        to_x = to_gamma = None
        if ctx.needs[0] or ctx.needs[1]:
            centred = reshape(x, groups.split)
            centred = centred if rms else centred - _mean(centred)
            deviation = sqrt(_mean(square(centred)) + epsilon)
            normalised = centred / deviation
        if ctx.needs[0]:
            scaled = g * reshape(gamma, groups.split[2:])
            level = scaled if rms else scaled - _mean(scaled)
            to_x = reshape((level - normalised * _mean(scaled * normalised)) / deviation, x.shape)
        if ctx.needs[1]:
            to_gamma = reshape(sum(g * normalised, (0, 1)), gamma.shape)
        if rms:
            return to_x, to_gamma
        return to_x, to_gamma, reshape(sum(g, (0, 1)), gamma.shape) if ctx.needs[2] else None

    return vjp


def _mean(x: Tensor) -> Tensor:
    """Over each group of each sample."""
    return mean(x, (1, 3), keepdims=True)


def _fast_vjp(rms: bool, groups_of: Callable[[Shape, int], Groups]) -> Callable[[Tensor, Context], Gradients]:
    def fast_vjp(g: Tensor, ctx: Context) -> Gradients:
        x, gamma = ctx.inputs[:2]
        average, deviation = ctx.saved
        shapes = (x.shape, gamma.shape, gamma.shape)[: len(ctx.needs)]
        outs = [Buffer(math.prod(s), x.dtype) if needed else ABSENT for s, needed in zip(shapes, ctx.needs)]
        launch(
            kernels.groupnorm_grad,
            (*outs, ABSENT) if rms else tuple(outs),
            (g.buffer, x.buffer, average, deviation, gamma.buffer),
            groups_of(x.shape, ctx.attrs[0]),
            (),
            RMS if rms else 0,
        )
        return [Tensor(out, shape, x.dtype) if needed else None for out, shape, needed in zip(outs, shapes, ctx.needs)]

    return fast_vjp


def _op(
    name: str,
    shape: Callable[..., Shape],
    normalises: str,
    groups_of: Callable[[Shape, int], Groups],
    rms: bool = False,
) -> Op:
    return Op(
        name,
        shape=shape,
        forward=_forward(rms, groups_of),
        vjp=_vjp(rms, groups_of),
        fast_vjp=_fast_vjp(rms, groups_of),
        saves=(0, 1),
        normalises=normalises,
        module=__name__,
    )


LAYER_NORM = _op("layer_norm", _layer_norm_shape, "layer", _rows)
RMS_NORM = _op("rms_norm", _rms_norm_shape, "rms", _rows, rms=True)
GROUP_NORM = _op("group_norm", _group_norm_shape, "group", _channels)


@by_axis
def layer_norm(
    x: Operand,
    gamma: Operand | None = None,
    beta: Operand | None = None,
    epsilon: float = 1e-3,
    axis: int | tuple[int, ...] = -1,
) -> Tensor:
    """gamma · (x - mean) / √(variance + epsilon) + beta, each row by itself (Ba, Kiros and Hinton 2016).

    x: (..., features). gamma, beta: (features,), None for 1 and 0. axis: what is normalised over together, the last
    axis or several last ones, whose shape gamma and beta have then. epsilon: 1e-3 as in Keras; PyTorch's is 1e-5.
    Raises ShapeError where the shapes do not fit, ArgumentError for axes that are not the last ones.

    >>> import tinyres as tr
    >>> tr.layer_norm(tr.tensor([[1.0, 3.0], [0.0, 20.0]]), epsilon=0.0)
    Tensor([[-1.,  1.],
            [-1.,  1.]], shape=(2, 2), dtype=float32)
    """
    x, axes = _with_axes("layer_norm", x, axis)
    features = x.shape[len(x.shape) - axes :]
    return apply(LAYER_NORM, (x, _or(1.0, gamma, features, x), _or(0.0, beta, features, x)), axes, float(epsilon))


@by_axis
def rms_norm(
    x: Operand, gamma: Operand | None = None, epsilon: float = 1e-6, axis: int | tuple[int, ...] = -1
) -> Tensor:
    """gamma · x / √(mean(x²) + epsilon), each row by itself (Zhang and Sennrich 2019).

    x: (..., features). gamma: (features,), None for 1. axis: as in `layer_norm`.
    Raises ShapeError where the shapes do not fit, ArgumentError for axes that are not the last ones.

    >>> import tinyres as tr
    >>> tr.rms_norm(tr.tensor([[3.0, 3.0], [0.0, 2.0]]), epsilon=0.0)
    Tensor([[1.    , 1.    ],
            [0.    , 1.4142]], shape=(2, 2), dtype=float32)
    """
    x, axes = _with_axes("rms_norm", x, axis)
    return apply(RMS_NORM, (x, _or(1.0, gamma, x.shape[len(x.shape) - axes :], x)), axes, float(epsilon))


def group_norm(
    x: Operand,
    gamma: Operand | None = None,
    beta: Operand | None = None,
    groups: int = 32,
    epsilon: float = 1e-3,
) -> Tensor:
    """gamma · (x - mean) / √(variance + epsilon) + beta, per sample and group of channels (Wu and He 2018).

    x: (batch, ..., channels). gamma, beta: (channels,), None for 1 and 0. groups: how many groups of neighbouring
    channels; each has one mean and variance over its channels at all positions. As many as channels: instance
    normalisation.
    Raises ShapeError where the shapes do not fit or groups does not divide the channels.

    >>> import tinyres as tr
    >>> tr.group_norm(tr.tensor([[1.0, 3.0, 0.0, 20.0]]), groups=2, epsilon=0.0)
    Tensor([[-1.,  1., -1.,  1.]], shape=(1, 4), dtype=float32)
    """
    (x,) = as_operands(x)
    features = x.shape[-1:]
    return apply(GROUP_NORM, (x, _or(1.0, gamma, features, x), _or(0.0, beta, features, x)), groups, float(epsilon))


def last_axes(op: str, axis: Any, ndim: int) -> int:
    """How many last axes these are. Raises ArgumentError for others."""
    numbers = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    whole = all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in numbers)
    count = len(numbers)
    if not whole or not 1 <= count <= ndim or sorted(a % ndim for a in numbers) != list(range(ndim - count, ndim)):
        raise ArgumentError(
            f"[{op}] normalises over the last axes; got axis={axis!r} for {ndim} axes; permute them to the end"
        )
    return count


def _with_axes(op: str, x: Operand, axis: Any) -> tuple[Tensor, int]:
    (x,) = as_operands(x)
    return x, last_axes(op, axis, len(x.shape)) if x.shape else 1


def _or(value: float, given: Operand | None, features: Shape, x: Tensor) -> Tensor:
    if given is None:
        return _constant(value, features, x.dtype)
    return given if isinstance(given, Tensor) else as_operands(x, given)[1]


@functools.lru_cache(maxsize=64)
def _constant(value: float, features: Shape, dtype: np.dtype) -> Tensor:
    return constant(np.full(features, value), dtype)
