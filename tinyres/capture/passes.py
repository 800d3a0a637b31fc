"""Passes: small functions Program -> Program, each linear in the number of calls, each bit-for-bit neutral.

`optimize` runs them in order. TINYRES_PASSES chooses: "" or "none" switches all off, "-name,-name" those, a plain list
of names keeps only those.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from tinyres.capture.fusion import accumulate_into_product, fuse_relu, fuse_relu_grad
from tinyres.capture.placing import place_parts
from tinyres.capture.program import Call, Program
from tinyres.errors import ArgumentError
from tinyres.kernels.forms import HOSTED, UPDATE

Pass = Callable[[Program], Program]


def remove_dead_calls(program: Program) -> Program:
    """Drop calls whose results nobody sees: not an output, not state, not read by a call that stays."""
    seen = {i for i, slot in enumerate(program.slots) if slot.role in ("state", "output")}
    kept: list[Call] = []
    for call in reversed(program.calls):
        if _may_stop(call) or any(s in seen for s in call.writes):
            kept.append(call)
            seen.update(program.touched(call.reads))
    kept.reverse()
    return program.with_calls(kept, ("dead", f"{len(program.calls) - len(kept)} calls removed"))


def guard_state(program: Program) -> Program:
    """Move writes of outside state behind the last value check, where nothing before it reads what they write.

    What cannot move is saved before each run instead (`exposed_state`), so that a failed check changes nothing.
    """
    last_check = _last_check(program)
    touched: dict[int, int] = {}
    written: dict[int, int] = {}
    for i, call in enumerate(program.calls[: last_check + 1]):
        for slot in program.touched((*call.reads, *call.writes)):
            touched[slot] = i
        for slot in program.touched(call.writes):
            written[slot] = i
    head: list[Call] = []
    moved: list[Call] = []
    for i, call in enumerate(program.calls[: last_check + 1]):
        states = [s for s in call.writes if program.slots[s].role == "state"]
        movable = (
            states
            and len(states) == len(call.writes)
            and all(touched[s] == i for s in states)
            and all(written.get(s, -1) <= i for s in call.reads)
        )
        (moved if movable else head).append(call)
    calls = [*head, *moved, *program.calls[last_check + 1 :]]
    return program.with_calls(calls, ("guard", f"{len(moved)} state writes moved behind the value checks"))


def exposed_state(program: Program) -> list[int]:
    """The bases of state that are written before the last value check."""
    return program.state_written(before=max(0, _last_check(program)))


def _last_check(program: Program) -> int:
    """The number of the last value check, or call of Python's own, which may raise; -1: there is none."""
    return max((i for i, call in enumerate(program.calls) if _may_stop(call)), default=-1)


def _may_stop(call: Call) -> bool:
    return call.kernel.is_check or call.kernel.form is HOSTED


def update_early(program: Program) -> Program:
    """Move each parameter's update right behind the last use of its weight and gradient, while both are in cache.

    It stays behind the last value check, and behind everything else it depends on. One before that check stays where it
    is: the check guards a second loss, computed with what the first has learnt.
    """
    last_check = _last_check(program)
    written: dict[int, tuple[int, int]] = {}
    touched: dict[int, tuple[int, int]] = {}
    order: list[tuple[int, int]] = []
    moved = 0
    for i, call in enumerate(program.calls):
        place = (i, 0)
        if call.kernel.form is UPDATE and i > last_check:
            needs = [written.get(s, (-1, 0)) for s in call.reads] + [touched.get(s, (-1, 0)) for s in call.writes]
            earliest = max(needs)
            place = (max(earliest[0], last_check), i)
            moved += place[0] < i - 1
        for slot in program.touched(call.reads):
            touched[slot] = max(place, touched.get(slot, place))
        for slot in program.touched(call.writes):
            written[slot] = touched[slot] = max(place, touched.get(slot, place))
        order.append(place)
    calls = [program.calls[i] for i in sorted(range(len(order)), key=order.__getitem__)]
    return program.with_calls(calls, ("update", f"{moved} optimizer calls moved forward"))


PASSES: dict[str, Pass] = {
    "dead": remove_dead_calls,
    "place": place_parts,
    "relu": fuse_relu,
    "accumulate": accumulate_into_product,
    "mask": fuse_relu_grad,
    "guard": guard_state,
    "update": update_early,
}


def chosen() -> list[str]:
    """The names of the passes that TINYRES_PASSES leaves on, in order."""
    setting = os.environ.get("TINYRES_PASSES")
    if setting is None:
        return list(PASSES)
    names = [name.strip() for name in setting.split(",") if name.strip() not in ("", "none")]
    unknown = [name for name in names if name.lstrip("-") not in PASSES]
    if unknown:
        raise ArgumentError(
            f"[capture] TINYRES_PASSES names passes; got {', '.join(unknown)}; there are {', '.join(PASSES)}"
        )
    if names and all(name.startswith("-") for name in names):
        return [name for name in PASSES if f"-{name}" not in names]
    return [name for name in PASSES if name in names]


def optimize(program: Program) -> Program:
    """Run the chosen passes."""
    for name in chosen():
        program = PASSES[name](program)
    return program
