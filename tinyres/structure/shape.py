"""Shape: a net as plain numbers, which a tape and a model's graph of layers both turn into, and who feeds whom in it.

Nodes are numbered 0..n-1 in topological order. The last one is the loss (of a model without one, what gathers its
outputs), and every node leads to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple


class Shape(NamedTuple):
    """One abstract graph.

    edges: (producer, consumer), each pair once. weights: per node how many weights it reads directly.
    is_weight: per node whether it is such a weight itself. sizes: elements of each node's value. multiplicative:
    whether a node multiplies its inputs with each other. scopes: per node the path of its innermost name_scope, ""
    outside of any; empty where nothing stands in one. asides: leaves that are no input: constants and targets.
    gating: the nodes that squash what comes in to a share of 1, as a sigmoid does. squashed: the edges into nodes that
    do so with what comes over them only, as an attention with queries and keys. positions: pixels or tokens of each
    node's value, 1 of one without; empty if not known. names, labels: what users call each
    node, and what it is an instance of, as words that name parts of blocks and tell them apart; empty if not known.
    """

    edges: Sequence[tuple[int, int]]
    weights: Sequence[int]
    is_weight: Sequence[bool]
    sizes: Sequence[int]
    multiplicative: Sequence[bool]
    scopes: Sequence[str] = ()
    asides: frozenset[int] = frozenset()
    gating: frozenset[int] = frozenset()
    positions: Sequence[int] = ()
    squashed: frozenset[tuple[int, int]] = frozenset()
    names: Sequence[str] = ()
    labels: Sequence[str] = ()

    @property
    def last(self) -> int:
        """The node that all others lead to."""
        return len(self.sizes) - 1

    def scope(self, node: int) -> str:
        """The path of the innermost name_scope around a node."""
        return self.scopes[node] if self.scopes else ""


def weights_among(
    edges: Sequence[tuple[int, int]], reads: Sequence[int], leaves: Mapping[int, bool], looking_up: Collection[int]
) -> tuple[list[int], list[bool]]:
    """Per node how many weights it reads directly, and whether it is one.

    A weight is a Parameter, what was computed from Parameters alone, or a leaf that requires a gradient and is read
    once: where it is read several times it is more likely the user's x than a shared weight, for which there is
    Parameter. reads: per node how many Parameters it reads. leaves: by node whether it requires a gradient; all others
    are computed. looking_up: the nodes that read data as integers, which no edge tells.
    """
    producers: list[list[int]] = [[] for _ in reads]
    for src, dst in edges:
        producers[dst].append(src)
    computed = [False] * len(reads)
    for i in range(len(reads)):
        computed[i] = i not in leaves and i not in looking_up and all(computed[p] for p in producers[i])
    readers = Counter(src for src, _ in edges)
    is_weight = [computed[i] or (leaves.get(i, False) and readers[i] == 1) for i in range(len(reads))]
    return [n + sum(is_weight[p] for p in producers[i]) for i, n in enumerate(reads)], is_weight


class Links:
    """Who feeds whom: per node its producers, its successors, and the positions of the edges to these."""

    def __init__(self, edges: Sequence[tuple[int, int]], n: int) -> None:
        self.edges = edges
        self.producers: list[list[int]] = [[] for _ in range(n)]
        self.outgoing: list[list[int]] = [[] for _ in range(n)]
        for position, (src, dst) in enumerate(edges):
            self.producers[dst].append(src)
            self.outgoing[src].append(position)
        for positions in self.outgoing:
            positions.sort(key=lambda e: edges[e][1])
        self.successors = [[edges[e][1] for e in positions] for positions in self.outgoing]

    def ways(self, starts: Iterable[int], join: int) -> set[int]:
        """Everything on a path from `starts` to `join`, both included."""
        wanted = {n for n in starts if n <= join}
        first = min(wanted, default=join)
        leading = {join}
        stack = [join]
        while stack:
            for producer in self.producers[stack.pop()]:
                if producer >= first and producer not in leading:
                    leading.add(producer)
                    stack.append(producer)
        found: set[int] = set()
        for node in sorted(leading):
            if node in wanted or not found.isdisjoint(self.producers[node]):
                found.add(node)
        return found
