"""Shapes in memory: NumPy's broadcasting, as the few forms that kernels take, the one strided copy, and Part.

Kernels of several operands see a matrix of rows x columns in which each operand is full, a row, a column or a scalar.
`plan` finds such a view for given shapes; an operand that fits none is first spread out by the strided copy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.tensor import Tensor
from tinyres.errors import ShapeError
from tinyres.kernels.record import ACCUMULATE, COPY_DIMENSIONS, FLUSH, Kernel
from tinyres.kernels.sharing import COLUMN, FULL, ROW, SCALAR
from tinyres.launch import launch

Shape = tuple[int, ...]


class Plan(NamedTuple):
    """How a kernel reads broadcast operands: rows x columns, mode bits, and which operands to spread out first."""

    rows: int
    columns: int
    flags: int
    spread: tuple[int, ...]


def broadcast_shapes(op: str, *shapes: Shape) -> Shape:
    """The common shape under NumPy's rules; ShapeError names the op and the shapes."""
    first = shapes[0]
    for shape in shapes:
        if shape != first:
            return _broadcast(op, shapes)
    return first


@functools.lru_cache(maxsize=4096)
def _broadcast(op: str, shapes: tuple[Shape, ...]) -> Shape:
    ndim = max(map(len, shapes))
    out = [1] * ndim
    for shape in shapes:
        for axis, size in enumerate(shape, ndim - len(shape)):
            if size != 1 and out[axis] not in (1, size):
                listed = " and ".join(map(str, shapes))
                raise ShapeError(
                    f"[{op}] shapes must broadcast, aligned at the last axis, each pair of sizes equal or one of them 1"
                    f"; got {listed}; reshape one of them"
                )
            if size != 1:
                out[axis] = size
    return tuple(out)


@functools.lru_cache(maxsize=4096)
def plan(out: Shape, shapes: tuple[Shape, ...]) -> Plan:
    """The rows x columns view of `out` under which the fewest operands must be spread out."""
    best: Plan | None = None
    for split in range(len(out) + 1):
        flags, spread = 0, []
        for position, shape in enumerate(shapes):
            mode = _mode(shape, out, split)
            if mode is None:
                spread.append(position)
                mode = FULL
            flags |= mode << (2 * position)
        if best is None or len(spread) < len(best.spread):
            best = Plan(math.prod(out[:split]), math.prod(out[split:]), flags, tuple(spread))
    assert best is not None
    return best


def _mode(shape: Shape, out: Shape, split: int) -> int | None:
    padded = (1,) * (len(out) - len(shape)) + shape
    if padded == out:
        return FULL
    if math.prod(shape) == 1:
        return SCALAR
    if padded[split:] == out[split:] and math.prod(padded[:split]) == 1:
        return ROW
    if padded[:split] == out[:split] and math.prod(padded[split:]) == 1:
        return COLUMN
    return None


def launch_broadcast(kernel: Kernel, out: Buffer, shape: Shape, operands: Sequence[Tensor], flags: int = 0) -> None:
    """Launch an elementwise kernel whose operands broadcast to `shape`."""
    buffers = [t.buffer for t in operands]
    shapes = tuple([t.shape for t in operands])
    if shapes == (shape, shape):
        launch(kernel, (out,), buffers, (1, out.size), (), flags)
        return
    view = plan(shape, shapes)
    for position in view.spread:
        full = Buffer(out.size, operands[position].dtype)
        spread(full, shape, operands[position])
        buffers[position] = full
    launch(kernel, (out,), buffers, (view.rows, view.columns), (), view.flags | flags)


def spread(out: Buffer, shape: Shape, t: Tensor) -> None:
    """Fill `out` with `t` broadcast to `shape`."""
    own = contiguous_strides(t.shape)
    lead = len(shape) - t.ndim
    strides = [0] * lead + [0 if size == 1 else stride for size, stride in zip(t.shape, own)]
    strided_copy(out, t.buffer, shape, contiguous_strides(shape), strides)


