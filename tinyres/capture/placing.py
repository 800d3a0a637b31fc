"""Parts of a gradient go where they belong: a total that begins as zeros is not filled where parts write first.

Backward makes it as zeros to which each part is added (`Part`). Where parts do not overlap, none has to
read what is there; where they cover everything, the zeros are for nobody.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyres.capture.program import NO_SLOT, Call, Program
from tinyres.kernels.forms import ADDS_A_PART, FILLS
from tinyres.kernels.record import ACCUMULATE, COPY_DIMENSIONS, FLUSH


def place_parts(program: Program) -> Program:
    """A part that is the first to come to its place is written there instead of added to zeros."""
    calls: list[Call | None] = list(program.calls)
    totals: dict[int, _Total] = {}  # by slot: zeros to which only parts have been added so far
    complete: list[_Total] = []
    placed = 0
    for i, call in enumerate(program.calls):
        out = call.outs[0] if call.outs else NO_SLOT
        total = totals.get(out) if _adds_a_part(call) else None
        touched = [*call.ins, *program.overlaps.get(out, ())] if total is not None else [*call.reads, *call.writes]
        complete += [totals.pop(slot) for slot in program.touched(touched) if slot in totals]
        if total is not None and out in totals:
            if total.is_first_at(call):
                calls[i] = replace(call, flags=call.flags & ~ACCUMULATE)
                placed += 1
        elif call.kernel.does == FILLS and call.scalars == (0.0,):
            totals[out] = _Total(i, program.slots[out].size)
    fills = [total.fill for total in (*complete, *totals.values()) if total.is_covered()]
    for fill in fills:
        calls[fill] = None
    note = f"{placed} parts of gradients written where they belong, {len(fills)} fills of zeros removed"
    return program.with_calls([c for c in calls if c is not None], ("place", note) if placed else None)


_ADDED, _WRITTEN = 1, 2


class _Total:
    """What call number `fill` made: `size` zeros."""

    def __init__(self, fill: int, size: int) -> None:
        self.fill = fill
        self._size = size
        self._state: np.ndarray | None = None  # per item: whether a part was added to the zero, or written over it

    def is_first_at(self, call: Call) -> bool:
        """Whether no part has gone where this one goes; then it is written there."""
        if self._state is None:
            self._state = np.zeros(self._size, np.int8)
        ndim, *layout = call.args
        strides = layout[COPY_DIMENSIONS : COPY_DIMENSIONS + ndim]
        place = np.ndarray(layout[:ndim], np.int8, self._state, layout[3 * COPY_DIMENSIONS], strides)
        if place.any():
            np.maximum(place, _ADDED, out=place)
            return False
        place[...] = _WRITTEN
        return True

    def is_covered(self) -> bool:
        """Whether nobody reads the zeros."""
        return self._state is not None and bool((self._state == _WRITTEN).all())


def _adds_a_part(call: Call) -> bool:
    return call.kernel.does == ADDS_A_PART and call.flags & (ACCUMULATE | FLUSH) == ACCUMULATE | FLUSH
