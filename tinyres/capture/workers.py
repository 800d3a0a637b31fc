"""Workers: how the calls of a list are shared among threads, and where those must wait for one another.

A small net is a list of calls of a microsecond each: no single call is worth a barrier on both sides, but together they
are worth a second worker. What makes it pay is that most of them treat the columns (features) of their matrices apart:
a matmul makes columns of its output, batch normalisation, additions, activations and column sums never look beyond a
column, the gradient of a kernel has the kernel's columns, and so has its update. So each worker does the same columns
of one call after the other, finds them in its own cache, and waits only before a call that needs what others made,
such as a matmul, which reads all columns of its left operand.

The rules, for calls since the last wait (what came before it is complete and visible to all):

- A call is done by columns, or by rows, or by worker 0 alone, or, if it is large and has neither, by all together as
  its kernel divides it. Together has a wait before and behind, for the kernel's workers share a workspace.
- Every operand is touched in one of four patterns: its own columns or rows (worker w touches range w of the columns,
  or rows, of a matrix that begins at one address), alone (worker 0 touches all of it), every (each worker reads all).
- Two touches of the same memory, one of them a write, need a wait in between, whichever comes first, unless both have
  the same pattern and it is not every: then each byte is touched by one worker only, in program order. Own columns are
  the same pattern if address, item size and their number are the same, and own rows if the size is too: on these alone
  depends who has which byte.
- Memory is judged by address, not by slot: temporaries share places in the arena, and windows share their parent.
- Behind a value check all wait, and no call moves over it: a worker that ran ahead could change what it guards.

Where calls are so large that their waits are nothing beside them, there is no need of any of this (`all_together`).

How many workers there are is not asked here: all of this holds for any number. `tinyres.capture.halves` makes lists for
two, with large weights worked by rows. Which list is the fastest, for one, two or all, is measured
(`tinyres.capture.pace`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyres.backends.buffers import Buffer
from tinyres.capture.program import Call
from tinyres.kernels.forms import UPDATE
from tinyres.kernels.record import (
    ALONE,
    BY_COLUMNS,
    BY_ROWS,
    COUNT_SHIFT,
    HALF_OF_K,
    SHARE_UNIT,
    TOGETHER,
    WAIT,
)
from tinyres.kernels.sharing import EVERY, OWN, ROWS, Cut

TOGETHER_NS = 8_000.0  # a call without columns that is worth its two waits and a second worker
WAIT_NS = 1_000.0  # a wait, and fetching from another core what it was waited for
MOST_COLUMNS = 1 << 15


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """A call with the memory of its operands (absent ones have size 0).

    cost: in ns on one worker. index: of the call in the program that it comes from.
    """

    call: Call
    outs: Sequence[Buffer]
    ins: Sequence[Buffer]
    cost: float
    index: int = -1


@dataclass(frozen=True, slots=True)
class Share:
    """How one call is shared. way: BY_COLUMNS, BY_ROWS (so many in `count`), ALONE or TOGETHER.

    waits: all workers wait for one another before it.
    """

    way: int
    count: int = 0
    waits: bool = False

    @property
    def bits(self) -> int:
        """`tr_call.share`."""
        return self.way | (WAIT if self.waits else 0) | self.count << COUNT_SHIFT


Pattern = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Touch:
    """One operand of a shared call: which memory (a region; regions never overlap), how, and whether it is written."""

    region: int
    pattern: Pattern
    writes: bool


def plan_workers(calls: Sequence[PlacedCall]) -> list[tuple[PlacedCall, Share]]:
    """The calls with a Share each. Linear in their number.

    They stay in order but for updates that would need a wait of their own, since others still read the weight: those
    are done right behind the next wait, unless a call before it depends on them.
    """
    planner = _Planner(calls)
    for placed in calls:
        planner.add(placed)
    planner.catch_up()
    return planner.shared


def all_together(calls: Sequence[PlacedCall]) -> list[tuple[PlacedCall, Share]]:
    """The calls in order, each large one by all workers, as its kernel divides it, with a wait before and behind.

    Where most calls are large, as those of a batch of sequences, waits are nothing beside them, and who takes half of
    the rows of an activation reads and writes memory in one piece, where columns are short runs of each row.
    """
    shared: list[tuple[PlacedCall, Share]] = []
    before = ALONE
    for placed in calls:
        way = TOGETHER if placed.cost >= TOGETHER_NS else ALONE
        shared.append((placed, Share(way, waits=bool(shared) and TOGETHER in (way, before))))
        before = way
    return shared


def worth_sharing(planned: Sequence[tuple[PlacedCall, Share]]) -> bool:
    """Whether half of what can be shared is more than what the waits cost: then two workers may gain."""
    shared = sum(placed.cost for placed, share in planned if share.way != ALONE)
    return shared / 2 > WAIT_NS * sum(share.waits for _, share in planned)


class _Planner:
    def __init__(self, calls: Sequence[PlacedCall]) -> None:
        self.shared: list[tuple[PlacedCall, Share]] = []
        self._regions = _regions(calls)
        self._rows_at = _worked_by_rows(calls, self._regions)
        self._columns_at: dict[int, int] = {}  # by region: as what it was last touched by columns
        self._epoch = _Epoch()
        self._held: list[tuple[PlacedCall, Share, list[Touch]]] = []  # updates that stand behind the next wait
        self._held_touches = _Epoch()
        self._behind_check = False

    def add(self, placed: PlacedCall) -> None:
        share, touches = self._share_and_touches(placed)
        if placed.call.kernel.is_check or self._held_touches.meets(touches):
            self.catch_up()
        conflict = self._epoch.conflicts(touches)
        if conflict and share.count and placed.call.kernel.form is UPDATE:
            self._held.append((placed, share, touches))
            self._held_touches.add(touches)
            return
        together = share.way == TOGETHER
        if conflict or together or self._behind_check:
            self.catch_up()
        self._append(placed, share, touches, self._behind_check or together)
        self._behind_check = placed.call.kernel.is_check
        if together:
            self._epoch = _Epoch()

    def catch_up(self) -> None:
        """Wait, and do the held updates, if there are any."""
        held, self._held, self._held_touches = self._held, [], _Epoch()
        for i, (placed, share, touches) in enumerate(held):
            self._append(placed, share, touches, i == 0)

    def _append(self, placed: PlacedCall, share: Share, touches: list[Touch], waits: bool) -> None:
        waits = bool(self.shared) and (waits or self._epoch.conflicts(touches))
        if waits:
            self._epoch = _Epoch()
        self._epoch.add(touches)
        self.shared.append((placed, Share(share.way, share.count, waits)))

    def _share_and_touches(self, placed: PlacedCall) -> tuple[Share, list[Touch]]:
        for way, cut in (
            (BY_ROWS, _by_rows(placed, self._regions, self._rows_at)),
            (BY_COLUMNS, _by_columns(placed, self._regions, self._columns_at)),
        ):
            if cut is None:
                continue
            touches = _touches(placed, way, cut, self._regions)
            if not _clash(touches):
                for touch in touches:
                    if touch.pattern[0] == "columns":
                        self._columns_at[touch.region] = cut.count
                return Share(way, cut.count), touches
        return Share(TOGETHER if placed.cost >= TOGETHER_NS else ALONE), _touches_alone(placed, self._regions)


class _Epoch:
    """What has been touched since the last wait, by region: at most one pattern of writes, any of reads."""

    def __init__(self) -> None:
        self._written: dict[int, Pattern] = {}
        self._read: dict[int, set[Pattern]] = {}

    def conflicts(self, touches: Sequence[Touch]) -> bool:
        """Whether a call with these touches must wait."""
        return any(self._conflicts(touch) for touch in touches)

    def meets(self, touches: Sequence[Touch]) -> bool:
        """Whether a call with these touches depends on what was touched here, or the other way round."""
        return any(touch.region in self._written or (touch.writes and touch.region in self._read) for touch in touches)

    def add(self, touches: Sequence[Touch]) -> None:
        for touch in touches:
            if touch.writes:
                self._written[touch.region] = touch.pattern
            else:
                self._read.setdefault(touch.region, set()).add(touch.pattern)

    def _conflicts(self, touch: Touch) -> bool:
        written = self._written.get(touch.region, touch.pattern)
        if written != touch.pattern:
            return True
        return touch.writes and not self._read.get(touch.region, set()) <= {touch.pattern}


def _clash(touches: Sequence[Touch]) -> bool:
    """Whether workers would get in each other's way within one call."""
    return any(
        a.region == b.region and a.pattern != b.pattern and (a.writes or b.writes)
        for i, a in enumerate(touches)
        for b in touches[:i]
    )


