"""Lint of residual structure: what a trace shows that a net of this kind hardly means to do.

Every rule looks at a Trace only (names, shapes, kinds, norms), so a saved one can be examined too. A rule is silent
where the construction is a known one: a projection shortcut, a ReLU after the Add, a branch that starts at zero and has
a gradient that will open it. What no path leads from to the loss is not on the tape: it is found by the Parameters
that a model says it has.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinyres.structure.kinds import BRANCH, PARALLEL, SKIP
from tinyres.structure.shape import Links
from tinyres.trace.blocks import Block
from tinyres.trace.nodes import Fork, TraceEdge, TraceNode

if TYPE_CHECKING:
    from tinyres.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at.

    rule: its short name. node: where. source: (file, line) of the user's code. problem: what is. remedy: what to do.
    """

    rule: str
    node: str
    source: tuple[str, int] | None
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = "" if self.source is None else f" ({os.path.basename(self.source[0])}:{self.source[1]})"
        return f"[{self.rule}] {self.node}{place}: {self.problem}; {self.remedy}"


class Findings(tuple[Finding, ...]):
    """What lint found, in graph order; prints one finding per line."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) if self else "lint: nothing found"


def lint_trace(trace: Trace, unread: Iterable[str] = ()) -> Findings:
    """All findings of a trace. unread: full names of the Parameters that no path leads from to the loss."""
    net = _Net(trace)
    rules = (_sums, _skip_paths, _dead_branches, _broadcasts, _parameters, _dead_relus, _lost_branches)
    found = [finding for rule in rules for finding in rule(net)]
    found.sort(key=lambda f: net.place[f.node])
    return Findings([*found, *_unread(unread)])


class _Net:
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


def _is_sum(node: TraceNode) -> bool:
    return node.facts.adds


def _has_kernel(nodes: Iterable[TraceNode]) -> bool:
    return any(len(p.shape) >= 2 for n in nodes for p in n.params.values())


def _finding(rule: str, node: TraceNode, problem: str, remedy: str) -> Finding:
    return Finding(rule, node.name, node.source, problem, remedy)


def _sums(net: _Net) -> Iterator[Finding]:
    """Adds, with those that feed only another Add merged into it, that count one tensor more than once."""
    for node in net.trace.nodes:
        consumers = net.outgoing[node.name]
        if not _is_sum(node) or (len(consumers) == 1 and _is_sum(net.nodes[consumers[0].dst])):
            continue
        counted: Counter[str] = Counter()
        stack = [(node.name, 1)]
        while stack:
            name, times = stack.pop()
            for edge in net.data_into(name):
                inner = net.nodes[edge.src]
                if _is_sum(inner) and len(net.outgoing[edge.src]) == 1:
                    stack.append((edge.src, times * edge.count))
                else:
                    counted[edge.src] += times * edge.count
        if len(counted) == 1 and max(counted.values()) > 1:
            (name,) = counted
            yield _finding(
                "self-add", node, f"adds {name} to itself {max(counted.values())} times",
                "add the input of the block to the output of its branch",
            )  # fmt: skip
            continue
        for name, times in counted.items():
            if times > 1:
                problem = f"{name} is added {times} times, so its gradient over the skip is {times}-fold"
                yield _finding("double-skip", node, problem, "add it once")


def _skip_paths(net: _Net) -> Iterator[Finding]:
    """What changes the signal on its way over a skip."""
    for fork, skips, _ in net.residual_forks():
        for edge in skips:
            path = net.between([edge.dst], fork.join)
            for node in path:
                what = _changes(node, projected=_has_kernel(path))
                if what:
                    problem = f"{what} lies on the skip from {fork.node} to {fork.join}{_passed(net, edge, fork)}"
                    remedy = "let the skip be the identity and move it into the branch or behind the Add"
                    yield _finding("skip-path", node, problem, remedy)


def _changes(node: TraceNode, projected: bool) -> str:
    facts = node.facts
    if facts.rectifies:
        return "a ReLU"
    if facts.normalises and not projected:
        return "a BatchNorm" if facts.normalises == "batch" else f"a normalisation ({facts.normalises})"
    if node.primitive == "dropout":
        return "a Dropout"
    return "a scale" if facts.scales else ""


def _passed(net: _Net, edge: TraceEdge, fork: Fork) -> str:
    """How much of the join's gradient came over the skip, as measured."""
    whole = net.nodes[fork.join].grad_norm
    return f", which lets {edge.grad_norm / whole:.0%} of |g| through" if whole > 0 else ""


