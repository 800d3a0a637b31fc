"""The search for races: every item that each worker reads or writes, by the meaning of the kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.capture.workers import PlacedCall, Share
from tinyres.kernels.record import (
    ACCUMULATE,
    ALONE,
    BY_ROWS,
    HALF_OF_K,
    SHARE_UNIT,
    TOGETHER,
    TRANSPOSE_A,
    TRANSPOSE_B,
)
from tinyres.kernels.sharing import COLUMN, SCALAR


def find_race(calls: Sequence[tuple[PlacedCall, Share]], count: int) -> str | None:
    """The first call that touches what another worker touches since the last wait, one of them writing."""
    read: list[set[int]] = [set() for _ in range(count)]
    written: list[set[int]] = [set() for _ in range(count)]
    for i, (placed, share) in enumerate(calls):
        if share.waits:
            read, written = [set() for _ in range(count)], [set() for _ in range(count)]
        for worker in range(count):
            reads, writes = touched(placed, share, worker, count)
            read[worker] |= reads
            written[worker] |= writes
        for worker in range(count):
            for other in range(count):
                if other != worker and written[worker] & (read[other] | written[other]):
                    return f"call {i}, {placed.call.kernel.name}: workers {worker} and {other}"
    return None


def touched(placed: PlacedCall, share: Share, worker: int, count: int) -> tuple[set[int], set[int]]:
    """The addresses of 4-byte units that one worker reads and writes."""
    name = placed.call.kernel.name
    assert share.way != TOGETHER
    if share.way == ALONE:
        if worker:
            return set(), set()
        return units(placed.ins, whole), units(placed.outs, whole)
    units_of_columns = share.count // SHARE_UNIT
    cuts = [sum(len(range(w, units_of_columns, count)) for w in range(end)) for end in (worker, worker + 1)]
    first, last = (cut * SHARE_UNIT for cut in cuts)

    def columns(b: Buffer) -> np.ndarray:
        assert b.size % share.count == 0
        return np.arange(b.size).reshape(-1, share.count)[:, first:last].ravel()

    def rows(b: Buffer) -> np.ndarray:
        return np.arange(b.size).reshape(share.count, -1)[first:last].ravel()

    def half(b: Buffer) -> np.ndarray:
        return np.arange(b.size).reshape(2, -1)[worker]

    writes = rows if share.way == BY_ROWS else columns
    reads = [writes] * len(placed.ins)
    if name == "matmul" and placed.call.flags & HALF_OF_K:
        reads[1], writes = rows, half
    elif name == "matmul" and share.way == BY_ROWS:
        assert placed.call.flags & TRANSPOSE_A
        reads[:2] = columns, whole
    elif name == "join_halves":
        reads[:2] = whole, whole
    elif name == "matmul":
        reads[0] = whole
        reads[1] = rows if placed.call.flags & TRANSPOSE_B else columns
    elif name in ("sgd", "adam"):
        reads[1] = whole
    elif name in ("add", "mul"):
        layouts = [placed.call.flags >> 2 * i & 3 for i in range(2)]
        reads = [whole if layout in (COLUMN, SCALAR) else columns for layout in layouts]
    else:
        assert name in (
            "batchnorm batchnorm_grad batchnorm_inference moving_statistics sum relu relu_grad tanh tanh_grad "
            "neg clip".split()
        )
    gathered = set().union(*[units([b], how) for b, how in zip(placed.ins, reads)])
    own = units(placed.outs, writes)
    accumulates = placed.call.kernel.mutates or placed.call.flags & ACCUMULATE
    return gathered | (own if accumulates else set()), own


def whole(b: Buffer) -> np.ndarray:
    return np.arange(b.size)


def units(buffers: Sequence[Buffer], items: Callable[[Buffer], np.ndarray]) -> set[int]:
    found: set[int] = set()
    for b in buffers:
        if b.size:
            for part in range(0, b.dtype.itemsize, 4):
                found.update((b.address + part + items(b) * b.dtype.itemsize).tolist())
    return found
