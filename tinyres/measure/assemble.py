"""Put what was measured on a tape into a Trace: names, kinds, shares, forks and blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tinyres.engine.node import Node
from tinyres.measure.sheet import NOTHING
from tinyres.measure.statistics import EdgeNumbers, Measurement
from tinyres.measure.tape import MULTIPLICATIVE_OPS, Tape
from tinyres.structure.blocks import BlockShape, find_blocks
from tinyres.structure.kinds import GATE, PARALLEL, PARAMETER, SKIP, ForkShape, Shape, classify
from tinyres.trace.blocks import Block
from tinyres.trace.nodes import Fork, TraceEdge, TraceNode, TraceParameter
from tinyres.trace.spectrum import Spectrum
from tinyres.trace.trace import Header, Trace


@dataclass(frozen=True, slots=True)
class Structure:
    """What the shape of a tape alone tells: kinds by edge, forks, and blocks, all by numbers of units.

    start: the input, where the paths of a gradient end.
    """

    shape: Shape
    kinds: dict[tuple[int, int], str]
    forks: list[ForkShape]
    blocks: list[BlockShape]

    start: int


def structure_of(tape: Tape) -> Structure:
    """Kinds, forks and blocks of a tape."""
    pairs = list(tape.edges)
    shape = _shape(tape, pairs)
    kinds, forks = classify(shape)
    start = next((i for i, n in enumerate(tape.units) if n.op is None and not shape.is_weight[i]), 0)
    return Structure(shape, dict(zip(pairs, kinds)), forks, find_blocks(tape.scopes, shape, kinds, forks), start)


def assemble(
    header: Header, tape: Tape, structure: Structure, measured: Measurement, paths: Spectrum | None
) -> Trace:
    """The Trace of one measured pass."""
    parameters = [
        TraceParameter(
            name,
            node.shape,
            *_numbers(node, measured),
            arrays=measured.arrays.get(node),
            trainable=node.requires_grad,
        )
        for name, node in zip(tape.parameter_names, tape.parameters)
    ]
    nodes = _nodes(tape, measured, parameters, structure.blocks)
    edges = [
        _edge(tape.names[src], tape.names[dst], kind, tape.edges[src, dst], tape.units[src], dst, measured)
        for (src, dst), kind in structure.kinds.items()
    ]
    forks = [_fork(f, nodes, edges) for f in structure.forks]
    blocks = [_block(b, nodes, forks, structure.forks) for b in structure.blocks]
    edges += [
        _edge(tape.parameter_names[src], tape.names[dst], PARAMETER, count, tape.parameters[src], dst, measured)
        for (src, dst), count in tape.parameter_edges.items()
    ]
    return Trace(header, nodes, parameters, edges, forks, blocks, measured.audit, paths)


def _shape(tape: Tape, pairs: list[tuple[int, int]]) -> Shape:
    """The tape as `classify` sees it: a layer is parametric if it reads a weight.

    A weight is a Parameter, what was computed from Parameters alone, or a leaf that requires a gradient and is read
    once: where it is read several times it is more likely the user's x than a shared weight, for which there is
    Parameter.
    """
    reads_parameters = [0] * len(tape.units)
    for _, dst in tape.parameter_edges:
        reads_parameters[dst] += 1
    producers: list[list[int]] = [[] for _ in tape.units]
    for src, dst in pairs:
        producers[dst].append(src)
    computed = [False] * len(tape.units)
    for i, node in enumerate(tape.units):
        computed[i] = node.op is not None and all(computed[p] for p in producers[i])
    readers = Counter(src for src, _ in pairs)
    is_weight = [
        computed[i] or (n.op is None and n.requires_grad and readers[i] == 1) for i, n in enumerate(tape.units)
    ]
    return Shape(
        edges=pairs,
        weights=[reads_parameters[i] + sum(is_weight[p] for p in producers[i]) for i in range(len(tape.units))],
        is_weight=is_weight,
        sizes=[n.buffer.size for n in tape.units],
        multiplicative=[n.op is not None and n.op.name in MULTIPLICATIVE_OPS for n in tape.units],
    )


def _numbers(node: Node, measured: Measurement) -> tuple[float, float, float, int, int, int, float, int]:
    value = measured.values[node]
    gradient = measured.gradients.get(node, NOTHING)
    return (
        value.norm, value.mean, value.std, value.zeros, value.nans, value.infs,
        gradient.norm, gradient.nans + gradient.infs,
    )  # fmt: skip


def _nodes(
    tape: Tape, measured: Measurement, parameters: list[TraceParameter], blocks: list[BlockShape]
) -> list[TraceNode]:
    params: dict[int, dict[str, TraceParameter]] = {}
    for src, dst in tape.parameter_edges:
        record = parameters[src]
        params.setdefault(dst, {})[record.name.rpartition("/")[2]] = record
    block_of: dict[int, str] = {}
    for block in sorted(blocks, key=lambda b: -len(b.members)):  # inner blocks last
        for member in block.members:
            block_of[member] = block.name
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
            params=params.get(i, {}),
        )
        for i, node in enumerate(tape.units)
    ]


def _edge(
    src: str, dst: str, kind: str, count: int, producer: Node, consumer: int, measured: Measurement
) -> TraceEdge:
    whole = measured.gradients.get(producer, NOTHING).norm
    part = measured.splits.get((producer, consumer))
    if part is None:
        part = EdgeNumbers(whole, whole * whole) if producer not in measured.splitting else EdgeNumbers(0.0, 0.0)
    share = part.dot / (whole * whole) if whole != 0 else None
    cosine = part.dot / (part.norm * whole) if whole != 0 and part.norm != 0 else None
    return TraceEdge(src, dst, kind, part.norm, share, cosine, count)


def _fork(shape: ForkShape, nodes: list[TraceNode], edges: list[TraceEdge]) -> Fork:
    own = tuple(edges[e] for e in shape.edges)
    join = nodes[shape.join]
    return Fork(nodes[shape.node].name, join.name, own, _note(own, join, shape.join == len(nodes) - 1))


def _note(edges: Sequence[TraceEdge], join: TraceNode, at_loss: bool) -> str:
    """What makes the split into skip and branch ambiguous or impossible, in words."""
    skips = [e.dst for e in edges if e.kind == SKIP]
    if len(skips) > 1:
        return f"{len(skips)} edges are equally short, all count as skip: {', '.join(skips)}"
    if edges[0].kind == GATE:
        return f"the ways meet in a product, {join.name}: each scales the gradient of the other"
    if edges[0].kind == PARALLEL:
        where = "only at the loss" if at_loss or join.size == 1 else f"at {join.name} and are equally long"
        return f"no edge is the skip: the ways meet {where}"
    return ""


def _block(
    shape: BlockShape, nodes: list[TraceNode], forks: list[Fork], fork_shapes: list[ForkShape]
) -> Block:
    return Block(
        name=shape.name,
        input=nodes[shape.input],
        output=nodes[shape.members[-1]],
        nodes=tuple(nodes[i] for i in shape.members),
        fork=None if shape.fork is None else forks[shape.fork],
        join=None if shape.fork is None else nodes[fork_shapes[shape.fork].join],
        branch_end=None if shape.branch_end is None else nodes[shape.branch_end],
    )