def _regions(calls: Sequence[PlacedCall]) -> dict[int, int]:
    """A region per address of an operand: two operands have the same one if they overlap, also by way of others."""
    spans = {
        (b.address, b.address + b.size * b.dtype.itemsize)
        for placed in calls
        for b in (*placed.outs, *placed.ins)
        if b.size
    }
    regions: dict[int, int] = {}
    region = end = -1
    for start, stop in sorted(spans):
        if start >= end:
            region += 1
        end = max(end, stop)
        regions[start] = region
    return regions


def _touches(placed: PlacedCall, way: int, cut: Cut, regions: dict[int, int]) -> list[Touch]:
    own = "rows" if way == BY_ROWS else "columns"
    patterns = [(b, own, True) for b in placed.outs]
    patterns += [(b, own if read == OWN else read, False) for b, read in zip(placed.ins, cut.reads)]
    touches = []
    for operand, kind, writes in patterns:
        if operand.size:
            which: Pattern = ()
            if kind != EVERY:
                which = operand.address, operand.dtype.itemsize, cut.count, kind == ROWS and operand.size
            touches.append(Touch(regions[operand.address], (kind, *which), writes))
    return touches


def _touches_alone(placed: PlacedCall, regions: dict[int, int]) -> list[Touch]:
    operands = [(b, True) for b in placed.outs] + [(b, False) for b in placed.ins]
    return [Touch(regions[b.address], ("alone",), writes) for b, writes in operands if b.size]


