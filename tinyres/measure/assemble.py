"""Put what was measured on a tape into a Trace: names, kinds, shares, forks and blocks."""

from __future__ import annotations

from collections.abc import Container, Sequence

from tinyres.engine.node import Node, ParameterLeaf
from tinyres.measure.statistics import Measurement
from tinyres.measure.tape import Tape
from tinyres.structure.blocks import BlockShape, block_of_nodes
from tinyres.structure.kinds import PARAMETER
from tinyres.structure.structure import Structure
from tinyres.trace.building import NOTHING, EdgeNumbers, blocks_of, by_short_name, edge_of, forks_of, numbers_of
from tinyres.trace.nodes import TraceEdge, TraceNode, TraceParameter
from tinyres.trace.spectrum import Spectrum
from tinyres.trace.trace import Header, Trace


def assemble(
    header: Header,
    tape: Tape,
    structure: Structure,
    measured: Measurement,
    paths: Spectrum | None,
    drawn: Container[Node] | None = None,
) -> Trace:
    """The Trace of one measured pass. drawn: the parameters that had their first values then; None: as it is now."""
    if drawn is None:
        drawn = {node for node in tape.parameters if node.buffer.version == 0}
    parameters = [
        TraceParameter(
            name,
            node.shape,
            *_numbers(node, measured),
            arrays=measured.arrays.get(node),
            trainable=node.requires_grad,
            fans=fans,
            coverage=coverage,
            drawn=node.initializer if isinstance(node, ParameterLeaf) and node in drawn else "",
        )
        for name, node in zip(tape.parameter_names, tape.parameters)
        for fans, coverage in [tape.fans.get(node, (None, 1.0))]
    ]
    nodes = _nodes(tape, measured, parameters, structure.blocks)
    edges = [
        _edge(tape.names[src], tape.names[dst], kind, tape.edges[src, dst], tape.units[src], dst, measured)
        for (src, dst), kind in zip(structure.shape.edges, structure.kinds)
    ]
    forks = forks_of(structure, nodes, edges, measured.carried, measured.returned)
    blocks = blocks_of(structure, nodes, forks)
    edges += [
        _edge(tape.parameter_names[src], tape.names[dst], PARAMETER, count, tape.parameters[src], dst, measured)
        for (src, dst), count in tape.parameter_edges.items()
    ]
    return Trace(header, nodes, parameters, edges, forks, blocks, measured.audit, paths)


def _numbers(node: Node, measured: Measurement) -> tuple[float, float, float, int, int, int, float, int]:
    return numbers_of(measured.values[node], measured.gradients.get(node, NOTHING))


def _nodes(
    tape: Tape, measured: Measurement, parameters: list[TraceParameter], blocks: Sequence[BlockShape]
) -> list[TraceNode]:
    params: dict[int, list[TraceParameter]] = {}
    for src, dst in tape.parameter_edges:
        record = parameters[src]
        params.setdefault(dst, []).append(record)
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
            params=by_short_name(params.get(i, ())),
        )
        for i, node in enumerate(tape.units)
    ]


def _edge(src: str, dst: str, kind: str, count: int, producer: Node, consumer: int, measured: Measurement) -> TraceEdge:
    whole = measured.gradients.get(producer, NOTHING).norm
    part = measured.splits.get((producer, consumer))
    if part is None:
        part = EdgeNumbers(whole, whole * whole) if producer not in measured.splitting else EdgeNumbers(0.0, 0.0)
    return edge_of(src, dst, kind, part, whole, count)
