"""A captured step as a file: its memory, its calls packed for 32-bit pointers, and what of it has a name.

Several programs may share one memory, as a step and a prediction share weights: state is told by the buffer that it
stands in, and what is temporary in one program is free in the next. A program that goes first and draws the weights
spares the file their values.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.backends.buffers import ALIGNMENT, Buffer, Window
from tinyres.backends.native import NATIVE
from tinyres.capture.program import NO_SLOT, Call, Slot
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, CaptureError
from tinyres.kernels.record import ACCUMULATE, POINTERS, call_bytes
from tinyres.store.program_file import ABSENT, LARGEST, ProgramFile

if TYPE_CHECKING:
    from tinyres.capture.step import Replay

POINTER_BYTES = 4
_FIRST_POINTER = 16  # in the C struct

Named = Mapping[str, "Tensor | Buffer"]


def exported(
    programs: Mapping[str, Replay],
    state: Named | None = None,
    settings: Named | None = None,
    first: str = "",
    about: Any = None,
    look: Any = None,
) -> ProgramFile:
    """These programs over one memory, as it is now. Inputs, and outputs, of one name and kind share their place.

    state: what else of the memory has a name; settings: what of it is chosen and not computed. first: the name of the
    program that is to run before all others: what it makes is not stored. about, look: what else the header says, as
    JSON knows it.
    Raises CaptureError for a step that cannot run without Python.
    """
    for replay in programs.values():
        _refuse_python(replay)
    image = _Image(max(replay.executable.arena_bytes for replay in programs.values()))
    made = _made(programs[first]) if first else set()
    kept: set[int] = set()
    shared: dict[tuple[str, int, np.dtype], Buffer] = {}
    for replay in programs.values():
        for name, buffer in replay.ports():
            image.place_like(buffer, shared.setdefault((name, buffer.size, buffer.dtype), buffer))
        for slot, buffer in zip(replay.program.slots, replay.executable.buffers):
            if slot.role != "temporary":
                image.place(buffer, "state" if _lasts(replay, slot) else "other")
            if slot.role == "constant" or _lasts(replay, slot):
                kept.add(id(_base(buffer)))
    memory: dict[str, Any] = {}
    for role, named in ("state", state or {}), ("setting", settings or {}):
        for name, held in named.items():
            buffer, shape = (held.buffer, held.shape) if isinstance(held, Tensor) else (held, ())
            image.place(buffer, "state")
            kept.add(id(_base(buffer)))
            _name(memory, name, image.at(buffer), buffer, shape, role)
    image.keep(kept - made)
    kernels: dict[str, int] = {}
    packed: list[bytes] = []
    listed = {}
    for name, replay in programs.items():
        listed[name] = _described(replay, image, memory, len(packed))
        packed += [_packed(call, replay.executable.buffers, image, kernels) for call in replay.program.calls]
    header = {
        "pointer_bytes": POINTER_BYTES,
        "call_bytes": call_bytes(POINTER_BYTES),
        "image": image.size,
        "kernels": list(kernels),
        "count": len(packed),
        "stored": image.stored(),
        "state": image.state(),
        "memory": memory,
        "programs": listed,
        "about": about,
        "look": look,
    }
    return ProgramFile(header, image.values(), b"".join(packed))


def _described(replay: Replay, image: _Image, memory: dict[str, Any], first: int) -> dict[str, Any]:
    """What the header says of one program; names its inputs and outputs in `memory`."""
    program, buffers = replay.program, replay.executable.buffers
    for role, names, slots, shapes in (
        ("input", replay.input_names, program.inputs, replay.input_shapes),
        ("output", replay.output_names, program.outputs, replay.output_shapes),
    ):
        for name, slot, shape in zip(names, slots, shapes):
            _name(memory, name, image.at(buffers[slot]), buffers[slot], shape, role)
    return {
        "first": first,
        "count": len(program.calls),
        "peek": next((i for i, c in enumerate(program.calls) if _writes_state(replay, c)), len(program.calls)),
        "inputs": replay.input_names,
        "outputs": replay.output_names,
        "exposed": [image.range(b) for b in replay.exposed],
        "labels": [call.label for call in program.calls],
    }


def _name(memory: dict[str, Any], name: str, at: int, buffer: Buffer, shape: tuple[int, ...], role: str) -> None:
    place = {"at": at, "dtype": buffer.dtype.name, "shape": list(shape), "role": role}
    if memory.setdefault(name, place) != place:
        raise ArgumentError(
            f"[export] a name stands for one place in memory; got {name!r} for two; rename the argument, or the key of "
            "the dict that the step returns"
        )


def _packed(call: Call, buffers: list[Buffer], image: _Image, kernels: dict[str, int]) -> bytes:
    places = [ABSENT if slot == NO_SLOT else image.at(buffers[slot]) for slot in (*call.outs, *call.ins)]
    number = kernels.setdefault(call.kernel.name, len(kernels))
    packed = call.kernel.packer(POINTER_BYTES)(number, call.flags, 0, *places, *call.args, *call.scalars)
    begin, end = (_FIRST_POINTER + POINTER_BYTES * i for i in (len(places), POINTERS))
    return packed[:begin] + b"\xff" * (end - begin) + packed[end:]


def _refuse_python(replay: Replay) -> None:
    """Raise CaptureError for what a program needs Python for."""
    if replay.preparations:
        raise CaptureError(
            "[export] an exported step runs without Python; got one that Python prepares before each run, as for a "
            "schedule of the learning rate; give the optimizer a number, which stands in memory"
        )
    if replay.takes_gradients:
        raise CaptureError(
            "[export] an exported step starts from its own memory; got one that adds to the `.grad` of before; call "
            "optimizer.zero_grad() in it"
        )
    for call in replay.program.calls:
        if not NATIVE.takes(call.kernel, *replay.executable.operands(call)):
            raise CaptureError(
                f"[export] an exported step is of float32; got {call.kernel.name} of float64 under "
                f"{call.label or 'no scope'}; export a float32 model, model.astype('float32')"
            )


def _made(replay: Replay) -> set[int]:
    """By identity: the buffers that a program fills without having read them."""
    slots = replay.program.slots
    read: set[int] = set()
    made: set[int] = set()
    for call in replay.program.calls:
        whole = {s for s in call.writes if slots[s].base == s and _fills(call, slots[s].size)}
        read |= {slots[s].base for s in call.reads if s not in whole or s in call.ins} - made
        made |= whole - read
    return {id(slots[s].buffer) for s in made if slots[s].buffer is not None}


def _fills(call: Call, size: int) -> bool:
    """Whether nothing is left of what stood in its output, of so many items: a walk may leave some out."""
    if call.flags & ACCUMULATE or not call.kernel.mutates:
        return not call.flags & ACCUMULATE
    return call.kernel.walks and math.prod(call.kernel.sizes_of_work(call.args)) >= size


def _lasts(replay: Replay, slot: Slot) -> bool:
    """Whether it was there before the step, unlike the gradients that a step leaves behind and makes anew."""
    return slot.role == "state" and slot.buffer is not None and slot.buffer.born < replay.started


def _writes_state(replay: Replay, call: Call) -> bool:
    return any(_lasts(replay, replay.program.slots[s]) for s in call.writes)


def _base(buffer: Buffer) -> Buffer:
    return buffer.base if isinstance(buffer, Window) else buffer


class _Image:
    """The memory of a file: the arena that all programs take their temporaries from, then one part for each buffer."""

    def __init__(self, arena_bytes: int) -> None:
        self.size = _rounded(arena_bytes)
        self._places: dict[int, tuple[int, Buffer, str]] = {}  # by identity
        self._stored: list[tuple[int, np.ndarray]] = []

    def place(self, buffer: Buffer, role: str) -> None:
        """Give the memory that a buffer lies in a place, if it has none."""
        base = _base(buffer)
        if id(base) in self._places:
            return
        self._places[id(base)] = self.size, base, role
        self.size += _rounded(base.array.nbytes)
        if self.size > LARGEST:
            raise CaptureError(
                f"[export] a program has at most {LARGEST >> 20} MB of memory, as its pointers have 32 bits; got more; "
                "export a smaller net or batch"
            )

    def place_like(self, buffer: Buffer, other: Buffer) -> None:
        """Give a buffer that comes or goes the place of another one."""
        if buffer is other:
            self.place(buffer, "other")
        else:
            self._places.setdefault(id(buffer), self._places[id(other)])

    def keep(self, kept: Container[int]) -> None:
        """Store the values of these buffers, by identity, where they are not all 0."""
        for at, base, _ in self._places.values():
            values = base.array.view(np.uint8)
            if id(base) in kept and values.any():
                self._stored.append((at, values))

    def at(self, buffer: Buffer) -> int:
        """Where a buffer lies; a temporary, whose arena has no place of its own, as it lies in that."""
        start = self._places[id(_base(buffer))][0] if id(_base(buffer)) in self._places else 0
        return start + (buffer.offset if isinstance(buffer, Window) else 0)

    def range(self, buffer: Buffer) -> tuple[int, int]:
        """Where it lies, and its bytes."""
        return self.at(buffer), buffer.size * buffer.dtype.itemsize

    def state(self) -> list[tuple[int, int]]:
        """The ranges that last from run to run, those next to each other as one."""
        return _joined((at, base.array.nbytes) for at, base, role in self._places.values() if role == "state")

    def stored(self) -> list[tuple[int, int]]:
        """The ranges whose values are in the file."""
        return _joined((at, values.size) for at, values in self._stored)

    def values(self) -> bytes:
        """What stands in them."""
        parts = []
        for at, length in self.stored():
            part = np.zeros(length, np.uint8)
            for start, values in self._stored:
                if at <= start < at + length:
                    part[start - at : start - at + values.size] = values
            parts.append(part.tobytes())
        return b"".join(parts)


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order; what only the rounding of places parts is one range."""
    joined: list[tuple[int, int]] = []
    for at, length in sorted(ranges):
        if joined and at - sum(joined[-1]) <= ALIGNMENT:
            at, length = joined[-1][0], at + length - joined.pop()[0]
        joined.append((at, length))
    return joined


def _rounded(nbytes: int) -> int:
    """So much that no two buffers, not even two without elements, begin at one place."""
    return (nbytes // ALIGNMENT + 1) * ALIGNMENT