def _worked_by_rows(calls: Sequence[PlacedCall], regions: dict[int, int]) -> dict[int, int]:
    """The number of rows of the weights of halved products, and of what their updates work on, by region."""
    found: dict[int, int] = {}
    for placed in calls:
        if placed.call.flags & HALF_OF_K:
            found[regions[placed.ins[1].address]] = placed.call.args[2]
    for placed in calls:
        if placed.call.kernel.form is UPDATE:
            rows = found.get(regions[placed.outs[0].address], 0)
            if rows:
                found.update({regions[b.address]: rows for b in (*placed.outs, placed.ins[0]) if b.size})
    return found


def _by_rows(placed: PlacedCall, regions: dict[int, int], rows_at: dict[int, int]) -> Cut | None:
    """How a call can be shared by rows, if what it writes is worked by rows; None: it cannot, or need not."""
    call = placed.call
    if not rows_at or not placed.outs or not placed.outs[0].size:
        return None
    rows = rows_at.get(regions[placed.outs[0].address], 0)
    cut = call.kernel.sharing.by_rows(call.kernel, call.args, call.flags) if rows else None
    if cut is None or (cut.count % rows if cut.flat else cut.count != rows):
        return None
    return Cut(rows, cut.reads)


def _by_columns(placed: PlacedCall, regions: dict[int, int], columns_at: dict[int, int]) -> Cut | None:
    """How a call can be shared by columns; None: it cannot."""
    call = placed.call
    cut = call.kernel.sharing.by_columns(call.kernel, call.args, call.flags)
    if cut is None or 0 in call.kernel.sizes_of_work(call.args):
        return None
    columns = _columns_of_flat(placed, cut.count, regions, columns_at) if cut.flat else cut.count
    return Cut(columns, cut.reads) if can_be_cut(columns) else None


def can_be_cut(count: int) -> bool:
    """Whether so many columns or rows can go to several workers."""
    return 2 * SHARE_UNIT <= count <= MOST_COLUMNS and count % SHARE_UNIT == 0


def _columns_of_flat(placed: PlacedCall, items: int, regions: dict[int, int], columns_at: dict[int, int]) -> int:
    """A flat call takes rows of any length: those by which its operands were made, else one row of everything."""
    for operand in (*placed.ins, *placed.outs):
        columns = columns_at.get(regions[operand.address], 0) if operand.size else 0
        if columns and items % columns == 0:
            return columns
    return items
