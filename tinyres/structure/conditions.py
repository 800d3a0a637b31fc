"""Conditions: what feeds many blocks from the side, as the embedding of a time or of a class does.

A condition is a fork of which each way enters a stream that does not come from it, each at another place, and no two
ways meet before. Of two nodes that feed one another's streams it is the one whose ways span the other's: the stream of
a block, into which a condition comes too, leads nowhere but into the condition's next block.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tinyres.structure.dominators import PostDominators
from tinyres.structure.shape import Links, Shape

_MANY = 3  # places, or two in different scopes


@dataclass
class Conditions:
    """nodes: the conditions. beside: what is computed from conditions alone, before it enters a stream.

    before: what leads into conditions only.
    """

    nodes: set[int] = field(default_factory=set)
    beside: set[int] = field(default_factory=set)
    before: set[int] = field(default_factory=set)

    def __contains__(self, node: int) -> bool:
        return node in self.nodes or node in self.beside or node in self.before

    def entered_by(self, node: int) -> bool:
        """Whether what a node is given goes into conditions only."""
        return node in self.nodes or node in self.before


def find_conditions(shape: Shape, links: Links, tree: PostDominators) -> Conditions:
    """All conditions of a net, each found with those before it left out."""
    found = Conditions()
    for node, consumers in enumerate(links.successors):
        if len(consumers) < 2 or shape.is_weight[node] or node in shape.asides or not _many(shape, consumers):
            continue
        data = _Data(shape, links, found)
        pure = _pure_ways(node, data)
        if pure is not None and _spans(node, tree.parent[node], pure, data):
            found.nodes.add(node)
            found.beside.update(pure)
    leading = set(found.nodes)
    for node in range(max(leading, default=0) - 1, -1, -1):
        if leading.issuperset(links.successors[node]):
            leading.add(node)
    found.before = leading - found.nodes
    return found


class _Data:
    """Who is fed what, without weights, constants and conditions."""

    def __init__(self, shape: Shape, links: Links, found: Conditions) -> None:
        self._shape, self.links, self._found = shape, links, found

    def into(self, node: int) -> list[int]:
        """The data that a node reads."""
        is_weight, asides, found = self._shape.is_weight, self._shape.asides, self._found
        return [p for p in self.links.producers[node] if not (is_weight[p] or p in asides or p in found)]


def _many(shape: Shape, consumers: list[int]) -> bool:
    scopes = {shape.scope(c) for c in consumers}
    return len(consumers) >= _MANY or (len(scopes) > 1 and "" not in scopes)


def _pure_ways(node: int, data: _Data) -> set[int] | None:
    """What is computed from `node` alone; None if two of its ways meet there, or enter a stream at one place."""
    way: dict[int, int] = {}  # node -> the consumer that leads to it
    entering: set[int] = set()
    waiting = {consumer: consumer for consumer in data.links.successors[node]}
    while waiting:
        reached = min(waiting)
        start = waiting.pop(reached)
        ways = {reached if p == node else way.get(p) for p in data.into(reached)}
        if None in ways:
            entering.add(start)
            continue
        if len(ways) > 1:
            return None
        way[reached] = start
        for consumer in data.links.successors[reached]:
            if waiting.setdefault(consumer, start) != start:
                return None
    return set(way) if len(entering) == len(data.links.successors[node]) else None


def _spans(node: int, join: int, pure: set[int], data: _Data) -> bool:
    """Whether all that flows in beside what comes from `node` flows nowhere else."""
    links = data.links
    region = links.ways(links.successors[node], join)
    stack = [p for n in region for p in data.into(n) if p not in region and p != node]
    beside = set(stack)
    while stack:
        for producer in data.into(stack.pop()):
            if producer not in beside and producer != node:
                beside.add(producer)
                stack.append(producer)
    before = links.ways([n for n in range(node) if not links.producers[n]], node)
    kept = beside | region | before
    return bool(beside) and all(consumer in kept for n in beside for consumer in links.successors[n])