def _dead_branches(net: _Net) -> Iterator[Finding]:
    """Branches that output 0 or send no gradient back, and have nothing that could change that."""
    for fork, _, branches in net.residual_forks():
        region = net.between([e.dst for e in branches], fork.join)
        within = {n.name for n in region}
        ends = [net.nodes[e.src] for e in net.incoming[fork.join] if e.src in within]
        silent = bool(ends) and all(n.value_norm == 0 for n in ends)
        deaf = bool(branches) and all(e.grad_norm == 0 for e in branches)
        learning = any(p.grad_norm > 0 for n in region for p in n.params.values())
        if (silent or deaf) and not learning and net.nodes[fork.join].grad_norm > 0:
            net.explained |= within
            says = "outputs 0" if silent else "sends no gradient back"
            yield _finding(
                "dead-branch", net.nodes[branches[0].dst],
                f"the branch from {fork.node} to {fork.join} {says}, and no parameter in it has a gradient",
                "look for a dead ReLU, a zero factor or a detach() in it",
            )  # fmt: skip


def _broadcasts(net: _Net) -> Iterator[Finding]:
    """Sums and differences of data of unequal shapes that look like an accident."""
    joins = {f.join for f in net.trace.forks}
    for node in net.trace.nodes:
        if not (_is_sum(node) or node.op == "sub"):
            continue
        shapes = [net.nodes[e.src].shape for e in net.data_into(node.name)]
        if len(set(shapes)) < 2:
            continue
        both_grew = node.shape not in shapes
        if both_grew or (_is_sum(node) and node.name in joins):
            listed = " and ".join(str(s) for s in shapes)
            yield _finding(
                "broadcast", node, f"broadcasts {listed} to {node.shape}",
                "give both the same shape (reshape, or a projection on the skip)",
            )  # fmt: skip


def _parameters(net: _Net) -> Iterator[Finding]:
    """Parameters that can be trained and receive no gradient at all."""
    told: set[str] = set()
    for node in net.trace.nodes:
        idle = [k for k, p in node.params.items() if p.trainable and p.grad_norm == 0 and p.name not in told]
        if not idle or node.name in net.explained or _opens_later(net, node):
            continue
        told.update(node.params[k].name for k in idle)
        yield _finding(
            "no-gradient", node, f"no gradient reaches {', '.join(idle)}",
            "look for a zero factor, a dead ReLU or a detach() behind it, or set trainable=False",
        )  # fmt: skip


def _unread(names: Iterable[str]) -> Iterator[Finding]:
    """Layers whose Parameters take no part in the loss; on no tape, so without a line."""
    by_layer: dict[str, list[str]] = {}
    for name in names:
        layer, _, short = name.rpartition("/")
        by_layer.setdefault(layer or short, []).append(short)
    for layer, own in by_layer.items():
        yield Finding(
            "no-gradient", layer, None, f"no path leads from {', '.join(own)} to the loss, so nothing trains it",
            "use what the layer computes, or leave the layer out",
        )  # fmt: skip


def _opens_later(net: _Net, node: TraceNode) -> bool:
    """Whether a parameter that is 0 and has a gradient (a ReZero scale, a zero gamma) holds the node shut."""
    seen = {node.name}
    stack = [node.name]
    while stack:
        name = stack.pop()
        ahead = [e.dst for e in net.outgoing[name]]
        behind = [e.src for e in net.incoming[name] if net.nodes[e.src].value_norm == 0]
        for other in ahead + behind:
            if other in seen:
                continue
            seen.add(other)
            if any(p.value_norm == 0 and p.grad_norm > 0 for p in net.nodes[other].params.values()):
                return True
            if net.nodes[other].grad_norm == 0:
                stack.append(other)
    return False


def _dead_relus(net: _Net) -> Iterator[Finding]:
    """Layers whose ReLU lets nothing through for the whole batch."""
    for node in net.trace.nodes:
        if not node.facts.rectified or node.size == 0 or node.zeros < node.size:
            continue
        fed = any(net.nodes[e.src].value_norm > 0 for e in net.data_into(node.name))
        if fed and all(p.value_norm > 0 for p in node.params.values() if len(p.shape) >= 2):
            yield _finding(
                "dead-relu", node, "every unit is 0 for the whole batch, so no gradient passes",
                "lower the learning rate, or look at the bias and the initialiser",
            )  # fmt: skip


def _lost_branches(net: _Net) -> Iterator[Finding]:
    """Blocks whose result meets their input only at the loss, where blocks of the same name add it."""
    residual_names = {_stem(b) for b in net.trace.blocks if b.skip is not None}
    for block in net.trace.blocks:
        if _stem(block) not in residual_names or block.skip is not None:
            continue
        inside = {n.name for n in block.nodes}
        feeding = net.outgoing[block.input.name]
        entering = [e for e in feeding if e.dst in inside]
        if len(feeding) > 1 and len(entering) == 1 and entering[0].kind == PARALLEL:
            problem = f"what {block.name} computes from {block.input.name} is never added back to it"
            yield _finding(
                "lost-branch", block.output, problem,
                "add it to the input of the block",
            )  # fmt: skip


def _stem(block: Block) -> str:
    """The name without its number: "block3" and "block12" are of one kind."""
    return block.name.rstrip("0123456789")
