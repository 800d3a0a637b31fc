"""Movement: reshape, transpose, concatenate, stack, pad, broadcast_to.

A reshape shares its input's buffer; everything else is one strided copy per input. Each gradient is a movement too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.attributes import Behind
from tinyres.engine.layout import Part, Shape, broadcast_shapes, contiguous_strides, spread, strided_copy
from tinyres.engine.op import Context, Gradients, Op, PartGradients, apply
from tinyres.engine.primitives import Operand, as_operands, sum_to
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.launch import launch
from tinyres.ops.by_axis import by_axis
from tinyres.ops.composed import composed
from tinyres.ops.indexing import INDEX, Entry, window


def _reshape_shape(x: Tensor, shape: Shape) -> Shape:
    return _resolved_shape(x.shape, shape)


@functools.lru_cache(maxsize=4096)
def _resolved_shape(old: Shape, new: Shape) -> Shape:
    known = math.prod(size for size in new if size != -1)
    size = math.prod(old)
    if min(new, default=0) >= 0 and known == size:
        return new
    if min(new, default=0) == -1 and new.count(-1) == 1 and known and size % known == 0:
        return tuple(size // known if s == -1 else s for s in new)
    raise ShapeError(
        "[reshape] the new shape must hold the same number of elements, with at most one -1; "
        f"got {old} ({size} elements) to {new}; choose sizes whose product is {size}"
    )


def share_buffer(out: Buffer, x: Tensor, *attrs: object) -> None:
    """The forward of a view: nothing to do, the output is the input's buffer under another shape."""


def to_own_shape(g: Tensor, ctx: Context) -> Gradients:
    """The VJP of a view."""
    return (reshape(g, ctx.shapes[0]),)


RESHAPE = Op("reshape", shape=_reshape_shape, forward=share_buffer, vjp=to_own_shape, takes="x", view=True)