@functools.lru_cache(maxsize=4096)
def contiguous_strides(shape: Shape) -> Shape:
    """C-order strides, in elements."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def strided_copy(
    out: Buffer,
    source: Buffer,
    shape: Sequence[int],
    out_strides: Sequence[int],
    in_strides: Sequence[int],
    out_offset: int = 0,
    in_offset: int = 0,
    flags: int = 0,
) -> None:
    """out[out_offset + i·out_strides] = source[in_offset + i·in_strides] for every index i below `shape`.

    flags: ACCUMULATE adds to what is there, FLUSH to 0, as sums of gradients do. Strides and offsets are in elements; a
    stride may be 0 or negative. Neighbouring axes that move as one are merged; more than six that do not is a
    ShapeError.
    """
    if 0 in shape:
        return
    sizes, outer, inner = _merged(tuple(shape), tuple(out_strides), tuple(in_strides))
    left = COPY_DIMENSIONS - len(sizes)
    pad = (0,) * left
    args = (len(sizes), *sizes, *(1,) * left, *outer, *pad, *inner, *pad, out_offset, in_offset)
    launch(kernels.copy, (out,), (source,), args, (), source.dtype.itemsize | flags)


@functools.lru_cache(maxsize=4096)
def _merged(shape: Shape, out_strides: Shape, in_strides: Shape) -> tuple[Shape, Shape, Shape]:
    axes = merged_axes(zip(shape, out_strides, in_strides))
    if len(axes) > COPY_DIMENSIONS:
        raise ShapeError(
            f"[copy] at most {COPY_DIMENSIONS} axes can be moved against each other at once; got shape {shape}; "
            "reshape neighbouring axes into one first"
        )
    sizes, outer, inner = zip(*axes) if axes else ((1,), (1,), (1,))
    return sizes, outer, inner


def merged_axes(axes: Iterable[Sequence[int]]) -> list[tuple[int, ...]]:
    """Axes (size, stride in each operand …), outermost first: those that move as one joined, those of size 1 left out.

    >>> merged_axes([(2, 12, 0), (3, 4, 0), (1, 4, 7), (4, 1, 1)])
    [(6, 4, 0), (4, 1, 1)]
    """
    merged: list[tuple[int, ...]] = []
    for size, *strides in axes:
        if size == 1:
            continue
        if merged and list(merged[-1][1:]) == [size * stride for stride in strides]:
            merged[-1] = (merged[-1][0] * size, *strides)
        else:
            merged.append((size, *strides))
    return merged


@final
@dataclass(frozen=True, slots=True)
class Part:
    """A cotangent that is a regular part of another Tensor, or one among zeros, and not yet a Tensor of its own.

    For every index i below `walk`, element offset + i·strides is source[source_offset + i·source_strides]; what the
    walk does not reach is 0. shape: of the whole. The gradients of slices, concatenate and pad are such: backward adds
    them straight into the total where they belong, so 256 rows of a matrix cost 256 rows, and not as many matrices.
    """

    source: Tensor
    shape: Shape
    walk: Shape
    strides: Shape
    source_strides: Shape
    offset: int = 0
    source_offset: int = 0

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    @property
    def is_whole(self) -> bool:
        """Whether there are no zeros around it."""
        return math.prod(self.walk) == math.prod(self.shape)

    def tensor(self) -> Tensor:
        """As a Tensor of its own."""
        made = Tensor(Buffer(math.prod(self.shape), self.dtype), self.shape, self.dtype)
        if not self.is_whole:
            launch(kernels.fill, (made.buffer,), (), (made.size,), (0.0,))
        self._copy(made, 0)
        return made

    def add_to(self, total: Tensor) -> None:
        """total += this, for a total that nobody else holds."""
        self._copy(total, ACCUMULATE | FLUSH)

    def _copy(self, out: Tensor, flags: int) -> None:
        strided_copy(
            out.buffer,
            self.source.buffer,
            self.walk,
            self.strides,
            self.source_strides,
            self.offset,
            self.source_offset,
            flags,
        )


def total_of(first: Tensor | Part, part: Part) -> Tensor:
    """first + part in memory of its own, which may take further parts."""
    total = Tensor(Buffer(math.prod(part.shape), part.dtype), part.shape, part.dtype)
    if isinstance(first, Part):
        launch(kernels.fill, (total.buffer,), (), (total.size,), (0.0,))
        first.add_to(total)
    else:
        strides = contiguous_strides(part.shape)
        strided_copy(total.buffer, first.buffer, part.shape, strides, strides, flags=FLUSH)
    part.add_to(total)
    return total
