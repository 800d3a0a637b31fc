"""A trace as its rules read it: who feeds whom, what is data and what a weight; and what a rule finds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tinyres.structure.kinds import BRANCH, SKIP
from tinyres.structure.shape import Links
from tinyres.trace.html import preformatted
from tinyres.trace.nodes import Fork, TraceEdge, TraceNode
from tinyres.trace.trace import Trace


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """One thing to look at.

    rule: its short name. node: where. source: (file, line) of the user's code. problem: what is. remedy: what to do.
    """

    rule: str
    node: str
    source: tuple[str, int] | None
    problem: str
    remedy: str

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        place = "" if self.source is None else f" ({os.path.basename(self.source[0])}:{self.source[1]})"
        return f"[{self.rule}] {self.node}{place}: {self.problem}; {self.remedy}"


LISTED = 3  # findings of one rule; more are told as one


class Findings(tuple[Finding, ...]):
    """What lint found, in graph order; prints one finding per line."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) if self else "lint: nothing found"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return preformatted(str(self), wrap=True)


class Net:
    """A trace with who feeds whom, and what rules have settled already."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.nodes = {n.name: n for n in trace.nodes}
        self.place = {n.name: i for i, n in enumerate(trace.nodes)}
        self.incoming: dict[str, list[TraceEdge]] = {n.name: [] for n in trace.nodes}
        self.outgoing: dict[str, list[TraceEdge]] = {n.name: [] for n in trace.nodes}
        for edge in trace.edges:
            if edge.src in self.nodes:
                self.incoming[edge.dst].append(edge)
                self.outgoing[edge.src].append(edge)
        pairs = [(self.place[e.src], self.place[e.dst]) for e in trace.edges if e.src in self.nodes]
        self.links = Links(pairs, len(trace.nodes))
        self.is_data: dict[str, bool] = {}  # False for what is computed from Parameters alone
        for node in trace.nodes:
            self.is_data[node.name] = not node.primitive or any(self.is_data[e.src] for e in self.incoming[node.name])
        self.explained: set[str] = set()  # nodes whose missing gradient another finding tells about

    def data_into(self, name: str) -> list[TraceEdge]:
        """The edges that bring data, not weights, into a node."""
        return [e for e in self.incoming[name] if self.is_data[e.src]]

    def between(self, starts: Iterable[str], join: str) -> list[TraceNode]:
        """The nodes on the ways from `starts` up to but not including `join`, in graph order."""
        end = self.place[join]
        ways = self.links.ways([self.place[s] for s in starts], end) - {end}
        return [self.trace.nodes[i] for i in sorted(ways)]

    def residual_forks(self) -> Iterator[tuple[Fork, list[TraceEdge], list[TraceEdge]]]:
        """Every fork that has skips and branches, with both."""
        for fork in self.trace.forks:
            skips = [e for e in fork.edges if e.kind == SKIP]
            if skips:
                yield fork, skips, [e for e in fork.edges if e.kind == BRANCH]


def is_sum(node: TraceNode) -> bool:
    return node.facts.adds


def concatenates(net: Net, node: TraceNode) -> bool:
    """Whether a node's value is its inputs side by side."""
    read = net.data_into(node.name)
    if node.facts.adds or node.facts.multiplies or node.params or sum(e.count for e in read) < 2:
        return False
    inputs = [net.nodes[e.src] for e in read]
    return node.size == sum(e.count * n.size for e, n in zip(read, inputs)) and all(
        len(n.shape) == len(node.shape) for n in inputs
    )


def has_kernel(nodes: Iterable[TraceNode]) -> bool:
    return any(len(p.shape) >= 2 for n in nodes for p in n.params.values())


def finding_at(rule: str, node: TraceNode, problem: str, remedy: str) -> Finding:
    return Finding(rule, node.name, node.source, problem, remedy)


def gathered(found: list[Finding]) -> Iterator[Finding]:
    """Many findings of one rule as one, at the first."""
    for rule in dict.fromkeys(f.rule for f in found):
        own = [f for f in found if f.rule == rule]
        if len(own) <= LISTED:
            yield from own
        else:
            first = own[0]
            problem = f"{first.problem} (and so {len(own) - 1} more, to {own[-1].node})"
            yield Finding(rule, first.node, first.source, problem, first.remedy)
