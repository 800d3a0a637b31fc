"""Program: a captured step as plain data, and how it runs.

Slots are the buffers of the step, calls are its kernel calls over slot numbers. Passes turn one Program into another;
`tinyres.capture.plan` then gives every temporary its place in one arena and packs the calls for the walker.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tinyres.backends.buffers import ABSENT, Buffer, Window
from tinyres.capture.recording import Recording
from tinyres.errors import CaptureError
from tinyres.kernels.record import ACCUMULATE, Kernel

NO_SLOT = -1


@dataclass(frozen=True, slots=True)
class Slot:
    """One buffer of a Program.

    role: "input" (copied in before a run), "output" (copied out after it), "state" (lives outside), "constant", or
    "temporary". buffer: its memory; None for a temporary, whose place in the arena is planned.
    """

    size: int
    dtype: np.dtype
    role: str
    buffer: Buffer | None

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
    """A step: its buffers, its calls in order, and which slots the caller fills and reads."""

    slots: tuple[Slot, ...]
    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    notes: dict[str, str] = field(default_factory=dict)

    def with_calls(self, calls: Sequence[Call], note: tuple[str, str] | None = None) -> Program:
        """The same Program with other calls; `note` is a (pass, what it did) line for the listing."""
        notes = {**self.notes, note[0]: note[1]} if note else self.notes
        return replace(self, calls=tuple(calls), notes=notes)

    def memory(self, slots: Sequence[int]) -> list[Buffer]:
        """The buffers of slots that have one of their own: all but temporaries."""
        found = [self.slots[s].buffer for s in slots]
        return [b for b in found if b is not None]

    def state_written(self) -> list[int]:
        """The slots of outside state that a run changes."""
        written = {s for call in self.calls for s in call.writes if self.slots[s].role == "state"}
        return sorted(written)


def from_recording(recording: Recording, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> Program:
    """Build the Program of a finished recording, and let go of its temporaries.

    A buffer that was born inside and still lives afterwards without being an output or a `.grad` belongs to a Tensor
    that leaked out of the step: it is closed, and reading it is a CaptureError.
    """
    roles: dict[int, str] = {id(b): "input" for b in inputs}
    roles.update({id(b): "output" for b in outputs if id(b) not in roles})
    kept = {id(g.buffer) for g in recording.gradients().values() if g is not None}
    numbers: dict[int, int] = {id(ABSENT): NO_SLOT}
    buffers: list[Buffer] = []
    slots: list[Slot] = []

    def number(buffer: Buffer, read_first: bool) -> int:
        key = id(buffer)
        if key not in numbers:
            role = roles.get(id(buffer.parent), "state") if isinstance(buffer, Window) else roles.get(key)
            if role is None:
                if buffer.born < recording.started or key in kept:
                    role = "state"
                else:
                    role = "constant" if read_first else "temporary"
            numbers[key] = len(slots)
            buffers.append(buffer)
            slots.append(Slot(buffer.size, buffer.dtype, role, None if role == "temporary" else buffer))
        return numbers[key]

    calls = []
    for call in recording.calls:
        ins = tuple([number(b, read_first=True) for b in call.ins])
        outs = tuple([number(b, read_first=False) for b in call.outs])
        calls.append(Call(call.kernel, outs, ins, call.args, call.scalars, call.flags, call.label))
    for buffer in (*inputs, *outputs):
        number(buffer, read_first=True)
    recording.calls.clear()
    temporaries = [weakref.ref(b) for b, slot in zip(buffers, slots) if slot.buffer is None]
    program = Program(
        tuple(slots),
        tuple(calls),
        tuple([numbers[id(b)] for b in inputs]),
        tuple([numbers[id(b)] for b in outputs]),
    )
    del call, buffer
    buffers.clear()
    for reference in temporaries:
        leaked = reference()
        if leaked is not None:
            leaked.__class__ = _ClosedBuffer
    return program


class _ClosedBuffer(Buffer):
    """The buffer of a Tensor that only existed inside a captured step."""

    __slots__ = ()

    @property
    def array(self) -> np.ndarray:
        raise CaptureError(_CLOSED)

    @property
    def address(self) -> int:  # type: ignore[override]
        raise CaptureError(_CLOSED)


_CLOSED = (
    "[capture] a Tensor that was made inside a captured step has no values outside of it; got a read of one; "
    "return it from the step"
)
