"""What a prompt shows of the records of a trace: a line each, and a line per edge of what has several."""

from __future__ import annotations

from typing import Any

from tinyres.structure.names import fitted, listed
from tinyres.trace.blocks import Block
from tinyres.trace.flow import Flow
from tinyres.trace.nodes import Audit, Fork, TraceEdge, TraceNode, TraceParameter
from tinyres.view.numbers import number, ratio, strength

_MOST_EDGES = 8


def parameter(p: TraceParameter) -> str:
    """A Parameter in a line."""
    return f"<TraceParameter {p.name} {p.shape}: |W| {number(p.value_norm)}, |dW| {number(p.grad_norm)}>"


def node(n: TraceNode) -> str:
    """A node in a line."""
    facts = [f"|y| {number(n.value_norm)}", f"|g| {number(n.grad_norm)}"]
    facts += [f"params {listed(list(n.params))}"] if n.params else []
    facts += [f"{n.nans} NaN, {n.infs} Inf"] if n.nans or n.infs else []
    return f"<TraceNode {n.name} ({n.op}) {n.shape}: {', '.join(facts)}>"


def edge(e: TraceEdge) -> str:
    """An edge in a line."""
    return f"<TraceEdge {e.kind} {_edge(e)}, cosine {ratio(e.cosine)}>"


def fork(f: Fork) -> str:
    """A fork, and a line per edge."""
    head = f"Fork at {f.node}, closed at {f.join}" + (f" ({f.note})" if f.note else "")
    return "\n".join([head, *_edges(f)])


def block(b: Block) -> str:
    """A block with what was measured at it, and a line per edge of its fork."""
    head = f"Block {b.name}, from {b.input.name} to {b.output.name}: |x| {number(b.x_norm)}, |g| {number(b.grad_norm)}"
    if b.fork is None:
        return f"{head}; no fork"
    if b.parts:
        return "\n".join([f"{head}, in {len(b.parts)} parts", *map(block, b.parts)])
    return "\n".join([f"{head}, |F|/|x| {strength(b.strength)}", *_edges(b.fork)])


def audit(a: Audit) -> str:
    """What was checked, and the first failures."""
    checked = f"{a.nodes} nodes and {a.edges} edges"
    if a.ok:
        return f"Audit ({a.level}) ok: {checked} checked"
    lines = [f"Audit ({a.level}) FAILED in {len(a.failures)} of {checked}"]
    lines += [f"  {failure}" for failure in a.failures[:_MOST_EDGES]]
    more = len(a.failures) - _MOST_EDGES
    return "\n".join([*lines, f"  ... {more} more in .failures"] if more > 0 else lines)


def flow(f: Flow) -> str:
    """The two ends of a net and its rate."""
    if not f.names:
        return f"<Flow {f.name}: no {f.unit}s>"
    ends = f"|g| {number(f.grad_norms[0])} at {f.names[0]}, {number(f.grad_norms[-1])} at {f.names[-1]}"
    rate = "" if f.rate is None else f", x {f.rate:.2f} per {f.unit}"
    return f"<Flow {f.name}: {ends}{rate}>"


def _edges(f: Fork) -> list[str]:
    lines = [f"  {e.kind:<8} {_edge(e)}" for e in f.edges[:_MOST_EDGES]]
    more = len(f.edges) - _MOST_EDGES
    return [*lines, f"  ... {more} more in .edges"] if more > 0 else lines


def _edge(e: TraceEdge) -> str:
    ends = f"{fitted(e.src, 40)} -> {fitted(e.dst, 40)}"
    return f"{ends}: |g| {number(e.grad_norm)}, share {ratio(e.share)}"


TEXTS: dict[type, Any] = {
    TraceParameter: parameter,
    TraceNode: node,
    TraceEdge: edge,
    Fork: fork,
    Block: block,
    Audit: audit,
    Flow: flow,
}
