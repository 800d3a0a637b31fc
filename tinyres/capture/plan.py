"""From Program to bytes: places for the temporaries in one arena, and the packed calls that the walker replays."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyres.backends import native
from tinyres.backends.backend import Backend
from tinyres.backends.buffers import ABSENT, ALIGNMENT, Buffer, Window
from tinyres.backends.memory import check_fits
from tinyres.backends.native import NATIVE
from tinyres.backends.numpy import NUMPY
from tinyres.capture.halves import in_halves
from tinyres.capture.pace import FasterOf
from tinyres.capture.program import NO_SLOT, Call, Program
from tinyres.capture.workers import PlacedCall, Share, all_together, plan_workers, worth_sharing
from tinyres.kernels.record import AHEAD, ALONE
from tinyres.launch import Launch, backend_of, launch

_BYTE = np.dtype("uint8")

# A step that touches more memory than this finds little of it in the second level cache when it comes round again.
_CACHED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive calls of one backend.

    run: replays them; -1, or the index of the call whose value check failed.
    """

    first: int
    run: Callable[[], int]


class Executable:
    """A planned Program: run() replays it.

    arena_bytes: the memory of all temporaries together; unplanned_bytes: what they would take without sharing. buffers:
    of each slot.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        offsets, self.arena_bytes = place_temporaries(program)
        self.unplanned_bytes = sum(
            _rounded(s.nbytes) for i, s in enumerate(program.slots) if s.base == i and s.role == "temporary"
        )
        check_fits("capture", self.arena_bytes, "what this step computes")
        self._arena = Buffer(self.arena_bytes, _BYTE)
        self.buffers = [
            Window(self._arena, offsets.get(slot.base, 0) + slot.offset, slot.size, slot.dtype)
            if slot.buffer is None
            else slot.buffer
            for slot in program.slots
        ]
        self.segments = self._segmented()

    def run(self) -> int:
        """Replay all calls; -1, or the index of the call whose value check failed (nothing after it has run)."""
        for segment in self.segments:
            failed = segment.run()
            if failed >= 0:
                return segment.first + failed
        return -1

    def run_one(self, call: Call) -> list[Buffer]:
        """Run a single call and return its outputs."""
        arguments = self._launch(call)
        launch(*arguments)
        return list(arguments[1])

    def operands(self, call: Call) -> tuple[list[Buffer], list[Buffer]]:
        """The buffers of a call, outputs and inputs."""
        outs = [ABSENT if s == NO_SLOT else self.buffers[s] for s in call.outs]
        return outs, [ABSENT if s == NO_SLOT else self.buffers[s] for s in call.ins]

    def _touched_bytes(self) -> int:
        slots = self.program.slots
        return self.arena_bytes + sum(s.nbytes for i, s in enumerate(slots) if s.base == i and s.buffer is not None)

    def _segmented(self) -> list[Segment]:
        segments: list[Segment] = []
        first = 0
        for backend, group in itertools.groupby(self.program.calls, self._backend_of):
            calls = list(group)
            segments.append(Segment(first, self._runner(backend, calls)))
            first += len(calls)
        return segments

    def _backend_of(self, call: Call) -> Backend:
        return backend_of(call.kernel, *self.operands(call))

    def _runner(self, backend: Backend, calls: Sequence[Call]) -> Callable[[], int]:
        if backend is not NATIVE:
            return NUMPY.replayed([self._launch(call) for call in calls])
        ahead = AHEAD if self._touched_bytes() > _CACHED_BYTES else 0
        return _NativeCalls([(call, *self.operands(call)) for call in calls], ahead).run

    def _launch(self, call: Call) -> Launch:
        return call.kernel, *self.operands(call), call.args, call.scalars, call.flags


class _NativeCalls:
    """Calls as C structs: for one worker, and, from the first run with several on, for those.

    share: bits of the calls for one worker.
    """

    def __init__(self, calls: Sequence[tuple[Call, Sequence[Buffer], Sequence[Buffer]]], share: int) -> None:
        self._calls = calls
        self._share = share
        self._packed = [pack(*call, share) for call in calls]
        self._run_alone = functools.partial(native.run, b"".join(self._packed), len(calls))
        self._run_shared: Callable[[], int] = self._run_alone
        self._planned_for = 1  # threads

    def run(self) -> int:
        """-1, or the index of the call whose value check failed."""
        threads = native.threads()
        if threads != self._planned_for:
            self._run_shared = self._planned(threads) if threads > 1 else self._run_alone
            self._planned_for = threads
        return self._run_shared()

    def _planned(self, threads: int) -> Callable[[], int]:
        placed = [PlacedCall(*call, native.cost(self._packed[i]), i) for i, call in enumerate(self._calls)]
        halved = in_halves(placed)  # for two workers, which may be worth more than many that fetch from one another
        lists = [halved] if threads == 2 or len(halved) == len(placed) else [halved, placed]
        ways = [*map(plan_workers, lists), all_together(placed)]
        shared = [planned for planned in ways if worth_sharing(planned)]
        if not shared:
            return self._run_alone
        alone = b"".join([pack(*call, Share(ALONE).bits | self._share) for call in self._calls])
        return FasterOf(functools.partial(native.run, alone, len(self._calls)), *map(_runner_of, shared)).run


def _runner_of(planned: Sequence[tuple[PlacedCall, Share]]) -> Callable[[], int]:
    packed = b"".join([pack(p.call, p.outs, p.ins, share.bits) for p, share in planned])

    def run() -> int:
        failed = native.run(packed, len(planned))
        return planned[failed][0].index if failed >= 0 else failed

    return run


def pack(call: Call, outs: Sequence[Buffer], ins: Sequence[Buffer], share: int) -> bytes:
    """The call as its C struct; share: `tr_call.share`."""
    addresses = [b.address for b in (*outs, *ins)]
    return call.kernel.pack(call.kernel.native_id, call.flags, share, *addresses, *call.args, *call.scalars)


def place_temporaries(program: Program) -> tuple[dict[int, int], int]:
    """An offset in the arena per base of temporaries such that no two that live at once overlap; and the arena's size.

    One scan over the calls: a base takes a gap when a part of it is first written, and gives it back after the last use
    of any part.
    """
    last_use: dict[int, int] = {}
    for i, call in enumerate(program.calls):
        for slot in (*call.outs, *call.ins):
            if slot != NO_SLOT and program.slots[slot].role == "temporary":
                last_use[program.slots[slot].base] = i
    ending: dict[int, list[int]] = {}
    for base, i in last_use.items():
        ending.setdefault(i, []).append(base)
    offsets: dict[int, int] = {}
    arena = _Arena()
    for i, call in enumerate(program.calls):
        for slot in call.writes:
            base = program.slots[slot].base
            if base in last_use and base not in offsets:
                size = _rounded(program.slots[base].nbytes)
                dying = _overwritable(program, call, i, last_use)
                if dying is not None:
                    offsets[base] = offsets[dying]
                    ending[i].remove(dying)
                    continue
                offsets[base] = arena.take(size)
        for base in ending.get(i, ()):
            if base in offsets:
                arena.give(offsets[base], _rounded(program.slots[base].nbytes))
    return offsets, arena.end


_ROOMY = 4  # a gap of more than so many times the size is kept for something larger


class _Arena:
    """Memory from 0 to `end`, and the gaps in it, as (offset, size) in the order in which they came free."""

    def __init__(self) -> None:
        self.end = 0
        self._gaps: list[tuple[int, int]] = []

    def give(self, offset: int, size: int) -> None:
        """This part is free."""
        self._gaps.append((offset, size))

    def take(self, size: int) -> int:
        """Where so many bytes go: into the gap of that size which came free last and is still in the cache, else into
        the smallest that holds them when neighbours are joined, if it is not much too large, else to the end."""
        for i in reversed(range(len(self._gaps))):
            if self._gaps[i][1] == size:
                return self._gaps.pop(i)[0]
        self._join()
        fitting = [gap for gap in self._gaps if size <= gap[1] <= _ROOMY * size]
        if fitting:
            offset, room = min(fitting, key=lambda gap: gap[1])
            self._gaps.remove((offset, room))
            if room > size:
                self._gaps.append((offset + size, room - size))
            return offset
        offset = self.end
        if self._gaps and self._gaps[-1][1] < size and sum(self._gaps[-1]) == self.end:
            offset = self._gaps.pop()[0]
        self.end = offset + size
        return offset

    def _join(self) -> None:
        gaps: list[tuple[int, int]] = []
        for offset, size in sorted(self._gaps):
            if gaps and sum(gaps[-1]) == offset:
                offset, before = gaps.pop()
                size += before
            gaps.append((offset, size))
        self._gaps = gaps


def _overwritable(program: Program, call: Call, i: int, last_use: dict[int, int]) -> int | None:
    """An input that the call may overwrite with its output: a whole temporary of that size that ends here."""
    out = program.slots[call.outs[0]]
    if out.base != call.outs[0]:
        return None
    for position, slot in enumerate(call.ins):
        source = program.slots[slot]
        may = call.kernel.may_overwrite(position, call.flags) and slot not in program.overlaps
        if may and last_use.get(slot) == i and (source.size, source.dtype) == (out.size, out.dtype):
            return slot
    return None


def _rounded(nbytes: int) -> int:
    return max(ALIGNMENT, -(-nbytes // ALIGNMENT) * ALIGNMENT)
