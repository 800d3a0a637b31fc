"""What a skip makes of what it carries: per node on it, how far its value is from the fork's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tinyres.measure.sheet import Sheet
from tinyres.measure.tape import Tape
from tinyres.structure.kinds import SKIP, ForkShape
from tinyres.structure.structure import Structure
from tinyres.trace.building import Statistics

_LARGEST = 64  # nodes on the skips of one fork


class Carrier(NamedTuple):
    """A node that all that goes over one skip passes.

    base: what its value is to be compared with, None: nothing. before: what its gradient goes on to, the carrier in
    front of it or the fork, None where several ways lead from the fork to the first. end: the last carrier
    with this base.
    """

    node: int
    base: int | None
    before: int | None = None
    end: int = -1


class Carried:
    """Queues the inner products of a tape's skips, and reads off them how far each carrier departs."""

    def __init__(self, tape: Tape, structure: Structure, sheet: Sheet) -> None:
        self._tape = tape
        self.carriers = [list(carriers_of(fork, tape, structure)) for fork in structure.forks]
        self._rows: dict[tuple[int, int], int] = {}
        for node, base in ((c.node, c.base) for own in self.carriers for c in own):
            if base is not None and (node, base) not in self._rows:
                buffer = tape.units[node].buffer
                self._rows[node, base] = sheet.dot(buffer, tape.units[base].buffer, buffer.size)

    def read(self, values: Mapping[int, Statistics], dots: list[float]) -> list[dict[int, float | None]]:
        """Per fork: |y - x| / |x| by carrier, None where there is nothing to compare it with."""
        return [{c.node: self._departs(c, values, dots) for c in own} for own in self.carriers]

    def _departs(self, carrier: Carrier, values: Mapping[int, Statistics], dots: list[float]) -> float | None:
        node, base = carrier.node, carrier.base
        if base is None:
            return None
        x, y = values[base].norm, values[node].norm
        square = y * y + x * x - 2 * dots[self._rows[node, base]]
        if not (0 < x < math.inf and math.isfinite(square)):
            return None
        return math.sqrt(max(0.0, square)) / x


def carriers_of(fork: ForkShape, tape: Tape, structure: Structure) -> Iterator[Carrier]:
    """Per skip into the join, what lies on all of its ways; compared with the fork, or the last of another shape."""
    if SKIP not in fork.kinds:
        return
    links = structure.links
    starts = {links.edges[e][1] for e, kind in zip(fork.edges, fork.kinds) if kind == SKIP} - {fork.join}
    region = links.ways(starts, fork.join) - {fork.join} if starts else set()
    if not region or len(region) > _LARGEST:
        return
    whole = links.ways([links.edges[e][1] for e in fork.stream], fork.join)
    seen: set[int] = set()
    weighted = _weighted(starts, region, tape, structure)
    ends = [p for p in links.producers[fork.join] if p in region]
    # What comes over a later block's branch is not the skip.
    least = 0 if fork.node in links.producers[fork.join] else min(weighted[p][0] for p in ends)
    for end in (p for p in ends if weighted[p][0] == least):
        chain = [n for n in _passed_by_all(starts, end, region, structure) if n not in seen]
        seen.update(chain)
        projects = any(_projects(n, tape) for n in chain)
        alone = bool(chain) and not any(p in region for p in links.producers[chain[0]])
        base, before = fork.node, fork.node if alone else None
        found: list[Carrier] = []
        for node in chain:
            joins = any(p in whole and p not in region for p in links.producers[node]) or (
                len(links.producers[node]) > 1 and weighted[node][0] < weighted[node][1]
            )
            if projects or joins or not _alike(tape, node, base):
                found.append(Carrier(node, None))
                base = before = node
            else:
                found.append(Carrier(node, base, before))
                before = None if before is None else node
        last = {c.base: c.node for c in found}
        yield from (c._replace(end=last[c.base]) for c in found)


def _weighted(starts: set[int], region: set[int], tape: Tape, structure: Structure) -> dict[int, tuple[int, int]]:
    """By node of a region: the fewest and the most nodes with weights on the ways to it."""
    found: dict[int, tuple[int, int]] = {}
    for n in sorted(region):
        before = [found[p] for p in structure.links.producers[n] if p in found] + [(0, 0)] * (n in starts)
        own = _projects(n, tape)
        found[n] = min(few for few, _ in before) + own, max(most for _, most in before) + own
    return found


def _passed_by_all(starts: set[int], end: int, region: set[int], structure: Structure) -> list[int]:
    """The nodes of a region that every way from the fork over `starts` to `end` passes, in graph order."""
    producers = structure.links.producers
    order = sorted(n for n in region if n <= end)
    before = dict.fromkeys(order, 0)
    for n in order:
        before[n] = (n in starts) + sum(before[p] for p in producers[n] if p in before)
    after = dict.fromkeys(order, 0)
    after[end] = 1
    for n in reversed(order):
        for p in producers[n]:
            if p in after:
                after[p] += after[n]
    return [n for n in order if after[n] and before[n] * after[n] == before[end]]


def _projects(unit: int, tape: Tape) -> bool:
    return any(dst == unit and tape.parameters[src] in tape.fans for src, dst in tape.parameter_edges)


def _alike(tape: Tape, a: int, b: int) -> bool:
    first, second = tape.units[a], tape.units[b]
    return first.buffer.size == second.buffer.size and first.dtype == second.dtype
