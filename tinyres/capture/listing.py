"""The readable listing of a Program: one line per call, and what a run costs."""

from __future__ import annotations

import math
from collections import Counter

from tinyres.capture.program import NO_SLOT, Call, Program

_SHOWN = 60


def listing(program: Program, arena_bytes: int, unplanned_bytes: int, shown: int = _SHOWN) -> str:
    """Calls with their sizes, buffers and scopes; then totals: calls, FLOPs, bytes moved, memory, passes."""
    flops = sum(map(call_flops, program.calls))
    moved = sum(call_bytes(program, call) for call in program.calls)
    roles = Counter(slot.role for i, slot in enumerate(program.slots) if slot.base == i)
    lines = [
        f"Program: {len(program.calls)} calls, {flops / 1e6:.3g} MFLOP, {moved / 1e6:.3g} MB moved, "
        f"{roles['state']} state buffers, {roles['temporary']} temporaries",
        f"arena: {arena_bytes / 1e6:.3g} MB ({unplanned_bytes / 1e6:.3g} MB before planning)",
        *[f"pass {name}: {note}" for name, note in program.notes.items()],
    ]
    rows = [f"{i:4d}  {_line(program, call)}" for i, call in enumerate(program.calls)]
    if len(rows) > shown:
        rows[shown - shown // 4 : -(shown // 4)] = [f"  ... {len(rows) - shown} calls ..."]
    return "\n".join([*lines, *rows])


def call_flops(call: Call) -> int:
    """Two per multiply-add of a product, one per item of what computes, none for moves and checks."""
    return call.kernel.form.flops * math.prod(call.kernel.sizes_of_work(call.args))


def call_bytes(program: Program, call: Call) -> int:
    """The bytes of all operands, each counted once; of a walk those that it touches."""
    slots = [program.slots[s] for s in {*call.outs, *call.ins} if s != NO_SLOT]
    if call.kernel.walks:
        return sum(s.dtype.itemsize for s in slots) * math.prod(call.kernel.sizes_of_work(call.args))
    return sum(s.nbytes for s in slots)


def _line(program: Program, call: Call) -> str:
    sizes = "x".join([str(size) for size in call.kernel.sizes_of_work(call.args)])
    outs = " ".join(_slot(program, s) for s in call.outs)
    ins = " ".join(_slot(program, s) for s in call.ins)
    return f"{call.kernel.name:<26} {sizes:<14} {outs:<18} <- {ins:<26} {call.label}".rstrip()


def _slot(program: Program, slot: int) -> str:
    """A letter for the role and a number; of a window those of its base, and which items of it."""
    if slot == NO_SLOT:
        return "-"
    memory = program.slots[slot]
    name = f"{memory.role[0]}{memory.base}"
    first = memory.offset // memory.dtype.itemsize
    return name if memory.base == slot else f"{name}[{first}:{first + memory.size}]"
