"""Nodes that move, choose or repeat values. The batch stays the first axis; a size that data decides stays open."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.layers.merge import Concatenate
from tinyres.layers.shape import Flatten, Permute, Reshape
from tinyres.onnx.reading.table import OPEN, Reading, constant_of, reads
from tinyres.onnx.values import Held, Known, Sequence, Value

_TO_LAST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_MOST_PARTS = 1024


@reads("Transpose")
def _transpose(reading: Reading) -> Held:
    """Between the two orders of images nothing moves: the value is known in the other one."""
    x = reading.held()
    ndim = len(x.shape)
    order = [reading.axis(axis, ndim) for axis in reading.attr("perm", list(range(ndim))[::-1])]
    if order == _TO_LAST and x.is_last:
        return Held(x.last)
    if order == _TO_FIRST:
        return Held(last=x.plain)
    if order[0] == 0:
        return Held(reading.named(Permute(order[1:]))(x.plain))
    return Held(reading.called(ops.transpose(x.plain, order)))


@reads("Flatten")
def _flatten(reading: Reading) -> Held:
    x, axis = reading.held(), reading.attr("axis", 1)
    if reading.axis(axis, len(x.shape)) != 1:
        raise reading.refuse("the batch stays an axis", f"axis={axis}")
    if len(x.shape) == 2:
        return x
    if x.is_last and x.shape[2:] == (1, 1):
        return Held(reading.named(Flatten())(x.last))
    return Held(reading.named(Flatten())(x.plain))


@reads("Reshape")
def _reshape(reading: Reading) -> Held:
    x, target = reading.held(), reading.value(1)
    if not isinstance(target, Known) or reading.attr("allowzero", 0) and (target.array == 0).any():
        raise reading.refuse("the shape must follow from the file and its sizes", "another", OPEN)
    if (target.array[~target.open] == -1).sum() > 1:
        raise reading.refuse("a shape has one -1 at most", target.array.tolist(), "export it again")
    sizes: list[int | None] = []
    for i, (n, open_) in enumerate(zip(target.array.reshape(-1).tolist(), target.open.reshape(-1))):
        sizes.append(None if open_ else x.shape[i] if n == 0 else int(n))
    return _reshaped(reading, x, sizes)


def _reshaped(reading: Reading, x: Held, sizes: list[int | None]) -> Held:
    """The value in this shape; None for an open size, -1 for what follows from the others."""
    if x.is_last and x.shape[2:] == (1, 1) and len(sizes) == 2:
        x = Held(reading.named(Flatten())(x.last))
    shape = x.shape
    first, *rest = sizes if sizes else [None]
    within = None not in shape[1:] and None not in rest
    known = math.prod(n for n in rest if n is not None and n != -1)
    size = math.prod(shape[1:]) if within else 0
    fits = within and ((-1 in rest and known and size % known == 0) or (-1 not in rest and known == size))
    if fits and (first is None or first == -1 or first == reading.batch):
        if tuple(rest) == shape[1:]:
            return x
        return Held(reading.named(Reshape([n for n in rest if n is not None]))(x.plain))
    open_ = [i for i, n in enumerate(sizes) if n is None or n == -1]
    if len(open_) == 1:
        return Held(
            reading.called(ops.reshape(x.plain, [-1 if i in open_ or n is None else n for i, n in enumerate(sizes)]))
        )
    raise reading.refuse("a shape has one size at most that data decides", f"{sizes} for {shape}", OPEN)


@reads("Squeeze")
def _squeeze(reading: Reading) -> Held:
    x = reading.held()
    ndim = len(x.shape)
    axes = reading.ints(1, "axes")
    gone = (
        {reading.axis(axis, ndim) for axis in axes}
        if axes is not None
        else {i for i, n in enumerate(x.shape) if n == 1}
    )
    if 0 in gone:
        raise reading.refuse("the batch stays an axis", f"axes {sorted(gone)}")
    if x.is_last and gone <= {2, 3}:
        return _reshaped(reading, x, [n for i, n in enumerate(x.shape) if i not in gone])
    return Held(reading.called(ops.squeeze(x.plain, tuple(sorted(gone)))))


@reads("Unsqueeze")
def _unsqueeze(reading: Reading) -> Held:
    x, axes = reading.held(), reading.ints(1, "axes") or []
    ndim = len(x.shape) + len(axes)
    return Held(reading.called(ops.expand_dims(x.plain, tuple(sorted(reading.axis(axis, ndim) for axis in axes)))))


@reads("Concat")
def _concat(reading: Reading) -> Held:
    """Values one after the other; what the file holds, as a token that stands before others, for every sample."""
    values = [reading.value(i) for i in range(len(reading.inputs))]
    held = [value for value in values if isinstance(value, Held)]
    last = len(held) == len(values) and any(value.is_last for value in held) and len(held[0].shape) == 4
    ndim = len(held[0].shape)
    axis = reading.axis(reading.attr("axis", 1), ndim)
    if axis == 0:
        raise reading.refuse("the batch stays an axis", "axis=0")
    at = (0, 3, 1, 2)[axis] if last else axis
    if last:
        given = [value.last for value in held]
    else:
        given = [v.plain if isinstance(v, Held) else _for_each_sample(reading, v, held[0].plain) for v in values]
    found = reading.named(Concatenate(axis=at if at < ndim - 1 else -1))(given)
    return Held(last=found) if last else Held(found)


def _for_each_sample(reading: Reading, known: Known, x: Any) -> Any:
    """A constant with an axis of 1 in the place of the batch, once for each sample of x."""
    ndim = len(x.shape)
    if known.array.ndim != ndim or known.array.shape[0] != 1:
        raise reading.refuse("a constant is the same for every sample", f"one of shape {known.array.shape}")
    nothing = ops.mean(x, axis=tuple(range(1, ndim)), keepdims=True) * 0.0
    return nothing + constant_of(known)


@reads("Split")
def _split(reading: Reading) -> list[Value]:
    at, size = _split_axis(reading)
    count = len(reading.node.output)
    alike = [min(-(-size // count), size - i * -(-size // count)) for i in range(count)]
    return list(_parts(reading, at, size, reading.ints(1, "split") or alike, count))


@reads("SplitToSequence")
def _split_to_sequence(reading: Reading) -> Sequence:
    """As Split, into one value of several, from which SequenceAt takes."""
    at, size = _split_axis(reading)
    widths = reading.known(1, "split")
    if not widths.ndim:
        width = int(widths)
        if width < 1 or size > _MOST_PARTS * width:
            raise reading.refuse(f"it makes up to {_MOST_PARTS:,} parts", f"parts of {width} of {size}")
        widths = np.array([min(width, size - first) for first in range(0, size, width)])
    return Sequence(_parts(reading, at, size, widths.tolist(), len(widths)))


@reads("SequenceAt")
def _sequence_at(reading: Reading) -> Held:
    sequence, at = reading.value(0), int(reading.known(1, "which is taken").reshape(-1)[0])
    if not isinstance(sequence, Sequence):
        raise reading.refuse("it takes one of several", "one value")
    return sequence.parts[at]


def _split_axis(reading: Reading) -> tuple[int, int]:
    """The axis that is split, and its size."""
    shape, axis = reading.held().shape, reading.attr("axis", 0)
    at = reading.axis(axis, len(shape))
    if shape[at] is None:
        raise reading.refuse("what is split has a known size", f"axis {axis} of shape {shape}")
    return at, shape[at]


def _parts(reading: Reading, at: int, size: int, widths: list[int], count: int) -> list[Held]:
    if len(widths) != count or min(widths) < 0 or sum(widths) != size:
        raise reading.refuse(f"its parts make up the whole of {size}", f"{widths} for {count}", "export it again")
    bounds = [sum(widths[:i]) for i in range(count)] + [size]
    before, x = (slice(None),) * at, reading.plain()
    return [Held(x[before + (slice(start, stop),)]) for start, stop in zip(bounds, bounds[1:])]


@reads("Slice")
def _slice(reading: Reading) -> Held:
    x = reading.held()
    starts, ends = reading.ints(1, "starts") or [], reading.ints(2, "ends") or []
    axes = reading.ints(3, "axes") or list(range(len(starts)))
    steps = reading.ints(4, "steps") or [1] * len(starts)
    index: list[Any] = [slice(None)] * len(x.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        stop = None if abs(end) >= 1 << 30 else end
        begin = None if abs(start) >= 1 << 30 else start
        index[axis] = slice(begin, stop, step)
    return Held(reading.called(x.plain[tuple(index)]))


@reads("Expand")
def _expand(reading: Reading) -> Held:
    x, target = reading.held(), reading.known(1, "the shape")
    sizes = [int(n) for n in target.reshape(-1)]
    shape = x.shape
    aligned = [*[1] * (len(shape) - len(sizes)), *sizes]
    if len(aligned) > len(shape) or aligned[0] not in (1, -1, reading.batch):
        raise reading.refuse("an axis is made longer behind the batch", f"shape {sizes} for {shape}")
    counts = [1]
    for n, wanted in zip(shape[1:], aligned[1:]):
        counts.append(wanted if n == 1 and wanted > 1 else 1)
    return x if max(counts) == 1 else Held(reading.called(ops.tile(x.plain, counts)))


@reads("Tile")
def _tile(reading: Reading) -> Held:
    counts = reading.ints(1, "repeats") or []
    if counts and counts[0] != 1:
        raise reading.refuse("the batch stays as it is", f"repeats {counts}")
    return Held(reading.called(ops.tile(reading.plain(), counts)))
