"""Program: a captured step as plain data, and how it runs.

Slots are the memory of the step: each is a range of a base, most are a whole one. Calls are its kernel calls over
slot numbers. Passes turn one Program into another; `tinyres.capture.plan` then gives the base of every temporary its
place in one arena and packs the calls for the walker. Slots may share memory, so whoever wants to know what a call
touches asks `Program.touched`.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tinyres.backends.buffers import ABSENT, Buffer, Window
from tinyres.capture.recording import RecordedCall, Recording
from tinyres.errors import CaptureError
from tinyres.kernels.record import ACCUMULATE, Kernel

NO_SLOT = -1


@dataclass(frozen=True, slots=True)
class Slot:
    """`size` items of a Program's memory, from byte `offset` of slot number `base` on; a base is its own.

    role: of the base: "input" (copied in before a run), "output" (copied out after it), "state" (lives outside),
    "constant", or "temporary". buffer: the memory; None for a temporary, whose place in the arena is planned.
    """

    size: int
    dtype: np.dtype
    role: str
    buffer: Buffer | None
    base: int
    offset: int = 0

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call over slot numbers (NO_SLOT: operand absent). label: the scope that it was recorded under.

    reads: the slots whose old values it needs, inputs and outputs that are updated. writes: its outputs.
    """

    kernel: Kernel
    outs: tuple[int, ...]
    ins: tuple[int, ...]
    args: tuple[int, ...]
    scalars: tuple[float, ...]
    flags: int
    label: str
    reads: tuple[int, ...] = field(init=False, compare=False, repr=False)
    writes: tuple[int, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        reads = [s for s in self.ins if s != NO_SLOT]
        if self.kernel.mutates:
            reads += [s for s, letter in zip(self.outs, self.kernel.outs) if letter.isupper() and s != NO_SLOT]
        if self.flags & ACCUMULATE:
            reads.append(self.outs[0])
        object.__setattr__(self, "reads", tuple(reads))
        object.__setattr__(self, "writes", tuple([s for s in self.outs if s != NO_SLOT]))


@dataclass(frozen=True, slots=True)
class Program:
    """A step: its memory, its calls in order, and which slots the caller fills and reads.

    overlaps: which other slots share memory with a slot; only those are named that share some.
    """

    slots: tuple[Slot, ...]
    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    overlaps: dict[int, tuple[int, ...]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def with_calls(self, calls: Sequence[Call], note: tuple[str, str] | None = None) -> Program:
        """The same Program with other calls; `note` is a (pass, what it did) line for the listing."""
        notes = {**self.notes, note[0]: note[1]} if note else self.notes
        return replace(self, calls=tuple(calls), notes=notes)

    def touched(self, slots: Sequence[int]) -> Sequence[int]:
        """The slots, and all that share memory with one of them."""
        if not self.overlaps:
            return slots
        return [*slots, *[other for slot in slots for other in self.overlaps.get(slot, ())]]

    def memory(self, slots: Sequence[int]) -> list[Buffer]:
        """The buffers of slots that have one of their own: all but temporaries."""
        found = [self.slots[s].buffer for s in slots]
        return [b for b in found if b is not None]

    def state_written(self, before: int | None = None) -> list[int]:
        """The bases of outside state that a run changes; before: by the calls before this one."""
        slots = [self.slots[s] for call in self.calls[:before] for s in call.writes]
        return sorted({slot.base for slot in slots if slot.role == "state"})


def from_recording(recording: Recording, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> Program:
    """Build the Program of a finished recording, and let go of its temporaries.

    A buffer that was born inside and still lives afterwards without being an output or a `.grad` belongs to a Tensor
    that leaked out of the step: it is closed, and reading it is a CaptureError.
    """
    numbers = _Numbers(recording, inputs, outputs)
    program = Program(
        slots=(),
        calls=tuple([numbers.call(call) for call in recording.calls]),
        inputs=tuple([numbers.of(b, read_first=True) for b in inputs]),
        outputs=tuple([numbers.of(b, read_first=True) for b in outputs]),
    )
    program = replace(program, slots=tuple(numbers.slots), overlaps=_overlaps(numbers.slots))
    recording.calls.clear()
    temporaries = [weakref.ref(b) for b, number in numbers.seen if numbers.slots[number].buffer is None]
    del numbers
    for reference in temporaries:
        leaked = reference()
        if leaked is not None:
            leaked.__class__ = _ClosedWindow if isinstance(leaked, Window) else _ClosedBuffer
    return program


class _Numbers:
    """The slots of a recording: each range of each base has one."""

    def __init__(self, recording: Recording, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> None:
        self.slots: list[Slot] = []
        self.seen: list[tuple[Buffer, int]] = []
        self._started = recording.started
        self._inputs = {id(_base(b)) for b in inputs}
        self._outputs = {id(_base(b)) for b in outputs}
        self._kept = {id(_base(b)) for b in recording.lasting()}
        self._numbers: dict[int, int] = {id(ABSENT): NO_SLOT}  # by the identity of a buffer
        self._windows: dict[tuple[int, int, int, np.dtype], int] = {}

    def call(self, call: RecordedCall) -> Call:
        """A recorded call over slot numbers."""
        ins = tuple([self.of(b, read_first=True) for b in call.ins])
        outs = tuple([self.of(b, read_first=False) for b in call.outs])
        return Call(call.kernel, outs, ins, call.args, call.scalars, call.flags, call.label)

    def of(self, buffer: Buffer, read_first: bool) -> int:
        """The slot of a buffer; read_first: whether the call that touches it first reads it."""
        number = self._numbers.get(id(buffer))
        if number is None:
            number = self._new_window(buffer, read_first) if isinstance(buffer, Window) else len(self.slots)
            self._numbers[id(buffer)] = number
            self.seen.append((buffer, number))
            if not isinstance(buffer, Window):
                role = self._role(buffer, read_first)
                memory = None if role == "temporary" else buffer
                self.slots.append(Slot(buffer.size, buffer.dtype, role, memory, number))
        return number

    def _new_window(self, window: Window, read_first: bool) -> int:
        number = self.of(window.base, read_first)
        base = self.slots[number]
        if (window.offset, window.size, window.dtype) == (0, base.size, base.dtype):
            return number
        key = number, window.offset, window.size, window.dtype
        if key not in self._windows:
            self._windows[key] = len(self.slots)
            memory = None if base.buffer is None else window
            self.slots.append(Slot(window.size, window.dtype, base.role, memory, number, window.offset))
        return self._windows[key]

    def _role(self, base: Buffer, read_first: bool) -> str:
        """An output that lives outside anyway, such as a parameter that the step returns, is state."""
        if id(base) in self._inputs:
            return "input"
        if base.born < self._started or id(base) in self._kept:
            return "state"
        if id(base) in self._outputs:
            return "output"
        return "constant" if read_first else "temporary"


def _base(buffer: Buffer) -> Buffer:
    return buffer.base if isinstance(buffer, Window) else buffer


def _overlaps(slots: Sequence[Slot]) -> dict[int, tuple[int, ...]]:
    """The slots that share memory with a slot, for those that share some."""
    families: dict[int, list[int]] = {}
    for i, slot in enumerate(slots):
        if slot.base != i and slot.size:
            families.setdefault(slot.base, [slot.base]).append(i)
    found: dict[int, list[int]] = {}
    for family in families.values():
        family.sort(key=lambda i: slots[i].offset)
        open_ones: list[int] = []  # that end behind the start of the next
        for i in family:
            open_ones = [o for o in open_ones if slots[o].offset + slots[o].nbytes > slots[i].offset]
            for other in open_ones:
                found.setdefault(i, []).append(other)
                found.setdefault(other, []).append(i)
            open_ones.append(i)
    return {i: tuple(others) for i, others in found.items()}


class _ClosedBuffer(Buffer):
    """The buffer of a Tensor that only existed inside a captured step."""

    __slots__ = ()

    @property
    def array(self) -> np.ndarray:
        raise CaptureError(_CLOSED)

    @property
    def address(self) -> int:  # type: ignore[override]
        raise CaptureError(_CLOSED)


class _ClosedWindow(_ClosedBuffer, Window):
    """A window of one."""

    __slots__ = ()


_CLOSED = (
    "[capture] a Tensor that was made inside a captured step has no values outside of it; got a read of one; "
    "return it from the step"
)
