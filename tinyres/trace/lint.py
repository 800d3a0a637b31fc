"""Lint of residual structure: what a trace shows that a net of this kind hardly means to do.

Every rule looks at a Trace only (names, shapes, kinds, norms), so a saved one can be examined too. A rule is silent
where the construction is a known one: a projection shortcut, a ReLU after the Add, a branch that starts at zero and has
a gradient that will open it. What no path leads from to the loss is not on the tape: it is found by the Parameters
that a model says it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from tinyres.structure.kinds import CONDITION, PARALLEL
from tinyres.trace.broken import not_finite
from tinyres.trace.heads import collapsed_heads, dead_heads
from tinyres.trace.levels import levels_of_us
from tinyres.trace.net import Finding, Findings, Net, finding_at, is_sum
from tinyres.trace.scale import unscaled_inputs
from tinyres.trace.silent import dead_units, silent_parts, unread_layers
from tinyres.trace.skips import changed_skips, detached_skips, missing_norms, missing_skips, stem
from tinyres.trace.trace import Trace

__all__ = ["Finding", "Findings", "lint_trace"]


def lint_trace(trace: Trace, unread: Iterable[str] = ()) -> Findings:
    """All findings of a trace. unread: full names of the Parameters that no path leads from to the loss.

    Where values or gradients are not finite, that is the one finding: all else follows from it.
    """
    broken = not_finite(trace)
    if broken is not None:
        node = trace[broken.node]
        told, remedy = broken.told.rstrip(";."), broken.remedy.rstrip(".")
        return Findings([Finding(broken.rule, broken.node, getattr(node, "source", None), told, remedy)])
    net = Net(trace)
    rules = (
        _sums, changed_skips, detached_skips, missing_skips, levels_of_us, missing_norms, _broadcasts, silent_parts,
        dead_units, dead_heads, collapsed_heads, _lost_branches, _one_unit, _unscaled,
    )  # fmt: skip
    found = [finding for rule in rules for finding in rule(net)]
    if any(f.rule == "crossed-skip" for f in found):  # then what lies on which skip is not what was meant
        found = [f for f in found if f.rule != "skip-path"]
    found = [f for f in found if f.rule != "missing-skip" or not _told_otherwise(net, f.node, found)]
    found.sort(key=lambda f: net.place[f.node])
    return Findings([*found, *unread_layers(unread)])


def _told_otherwise(net: Net, end: str, found: list[Finding]) -> bool:
    """Whether another finding says why a branch has no skip: it is cut off, or the branch never rejoins."""
    near = {end, *(e.dst for e in net.outgoing[end])}
    block = net.nodes[end].block
    return any(
        (f.rule == "detached-skip" and f.node in near)
        or (f.rule == "lost-branch" and (f.node in near or (block and net.nodes[f.node].block == block)))
        for f in found
    )


def _sums(net: Net) -> Iterator[Finding]:
    """Adds, with those that feed only another Add merged into it, that count one tensor more than once.

    Where a skip across a net joins nothing is merged: the block that it leads over has a skip of its own.
    """
    across = {b.join.name for b in net.trace.blocks if b.across and b.join is not None}
    for node in net.trace.nodes:
        consumers = net.outgoing[node.name]
        if not is_sum(node) or (len(consumers) == 1 and is_sum(net.nodes[consumers[0].dst])):
            continue
        counted: Counter[str] = Counter()
        stack = [(node.name, 1)]
        while stack:
            name, times = stack.pop()
            for edge in net.data_into(name):
                inner = net.nodes[edge.src]
                if is_sum(inner) and len(net.outgoing[edge.src]) == 1 and name not in across:
                    stack.append((edge.src, times * edge.count))
                else:
                    counted[edge.src] += times * edge.count
        if len(counted) == 1 and max(counted.values()) > 1:
            (name,) = counted
            yield finding_at(
                "self-add", node, f"adds {name} to itself {max(counted.values())} times",
                "add the input of the block to the output of its branch",
            )  # fmt: skip
            continue
        for name, times in counted.items():
            if times > 1:
                problem = f"{name} is added {times} times, so its gradient over the skip is {times}-fold"
                yield finding_at("double-skip", node, problem, "add it once")


def _broadcasts(net: Net) -> Iterator[Finding]:
    """Elementwise ops on data of unequal shapes that look like an accident.

    All shapes grew, as (n, 1) and (n,) do to (n, n), and nobody wrote the axis that they grew along; or an Add at the
    end of a skip.
    """
    joins = {f.join for f in net.trace.forks if any(e.kind != CONDITION for e in f.edges)}
    for node in net.trace.nodes:
        shapes = [net.nodes[e.src].shape for e in net.data_into(node.name)]
        if len(set(shapes)) < 2 or node.shape != _broadcast(shapes):
            continue
        unwritten = len({len(s) for s in shapes}) > 1 or is_sum(node)
        if (node.shape not in shapes and unwritten) or (is_sum(node) and node.name in joins):
            listed = " and ".join(str(s) for s in shapes)
            yield finding_at(
                "broadcast", node, f"broadcasts {listed} to {node.shape}",
                "give both the same shape (reshape, or a projection on the skip)",
            )  # fmt: skip


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def _one_unit(net: Net) -> Iterator[Finding]:
    """A softmax over one unit."""
    for node in net.trace.nodes:
        if node.facts.distributes == 1:
            yield finding_at(
                "one-unit", node, "a softmax over one unit is 1 whatever comes in, so nothing before it learns",
                "use a sigmoid with binary_crossentropy, or as many units as there are classes",
            )  # fmt: skip


def _unscaled(net: Net) -> Iterator[Finding]:
    """Inputs of a size that no net is initialised for."""
    for node, told, remedy in unscaled_inputs(net.trace):
        yield finding_at("unscaled-input", node, told.rstrip("."), remedy.rstrip("."))


def _lost_branches(net: Net) -> Iterator[Finding]:
    """Blocks whose result meets their input only at the loss, where blocks of the same name add it."""
    residual_names = {stem(b.name) for b in net.trace.blocks if b.skip is not None}
    for block in net.trace.blocks:
        if stem(block.name) not in residual_names or block.skip is not None:
            continue
        inside = {n.name for n in block.nodes}
        feeding = net.outgoing[block.input.name]
        entering = [e for e in feeding if e.dst in inside]
        if len(feeding) > 1 and len(entering) == 1 and entering[0].kind == PARALLEL:
            problem = f"what {block.name} computes from {block.input.name} is never added back to it"
            yield finding_at(
                "lost-branch", block.output, problem,
                "add it to the input of the block",
            )  # fmt: skip
