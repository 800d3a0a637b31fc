"""Carriers: what lies on all the ways of a skip, and what each of it is to be compared with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from tinyres.structure.kinds import SKIP, ForkShape
from tinyres.structure.structure import Structure

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


def carriers_of(
    fork: ForkShape, structure: Structure, projecting: Collection[int], alike: Callable[[int, int], bool]
) -> Iterator[Carrier]:
    """Per skip into the join, what lies on all of its ways; compared with the fork, or the last of another shape.

    projecting: the nodes that multiply by a weight. alike: whether the values of two nodes can be compared.
    """
    if SKIP not in fork.kinds:
        return
    links = structure.links
    starts = {links.edges[e][1] for e, kind in zip(fork.edges, fork.kinds) if kind == SKIP} - {fork.join}
    region = links.ways(starts, fork.join) - {fork.join} if starts else set()
    if not region or len(region) > _LARGEST:
        return
    whole = links.ways([links.edges[e][1] for e in fork.stream], fork.join)
    seen: set[int] = set()
    weighted = _weighted(starts, region, projecting, structure)
    ends = [p for p in links.producers[fork.join] if p in region]
    # What comes over a later block's branch is not the skip.
    least = 0 if fork.node in links.producers[fork.join] else min(weighted[p][0] for p in ends)
    for end in (p for p in ends if weighted[p][0] == least):
        chain = [n for n in _passed_by_all(starts, end, region, structure) if n not in seen]
        seen.update(chain)
        projects = any(n in projecting for n in chain)
        alone = bool(chain) and not any(p in region for p in links.producers[chain[0]])
        base, before = fork.node, fork.node if alone else None
        found: list[Carrier] = []
        for node in chain:
            joins = any(p in whole and p not in region for p in links.producers[node]) or (
                len(links.producers[node]) > 1 and weighted[node][0] < weighted[node][1]
            )
            if projects or joins or not alike(node, base):
                found.append(Carrier(node, None))
                base = before = node
            else:
                found.append(Carrier(node, base, before))
                before = None if before is None else node
        last = {c.base: c.node for c in found}
        yield from (c._replace(end=last[c.base]) for c in found)


def _weighted(
    starts: set[int], region: set[int], projecting: Collection[int], structure: Structure
) -> dict[int, tuple[int, int]]:
    """By node of a region: the fewest and the most nodes with weights on the ways to it."""
    found: dict[int, tuple[int, int]] = {}
    for n in sorted(region):
        before = [found[p] for p in structure.links.producers[n] if p in found] + [(0, 0)] * (n in starts)
        own = int(n in projecting)
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
