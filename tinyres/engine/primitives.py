"""The only two ops the engine itself needs: `add` accumulates gradients, `sum_to` undoes a broadcast."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape, broadcast_shapes, launch_broadcast
from tinyres.engine.op import Context, Op, apply
from tinyres.engine.tensor import FLOATS, Tensor, coerce, tensor
from tinyres.errors import ShapeError
from tinyres.kernels.record import FLUSH
from tinyres.launch import launch

# What an op takes: a Tensor, or what tr.tensor makes one from.
Operand = Tensor | ArrayLike


def _add_shape(a: Tensor, b: Tensor) -> Shape:
    return broadcast_shapes("add", a.shape, b.shape)


def _add_forward(out: Buffer, a: Tensor, b: Tensor) -> None:
    launch_broadcast(kernels.add, out, broadcast_shapes("add", a.shape, b.shape), (a, b), FLUSH)


def _add_vjp(g: Tensor, ctx: Context) -> Sequence[Tensor]:
    return g, g


ADD = Op("add", shape=_add_shape, forward=_add_forward, vjp=_add_vjp, adds=True)


def add(a: Operand, b: Operand) -> Tensor:
    """The elementwise sum a + b, broadcast. Both its inputs receive the same gradient.

    >>> import tinyres as tr
    >>> tr.add(tr.tensor([1.0, 2.0]), 1.0)
    Tensor([2., 3.], shape=(2,), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    return apply(ADD, (a, b))


def as_operands(*values: Any) -> tuple[Tensor, ...]:
    """Every value as an operand of one op: what is not a Tensor takes the dtype of the first float Tensor.

    Without one, it takes that of an integer or bool Tensor if it is of its kind.
    """
    for like in values:
        if hasattr(like, "requires_grad") and like.dtype in FLOATS:
            break
    else:
        like = next((value for value in values if hasattr(value, "requires_grad")), _ZERO)
    return tuple([coerce(v, like) for v in values])


_ZERO = tensor(0.0)


def add_in_place(total: Tensor, contribution: Tensor) -> None:
    """total += contribution, for a total that nobody else holds."""
    launch(kernels.add, (total.buffer,), (total.buffer, contribution.buffer), (1, total.size), (), FLUSH)


def _sum_to_shape(x: Tensor, shape: Shape) -> Shape:
    if broadcast_shapes("sum_to", x.shape, shape) != x.shape:
        raise ShapeError(f"[sum_to] the shape must broadcast to the input's; got {shape} for {x.shape}; use tr.sum")
    return shape


def _sum_to_forward(out: Buffer, x: Tensor, shape: Shape) -> None:
    source, axes = x.buffer, _summed_axes(x.shape, shape)
    sizes = list(x.shape)
    for count, (start, stop) in enumerate(axes, 1):
        n = math.prod(sizes[start:stop])
        outer, inner = math.prod(sizes[:start]), math.prod(sizes[stop:])
        target = out if count == len(axes) else Buffer(outer * inner, x.dtype)
        launch(kernels.sum, (target,), (source,), (outer, n, inner), (1.0,))
        sizes[start:stop] = [1] * (stop - start)
        source = target


def _sum_to_vjp(g: Tensor, ctx: Context) -> Sequence[Tensor]:
    return (spread_to(g, ctx.shapes[0]),)


SUM_TO = Op("sum_to", shape=_sum_to_shape, forward=_sum_to_forward, vjp=_sum_to_vjp)


def sum_to(x: Tensor, shape: Shape) -> Tensor:
    """Sum x over the axes along which `shape` was broadcast to x.shape."""
    return x if x.shape == shape else apply(SUM_TO, (x,), shape)


def spread_to(x: Tensor, shape: Shape) -> Tensor:
    """x broadcast to shape, as a sum with zeros."""
    zeros = Buffer(math.prod(shape), x.dtype)
    launch(kernels.fill, (zeros,), (), (zeros.size,), (0.0,))
    return apply(ADD, (x, Tensor(zeros, shape, x.dtype)))


@functools.lru_cache(maxsize=4096)
def _summed_axes(shape: Shape, target: Shape) -> tuple[tuple[int, int], ...]:
    """Runs of neighbouring axes to sum, innermost first; at least one (of length 1 if need be)."""
    padded = (1,) * (len(shape) - len(target)) + target
    runs: list[tuple[int, int]] = []
    for axis in reversed(range(len(shape))):
        if padded[axis] != shape[axis]:
            if runs and runs[-1][0] == axis + 1:
                runs[-1] = (axis, runs[-1][1])
            else:
                runs.append((axis, axis + 1))
    return tuple(runs) or ((0, 0),)
