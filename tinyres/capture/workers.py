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

How many workers there are is not asked here: all of this holds for any number. `tinyres.capture.halves` makes lists for
two, with large weights worked by rows. Which list is the fastest, for one, two or all, is measured
(`tinyres.capture.pace`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyres.backends.buffers import Buffer
from tinyres.capture.program import Call
from tinyres.kernels.record import (
    ALONE,
    BY_COLUMNS,
    BY_ROWS,
    COUNT_SHIFT,
    FULL,
    HALF_OF_K,
    ROW,
    SCALAR,
    SHARE_UNIT,
    TOGETHER,
    TRANSPOSE_A,
    TRANSPOSE_B,
    WAIT,
)

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
        if placed.call.is_check or self._held_touches.meets(touches):
            self.catch_up()
        conflict = self._epoch.conflicts(touches)
        if conflict and share.count and placed.call.kernel.name in UPDATES:
            self._held.append((placed, share, touches))
            self._held_touches.add(touches)
            return
        together = share.way == TOGETHER
        if conflict or together or self._behind_check:
            self.catch_up()
        self._append(placed, share, touches, self._behind_check or together)
        self._behind_check = placed.call.is_check
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
        rows = _rows(placed, self._regions, self._rows_at)
        columns = 0 if rows else _columns(placed, self._regions, self._columns_at)
        share = Share(BY_ROWS, rows) if rows else Share(BY_COLUMNS, columns)
        touches = _touches(placed, share, self._regions)
        if not share.count or _clash(touches):
            share = Share(TOGETHER if placed.cost >= TOGETHER_NS else ALONE)
            touches = _touches(placed, share, self._regions)
        for touch in touches:
            if touch.pattern[0] == "columns":
                self._columns_at[touch.region] = share.count
        return share, touches


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


def _touches(placed: PlacedCall, share: Share, regions: dict[int, int]) -> list[Touch]:
    touches = []
    for operands, kinds, writes in (
        (placed.outs, [_kind(share)] * len(placed.outs), True),
        (placed.ins, _kinds_of_inputs(placed.call, share), False),
    ):
        for operand, kind in zip(operands, kinds):
            if operand.size:
                which: Pattern = ()
                if kind in ("columns", "rows"):
                    which = operand.address, operand.dtype.itemsize, share.count, kind == "rows" and operand.size
                touches.append(Touch(regions[operand.address], (kind, *which), writes))
    return touches


def _kind(share: Share) -> str:
    return {BY_COLUMNS: "columns", BY_ROWS: "rows"}.get(share.way, "alone") if share.count else "alone"


# What the kernels can do by columns and by rows: csrc/kernel.h. Unless it is said otherwise, all operands are matrices
# or vectors of these columns, or matrices of these rows.

UPDATES = frozenset(("sgd", "adam"))
FLAT = UPDATES | frozenset(
    "neg exp log sqrt abs sign tanh sigmoid relu softplus square reciprocal clip clip_grad relu_grad tanh_grad "
    "sigmoid_grad".split()
)
ROWS = frozenset("add sub mul div pow maximum minimum compare where".split())
NORMS = frozenset("batchnorm batchnorm_grad batchnorm_inference".split())


def _kinds_of_inputs(call: Call, share: Share) -> list[str]:
    """The pattern in which each input is read."""
    name, kinds = call.kernel.name, [_kind(share)] * len(call.ins)
    if not share.count:
        return kinds
    if name == "matmul" and share.way == BY_ROWS:
        kinds[:3] = ["columns", "every", "every"]  # of a, which is transposed, the columns are rows of the output
    elif name == "matmul" and call.flags & HALF_OF_K:
        kinds[1] = "rows"
    elif name == "matmul":
        kinds[:2] = ["every", "rows" if call.flags & TRANSPOSE_B else "columns"]
    elif name == "join_halves":
        kinds[:2] = ["every", "every"]
    elif name in UPDATES:
        kinds[1] = "every"
    elif name in ROWS:
        kinds = [kind if _layout(call, i) in (FULL, ROW) else "every" for i, kind in enumerate(kinds)]
    return kinds


def _worked_by_rows(calls: Sequence[PlacedCall], regions: dict[int, int]) -> dict[int, int]:
    """The number of rows of the weights of halved products, and of what their updates work on, by region."""
    found: dict[int, int] = {}
    for placed in calls:
        if placed.call.kernel.name == "matmul" and placed.call.flags & HALF_OF_K:
            found[regions[placed.ins[1].address]] = placed.call.args[2]
    for placed in calls:
        if placed.call.kernel.name in UPDATES:
            rows = found.get(regions[placed.outs[0].address], 0)
            if rows:
                found.update({regions[b.address]: rows for b in (*placed.outs, placed.ins[0]) if b.size})
    return found


def _rows(placed: PlacedCall, regions: dict[int, int], rows_at: dict[int, int]) -> int:
    """The rows by which a call can be shared; 0: it cannot, or need not."""
    name, args, flags = placed.call.kernel.name, placed.call.args, placed.call.flags
    if not placed.outs or not placed.outs[0].size:
        return 0
    rows = rows_at.get(regions[placed.outs[0].address], 0)
    if name == "matmul":
        transposed = flags & (TRANSPOSE_A | TRANSPOSE_B)
        return rows if transposed == TRANSPOSE_A and args[0] == rows and args[1] > 1 else 0
    return rows if name in UPDATES else 0


def _columns(placed: PlacedCall, regions: dict[int, int], columns_at: dict[int, int]) -> int:
    """The columns by which a call can be shared; 0: it cannot."""
    call = placed.call
    name, args = call.kernel.name, call.args
    columns = 0
    if name == "matmul" and call.flags & HALF_OF_K:
        columns = args[2]
    elif name == "matmul":
        columns = args[1] if args[0] > 1 else 0  # one row: its kernel goes by dot products
    elif name in NORMS or name == "join_halves":
        columns = args[1]
    elif name == "sum":
        columns = args[2]
    elif name == "moving_statistics":
        columns = args[0]
    elif name in ROWS and not all(_layout(call, i) in (FULL, SCALAR) for i in range(len(call.ins))):
        columns = args[1]
    elif name in FLAT or name in ROWS:
        elements = args[0] if name in FLAT else args[0] * args[1]
        columns = _columns_of_flat(placed, elements, regions, columns_at)
    return columns if can_be_cut(columns) and 0 not in args else 0


def can_be_cut(count: int) -> bool:
    """Whether so many columns or rows can go to several workers."""
    return 2 * SHARE_UNIT <= count <= MOST_COLUMNS and count % SHARE_UNIT == 0


def _columns_of_flat(placed: PlacedCall, elements: int, regions: dict[int, int], columns_at: dict[int, int]) -> int:
    """A flat kernel takes rows of any length: those by which its operands were made, else one row of everything."""
    for operand in (*placed.ins, *placed.outs):
        columns = columns_at.get(regions[operand.address], 0) if operand.size else 0
        if columns and elements % columns == 0:
            return columns
    return elements


def _layout(call: Call, i: int) -> int:
    return call.flags >> (2 * i) & 3
