"""Build the records of a Trace from what was measured and what the structure is: edges, forks, blocks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tinyres.structure.blocks import BlockShape
from tinyres.structure.kinds import CONDITION, GATE, PARALLEL, SKIP, ForkShape
from tinyres.structure.structure import Structure
from tinyres.trace.blocks import Block
from tinyres.trace.nodes import Fork, Returned, TraceEdge, TraceNode, TraceParameter

_SMALLEST = 2.0**-100  # |g| below which what kernels flush to 0 would turn it


class Statistics(NamedTuple):
    """Of one array, in float64."""

    norm: float
    mean: float
    std: float
    zeros: int
    nans: int
    infs: int


NOTHING = Statistics(0.0, 0.0, 0.0, 0, 0, 0)


class EdgeNumbers(NamedTuple):
    """norm |g_e| of what came back over an edge, and its inner product ⟨g_e, g⟩ with the producer's gradient g."""

    norm: float
    dot: float


def numbers_of(value: Statistics, gradient: Statistics) -> tuple[float, float, float, int, int, int, float, int]:
    """What a record of an array holds, in the order of its fields behind name and shape."""
    return (
        value.norm, value.mean, value.std, value.zeros, value.nans, value.infs,
        gradient.norm, gradient.nans + gradient.infs,
    )  # fmt: skip


def by_short_name(parameters: Iterable[TraceParameter]) -> dict[str, TraceParameter]:
    """The parameters that a node reads, by the last part of their names, or as many as tell them apart."""
    known = list(parameters)
    full = [f"/{p.name}" for p in known]
    found = {}
    for p in known:
        parts = p.name.split("/")
        endings = ("/".join(parts[-depth:]) for depth in range(1, len(parts) + 1))
        found[next((e for e in endings if sum(name.endswith(f"/{e}") for name in full) == 1), p.name)] = p
    return found


def edge_of(src: str, dst: str, kind: str, part: EdgeNumbers, whole: float, count: int) -> TraceEdge:
    """The record of an edge. whole: |g| of its producer."""
    share = part.dot / (whole * whole) if whole != 0 else None
    cosine = part.dot / (part.norm * whole) if whole != 0 and part.norm != 0 else None
    return TraceEdge(src, dst, kind, part.norm, share, cosine, count)


def departure(x: float, y: float, dot: float) -> float | None:
    """|y - x| / |x| of two arrays by their norms and inner product; None where that is no number."""
    square = y * y + x * x - 2 * dot
    if not (0 < x < math.inf and math.isfinite(square)):
        return None
    return math.sqrt(max(0.0, square)) / x


def returned_of(came: float, back: float, dot: float) -> Iterator[Returned]:
    """What a skip made of a gradient, by the norms of what came and what went back, and their inner product."""
    if _SMALLEST < came < math.inf and back < math.inf:
        yield Returned(back / came, dot / (back * came) if back > 0 else 0.0)


def forks_of(
    structure: Structure,
    nodes: Sequence[TraceNode],
    edges: Sequence[TraceEdge],
    carried: Sequence[Mapping[int, float | None]],
    returned: Sequence[Mapping[int, Returned]],
) -> list[Fork]:
    """All forks. edges: those of the structure, in its order. carried, returned: per fork, by node on its skips."""
    return [_fork(f, nodes, edges, c, r) for f, c, r in zip(structure.forks, carried, returned)]


def blocks_of(structure: Structure, nodes: Sequence[TraceNode], forks: Sequence[Fork]) -> list[Block]:
    """All blocks."""
    return [_block(b, nodes, forks, structure.forks) for b in structure.blocks]


def _fork(
    shape: ForkShape,
    nodes: Sequence[TraceNode],
    edges: Sequence[TraceEdge],
    carried: Mapping[int, float | None],
    returned: Mapping[int, Returned],
) -> Fork:
    own = tuple([_of_kind(edges[e], kind) for e, kind in zip(shape.edges, shape.kinds)])
    join = nodes[shape.join]
    note = _note(own, shape.kinds, join, shape.join == len(nodes) - 1)
    values = {nodes[i].name: departs for i, departs in carried.items()}
    gradients = {nodes[i].name: ratio for i, ratio in returned.items()}
    return Fork(nodes[shape.node].name, join.name, own, note, values, gradients)


def _of_kind(edge: TraceEdge, kind: str) -> TraceEdge:
    """The edge as a fork sees it, which may be another kind for another fork of the node."""
    return edge if edge.kind == kind else dataclasses.replace(edge, kind=kind)


def _note(edges: Sequence[TraceEdge], kinds: Sequence[str], join: TraceNode, at_loss: bool) -> str:
    """What makes the split into skip and branch ambiguous or impossible, in words."""
    skips = [e.dst for e, kind in zip(edges, kinds) if kind == SKIP]
    if len(skips) > 1:
        return f"{len(skips)} edges are equally short, all count as skip: {', '.join(skips)}"
    if set(kinds) == {CONDITION}:
        return f"no residual fork: a condition, which enters the net at {len(edges)} places from the side"
    if PARALLEL in kinds:
        where = "only at the loss" if at_loss or join.size == 1 else f"at {join.name} and are equally long"
        return f"no edge is the skip: the ways meet {where}"
    gates = [e.dst for e, kind in zip(edges, kinds) if kind == GATE]
    if gates and SKIP in kinds:
        return f"{', '.join(gates)}: a gate, which only scales what takes the other ways"
    if gates:
        if join.facts.multiplies:
            return f"the ways meet in a product, {join.name}: each scales the gradient of the other"
        return "each way enters a product: it scales the gradient of what it meets there"
    return ""


def _block(
    shape: BlockShape, nodes: Sequence[TraceNode], forks: Sequence[Fork], fork_shapes: Sequence[ForkShape]
) -> Block:
    last = shape.parts[-1] if shape.parts else shape
    return Block(
        name=shape.name,
        input=nodes[shape.input],
        output=nodes[shape.members[-1]],
        nodes=tuple(nodes[i] for i in shape.members),
        fork=None if shape.fork is None else forks[shape.fork],
        join=None if last.fork is None else nodes[fork_shapes[last.fork].join],
        branch_end=None if shape.branch_end is None else nodes[shape.branch_end],
        parts=tuple([_block(part, nodes, forks, fork_shapes) for part in shape.parts]),
        across=shape.across,
    )
