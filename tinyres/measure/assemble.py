"""Put what was measured on a tape into a Trace: names, kinds, shares, forks and blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tinyres.engine.node import Node, ParameterLeaf
from tinyres.measure.sheet import NOTHING
from tinyres.measure.statistics import EdgeNumbers, Measurement
from tinyres.measure.tape import Tape
from tinyres.structure.blocks import BlockShape, block_of_nodes
from tinyres.structure.kinds import CONDITION, GATE, PARALLEL, PARAMETER, SKIP, ForkShape
from tinyres.structure.structure import Structure
from tinyres.trace.blocks import Block
from tinyres.trace.nodes import Fork, Returned, TraceEdge, TraceNode, TraceParameter
from tinyres.trace.spectrum import Spectrum
from tinyres.trace.trace import Header, Trace


def assemble(header: Header, tape: Tape, structure: Structure, measured: Measurement, paths: Spectrum | None) -> Trace:
    """The Trace of one measured pass."""
    parameters = [
        TraceParameter(
            name,
            node.shape,
            *_numbers(node, measured),
            arrays=measured.arrays.get(node),
            trainable=node.requires_grad,
            fans=fans,
            coverage=coverage,
            drawn=node.initializer if isinstance(node, ParameterLeaf) and node.buffer.version == 0 else "",
        )
        for name, node in zip(tape.parameter_names, tape.parameters)
        for fans, coverage in [tape.fans.get(node, (None, 1.0))]
    ]
    nodes = _nodes(tape, measured, parameters, structure.blocks)
    edges = [
        _edge(tape.names[src], tape.names[dst], kind, tape.edges[src, dst], tape.units[src], dst, measured)
        for (src, dst), kind in zip(structure.shape.edges, structure.kinds)
    ]
    skips = zip(structure.forks, measured.carried, measured.returned)
    forks = [_fork(f, nodes, edges, carried, returned) for f, carried, returned in skips]
    blocks = [_block(b, nodes, forks, structure.forks) for b in structure.blocks]
    edges += [
        _edge(tape.parameter_names[src], tape.names[dst], PARAMETER, count, tape.parameters[src], dst, measured)
        for (src, dst), count in tape.parameter_edges.items()
    ]
    return Trace(header, nodes, parameters, edges, forks, blocks, measured.audit, paths)


def _numbers(node: Node, measured: Measurement) -> tuple[float, float, float, int, int, int, float, int]:
    value = measured.values[node]
    gradient = measured.gradients.get(node, NOTHING)
    return (
        value.norm, value.mean, value.std, value.zeros, value.nans, value.infs,
        gradient.norm, gradient.nans + gradient.infs,
    )  # fmt: skip


def _nodes(
    tape: Tape, measured: Measurement, parameters: list[TraceParameter], blocks: Sequence[BlockShape]
) -> list[TraceNode]:
    params: dict[int, dict[str, TraceParameter]] = {}
    for src, dst in tape.parameter_edges:
        record = parameters[src]
        params.setdefault(dst, {})[record.name.rpartition("/")[2]] = record
    block_of = block_of_nodes(blocks)
    return [
        TraceNode(
            tape.names[i],
            node.shape,
            *_numbers(node, measured),
            arrays=measured.arrays.get(node),
            op=tape.kinds[i],
            primitive=node.op.name if node.op is not None else "",
            block=block_of.get(i, ""),
            source=node.source,
            facts=tape.facts[i],
            dead=measured.dead.get(i),
            by_position=measured.by_position.get(node),
            heads=measured.heads.get(i),
            params=params.get(i, {}),
        )
        for i, node in enumerate(tape.units)
    ]


def _edge(src: str, dst: str, kind: str, count: int, producer: Node, consumer: int, measured: Measurement) -> TraceEdge:
    whole = measured.gradients.get(producer, NOTHING).norm
    part = measured.splits.get((producer, consumer))
    if part is None:
        part = EdgeNumbers(whole, whole * whole) if producer not in measured.splitting else EdgeNumbers(0.0, 0.0)
    share = part.dot / (whole * whole) if whole != 0 else None
    cosine = part.dot / (part.norm * whole) if whole != 0 and part.norm != 0 else None
    return TraceEdge(src, dst, kind, part.norm, share, cosine, count)


def _fork(
    shape: ForkShape,
    nodes: list[TraceNode],
    edges: list[TraceEdge],
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


def _block(shape: BlockShape, nodes: list[TraceNode], forks: list[Fork], fork_shapes: Sequence[ForkShape]) -> Block:
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
