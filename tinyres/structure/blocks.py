"""Blocks: the regions of a net that a trace prints one row for, found on numbers (nodes in topological order).

A block is an innermost `name_scope`; where there is none, it is the region from a fork with a skip to its join,
named block0, block1, … in graph order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from tinyres.structure.kinds import BRANCH, SKIP, ForkShape, Shape


class BlockShape(NamedTuple):
    """A block by numbers: its members, the node that feeds it, its fork, and the node where the branch ends."""

    name: str
    members: tuple[int, ...]
    input: int
    fork: int | None
    branch_end: int | None


def find_blocks(
    scopes: Sequence[str], shape: Shape, kinds: Sequence[str], forks: Sequence[ForkShape]
) -> list[BlockShape]:
    """All blocks in graph order. scopes: per node the path of its innermost name_scope, "" outside of any."""
    edges = shape.edges
    links = _Links(edges, len(scopes))
    drafts = [*_named(scopes, shape, forks, links), *_regions(scopes, kinds, forks, links)]
    drafts.sort(key=lambda b: (b.members[0], -len(b.members)))
    taken = set(scopes)
    unused = (name for name in (f"block{i}" for i in itertools.count()) if name not in taken)
    found = []
    for draft in drafts:
        end = None if draft.fork is None else _branch_end(forks[draft.fork], edges, kinds, links)
        found.append(draft._replace(name=draft.name or next(unused), branch_end=end))
    return found


class _Links:
    """Who feeds whom."""

    def __init__(self, edges: Sequence[tuple[int, int]], n: int) -> None:
        self.producers: list[list[int]] = [[] for _ in range(n)]
        self.successors: list[list[int]] = [[] for _ in range(n)]
        for src, dst in edges:
            self.producers[dst].append(src)
            self.successors[src].append(dst)

    def between(self, starts: Sequence[int], join: int) -> set[int]:
        """Everything from `starts` up to and including `join`, which closes every path from them."""
        seen = set(starts)
        stack = [n for n in starts if n != join]
        while stack:
            for consumer in self.successors[stack.pop()]:
                if consumer not in seen:
                    seen.add(consumer)
                    if consumer != join:
                        stack.append(consumer)
        return seen


def _named(
    scopes: Sequence[str], shape: Shape, forks: Sequence[ForkShape], links: _Links
) -> list[BlockShape]:
    members: dict[str, list[int]] = {}
    for node, scope in enumerate(scopes):
        if scope and links.producers[node]:
            members.setdefault(scope, []).append(node)
    by_node = {f.node: i for i, f in enumerate(forks)}
    by_join: dict[int, list[int]] = {}
    for i, fork in enumerate(forks):
        by_join.setdefault(fork.join, []).append(i)

    def fork_of(entry: int, inside: list[int]) -> int | None:
        """The fork at the block's input if it splits into this block, else the first inside, else one joined here."""
        within = set(inside)
        at_entry = by_node.get(entry)
        if at_entry is not None:
            landing = sum(shape.edges[e][1] in within for e in forks[at_entry].edges)
            if landing > 1 or forks[at_entry].join in within:
                return at_entry
        for node in inside:
            i = by_node.get(node)
            if i is not None and forks[i].join in within:
                return i
        return max((i for node in inside for i in by_join.get(node, ())), default=None)

    found = []
    for name, inside in members.items():
        first = next((n for n in inside if not shape.is_weight[n]), inside[0])
        entry = max(links.producers[first], key=lambda p: (not shape.is_weight[p], p))  # the newest that is no weight
        split = fork_of(entry, inside)
        found.append(BlockShape(name, tuple(inside), entry if split is None else forks[split].node, split, None))
    return found


def _regions(
    scopes: Sequence[str], kinds: Sequence[str], forks: Sequence[ForkShape], links: _Links
) -> list[BlockShape]:
    found = []
    for i, fork in enumerate(forks):
        if scopes[fork.join] or kinds[fork.edges[0]] not in (SKIP, BRANCH):
            continue
        region = links.between(links.successors[fork.node], fork.join)
        found.append(BlockShape("", tuple(sorted(n for n in region if not scopes[n])), fork.node, i, None))
    return found


def _branch_end(
    fork: ForkShape, edges: Sequence[tuple[int, int]], kinds: Sequence[str], links: _Links
) -> int | None:
    """The one node that carries the branch F into the join; None if there are several or no branch."""
    starts = {kind: [edges[e][1] for e in fork.edges if kinds[e] == kind] for kind in (SKIP, BRANCH)}
    reached = links.between(starts[BRANCH], fork.join) - links.between(starts[SKIP], fork.join)
    ends = [p for p in links.producers[fork.join] if p in reached]
    return ends[0] if len(ends) == 1 else None