def reshape(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """The same elements, in C order, under another shape; one size may be -1. No copy: of a Parameter it is the same
    memory, as in PyTorch, and follows `assign` and optimizer steps.

    Raises ShapeError if the number of elements differs.

    >>> import tinyres as tr
    >>> tr.reshape(tr.tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
    Tensor([[1., 2.],
            [3., 4.]], shape=(2, 2), dtype=float32)
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    shape = _sizes("reshape", shape)
    return x if shape == x.shape else apply(RESHAPE, (x,), shape)


def _sizes(op: str, shape: int | Sequence[int]) -> Shape:
    if type(shape) is tuple:
        for size in shape:
            if type(size) is not int:
                break
        else:
            return shape
    try:
        return tuple(s.__index__() for s in shape) if isinstance(shape, (tuple, list)) else (shape.__index__(),)  # type: ignore[union-attr]
    except (AttributeError, TypeError):
        raise ArgumentError(f"[{op}] a shape is an int or a tuple of ints; got {shape!r}; convert the sizes") from None


def _flatten_shape(x: Tensor, start_axis: int) -> Shape:
    if start_axis and not 0 < start_axis < len(x.shape):
        raise ShapeError(
            f"[flatten] start_axis must name an axis of shape {x.shape}; got {start_axis}; choose one from 0 on"
        )
    return (*x.shape[:start_axis], math.prod(x.shape[start_axis:]))


FLATTEN = Op("flatten", shape=_flatten_shape, forward=share_buffer, vjp=to_own_shape, takes="x", view=True)


def flatten(x: Operand, start_axis: int = 0) -> Tensor:
    """The axes from `start_axis` on as one; start_axis=1 keeps the batch. No copy.

    Raises ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.flatten(tr.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([1., 2., 3., 4.], shape=(4,), dtype=float32)
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    if start_axis == 0 and None in x.shape:
        raise ShapeError(
            f"[flatten] the batch of a symbolic tensor stays; got start_axis=0 for shape {x.shape}; use start_axis=1"
        )
    return apply(FLATTEN, (x,), start_axis)


def _transpose_shape(x: Tensor, axes: tuple[int, ...] | None) -> Shape:
    return tuple([x.shape[i] for i in _permutation(x.shape, axes)])


@functools.lru_cache(maxsize=4096)
def _permutation(shape: Shape, axes: tuple[int, ...] | None) -> tuple[int, ...]:
    ndim = len(shape)
    if axes is None:
        return tuple(reversed(range(ndim)))
    positive = tuple(i + ndim if i < 0 else i for i in axes)
    if sorted(positive) != list(range(ndim)):
        raise ShapeError(
            f"[transpose] the axes must name each of the {ndim} axes of shape {shape} once; got {axes}; "
            f"for example {tuple(reversed(range(ndim)))}"
        )
    return positive


def _transpose_forward(out: Buffer, x: Tensor, axes: tuple[int, ...] | None) -> None:
    order, own = _permutation(x.shape, axes), contiguous_strides(x.shape)
    shape = tuple([x.shape[i] for i in order])
    strided_copy(out, x.buffer, shape, contiguous_strides(shape), [own[i] for i in order])


def _transpose_vjp(g: Tensor, ctx: Context) -> Gradients:
    order = _permutation(ctx.shapes[0], *ctx.attrs)
    return (transpose(g, sorted(range(len(order)), key=order.__getitem__)),)


TRANSPOSE = Op("transpose", shape=_transpose_shape, forward=_transpose_forward, vjp=_transpose_vjp, takes="x")


def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; None turns all of them around.

    For a product of matrices give the flag instead, tr.matmul(a, b, transpose_b=True): it copies nothing.
    Raises ShapeError unless every axis is named once.

    >>> import tinyres as tr
    >>> tr.transpose(tr.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[1., 3.],
            [2., 4.]], shape=(2, 2), dtype=float32)
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    return apply(TRANSPOSE, (x,), None if axes is None else _sizes("transpose", axes))


permute = transpose


def _broadcast_to_shape(x: Tensor, shape: Shape) -> Shape:
    if min(shape, default=0) < 0 or broadcast_shapes("broadcast_to", x.shape, shape) != shape:
        raise ShapeError(
            f"[broadcast_to] each axis of size 1 may grow, and new axes come in front; got {x.shape} to {shape}; "
            "reshape the input first"
        )
    return shape


def _broadcast_to_forward(out: Buffer, x: Tensor, shape: Shape) -> None:
    spread(out, shape, x)


def _broadcast_to_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (sum_to(g, ctx.shapes[0]),)


BROADCAST_TO = Op(
    "broadcast_to", shape=_broadcast_to_shape, forward=_broadcast_to_forward, vjp=_broadcast_to_vjp, takes="x"
)


def broadcast_to(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """x repeated along axes of size 1 and new leading axes, as np.broadcast_to.

    Raises ShapeError if x does not broadcast to the shape.

    >>> import tinyres as tr
    >>> tr.broadcast_to(tr.tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2.],
            [1., 2.]], shape=(2, 2), dtype=float32)
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    shape = _sizes("broadcast_to", shape)
    return x if shape == x.shape else apply(BROADCAST_TO, (x,), shape)


def _concatenate_shape(*inputs: Annotated[Any, Behind((int,))]) -> Shape:
    *tensors, axis = inputs
    first = tensors[0].shape
    at = axis + len(first) if axis < 0 else axis
    if not 0 <= at < len(first):
        choice = f"choose one in {-len(first)}..{len(first) - 1}" if first else "use tr.stack"
        raise ShapeError(f"[concatenate] the axis must be one of shape {first}; got {axis}; {choice}")
    total = 0
    for t in tensors:
        if len(t.shape) != len(first) or t.shape[:at] != first[:at] or t.shape[at + 1 :] != first[at + 1 :]:
            shapes = ", ".join(str(t.shape) for t in tensors)
            raise ShapeError(
                f"[concatenate] shapes must agree in all axes but axis {axis}; got {shapes}; reshape or slice them"
            )
        total += t.shape[at]
    return (*first[:at], total, *first[at + 1 :])


def _concatenate_forward(out: Buffer, *inputs: Any) -> None:
    *tensors, axis = inputs
    at = axis % len(tensors[0].shape)
    inner = math.prod(tensors[0].shape[at + 1 :])
    row = sum(t.shape[at] for t in tensors) * inner
    offset = 0
    for t in tensors:
        width = t.shape[at] * inner
        strided_copy(out, t.buffer, (math.prod(t.shape[:at]), width), (row, 1), (width, 1), offset, 0)
        offset += width


def _concatenate_vjp(g: Tensor, ctx: Context) -> Gradients:
    (axis,) = ctx.attrs
    before = (slice(None),) * (axis % len(g.shape))
    gradients: list[Tensor | None] = []
    start = 0
    for shape, needed in zip(ctx.shapes, ctx.needs):
        stop = start + shape[axis]
        key = (*before, slice(start, stop))
        gradients.append(g[key] if needed else None)
        start = stop
    return gradients


def _concatenate_parts(g: Tensor, ctx: Context) -> PartGradients:
    axis = ctx.attrs[0] % len(g.shape)
    outer, inner = math.prod(g.shape[:axis]), math.prod(g.shape[axis + 1 :])
    gradients: list[Part | None] = []
    start = 0
    for shape, needed in zip(ctx.shapes, ctx.needs):
        width = shape[axis] * inner
        walk, strides, source_strides = (outer, width), (width, 1), (g.shape[axis] * inner, 1)
        gradients.append(Part(g, shape, walk, strides, source_strides, 0, start) if needed else None)
        start += width
    return gradients


CONCATENATE = Op(
    "concatenate",
    shape=_concatenate_shape,
    forward=_concatenate_forward,
    vjp=_concatenate_vjp,
    parts=_concatenate_parts,
    takes="x",
)


@by_axis
def concatenate(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """The Tensors one after the other along an axis; all other sizes must agree.

    Raises ShapeError where they do not, ArgumentError for an empty list.

    >>> import tinyres as tr
    >>> tr.concatenate([tr.tensor([[1.0], [2.0]]), tr.tensor([[3.0], [4.0]])], axis=1)
    Tensor([[1., 3.],
            [2., 4.]], shape=(2, 2), dtype=float32)
    """
    return apply(CONCATENATE, as_operands(*_several("concatenate", tensors)), _axis_number("concatenate", axis))


def _several(op: str, tensors: Sequence[Operand]) -> Sequence[Operand]:
    if not isinstance(tensors, (list, tuple)) or not tensors:
        got = "none" if isinstance(tensors, (list, tuple)) else type(tensors).__name__
        raise ArgumentError(f"[{op}] takes a list of at least one Tensor; got {got}; write tr.{op}([x, y])")
    return tensors


def _axis_number(op: str, axis: Any) -> int:
    try:
        return int(axis.__index__())
    except (AttributeError, TypeError):
        raise ArgumentError(f"[{op}] the axis is an int; got {axis!r}; name the axis by number") from None


@by_axis
@composed
def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis.

    Raises ShapeError for unequal shapes, ArgumentError for an empty list.

    >>> import tinyres as tr
    >>> tr.stack([tr.tensor([1.0, 2.0]), tr.tensor([3.0, 4.0])])
    Tensor([[1., 2.],
            [3., 4.]], shape=(2, 2), dtype=float32)
    """
    operands = as_operands(*_several("stack", tensors))
    shape = operands[0].shape
    at = _axis_number("stack", axis)
    if not -len(shape) - 1 <= at <= len(shape):
        raise ShapeError(
            f"[stack] the axis must be one of the result; got {axis}; choose one in {-len(shape) - 1}..{len(shape)}"
        )
    for t in operands:
        if t.shape != shape:
            shapes = ", ".join(str(t.shape) for t in operands)
            raise ShapeError(f"[stack] all shapes must be equal; got {shapes}; use tr.concatenate along a common axis")
    at %= len(shape) + 1
    wider = (*shape[:at], 1, *shape[at:])
    return concatenate([reshape(t, wider) for t in operands], at)


Widths = tuple[tuple[int, int], ...]


def _pad_shape(x: Tensor, widths: Widths, value: float) -> Shape:
    if len(widths) != len(x.shape):
        raise ShapeError(
            f"[pad] needs one (before, after) per axis; got {len(widths)} for shape {x.shape}; write ((0, 0), (1, 1))"
        )
    if min(map(min, widths), default=0) < 0:
        raise ShapeError(f"[pad] the widths must be counts from 0 on; got {widths}; use slices to cut off")
    return tuple([before + size + after for size, (before, after) in zip(x.shape, widths)])


def _inside(shape: Shape, widths: Widths) -> tuple[Entry, ...]:
    """The index of the input within the padded output."""
    return tuple([(before, before + size, None) for size, (before, _) in zip(shape, widths)])


def _pad_forward(out: Buffer, x: Tensor, widths: Widths, value: float) -> None:
    launch(kernels.fill, (out,), (), (out.size,), (value,))
    part, strides, offset = window(_pad_shape(x, widths, value), _inside(x.shape, widths))
    strided_copy(out, x.buffer, part, strides, contiguous_strides(part), offset, 0)


def _pad_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(INDEX, (g,), _inside(ctx.shapes[0], ctx.attrs[0])),)


def _pad_parts(g: Tensor, ctx: Context) -> PartGradients:
    shape = ctx.shapes[0]
    part, strides, offset = window(g.shape, _inside(shape, ctx.attrs[0]))
    return (Part(g, shape, part, contiguous_strides(part), strides, 0, offset),)


PAD = Op("pad", shape=_pad_shape, forward=_pad_forward, vjp=_pad_vjp, parts=_pad_parts)


def pad(x: Operand, widths: int | Sequence[Any], value: float = 0.0) -> Tensor:
    """x with `value` around it.

    widths: (before, after) per axis, as np.pad; one pair or one int for all axes. Raises ArgumentError for widths that
    are not counts, ShapeError unless there is one pair per axis.

    >>> import tinyres as tr
    >>> tr.pad(tr.tensor([1.0, 2.0]), (1, 2))
    Tensor([0., 1., 2., 0., 0.], shape=(5,), dtype=float32)
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    try:
        pairs = np.asarray(widths)
        if pairs.dtype.kind not in "iu" or pairs.size == 0 and x.shape or pairs.size and pairs.min() < 0:
            raise ValueError
        if pairs.ndim < 2 or len(pairs) in (1, len(x.shape)):
            pairs = np.broadcast_to(pairs, (len(x.shape), 2))
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError
    except ValueError:
        raise ArgumentError(
            f"[pad] the widths must be counts from 0 on, one (before, after) per axis; got {widths!r}; "
            "write ((0, 0), (1, 1))"
        ) from None
    if None in x.shape[:1] and pairs[0].any():
        raise ShapeError(
            f"[pad] the batch of a symbolic tensor stays as it is; got {widths!r} for {x.shape}; begin with (0, 0)"
        )
    return apply(PAD, (x,), tuple((int(before), int(after)) for before, after in pairs), float(value))
