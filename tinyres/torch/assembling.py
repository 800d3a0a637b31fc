"""Put what was measured of a module into a Trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyres.structure.blocks import block_of_nodes
from tinyres.structure.kinds import PARAMETER
from tinyres.torch.measuring import Measurement
from tinyres.torch.statistics import sums_of
from tinyres.torch.tape import Tape
from tinyres.trace.building import (
    NOTHING,
    EdgeNumbers,
    Statistics,
    blocks_of,
    by_short_name,
    edge_of,
    forks_of,
    numbers_of,
)
from tinyres.trace.nodes import Returned, TraceEdge, TraceNode, TraceParameter
from tinyres.trace.spectrum import Spectrum
from tinyres.trace.trace import Header
from tinyres.view import Trace


def assemble(
    header: Header,
    tape: Tape,
    measured: Measurement,
    carried: Sequence[Mapping[int, float | None]],
    returned: Sequence[Mapping[int, Returned]],
    paths: Spectrum | None,
) -> Trace:
    """The Trace of one measured pass."""
    count = len(tape.units)
    gradients = {place: sums.statistics for place, sums in measured.gradients.items()}
    parameters = [
        TraceParameter(
            w.name,
            tuple(w.tensor.shape),
            *numbers_of(sums_of([w.tensor]).statistics, gradients.get(count + i, NOTHING)),
            trainable=w.trainable,
            fans=w.fans,
        )
        for i, w in enumerate(tape.weights)
    ]
    nodes = _nodes(tape, measured, gradients, parameters)
    names = [*(n.name for n in nodes), *(p.name for p in parameters)]
    norms = [gradients.get(place, NOTHING).norm for place in range(len(names))]

    def edge(src: int, dst: int, kind: str, times: int) -> TraceEdge:
        part = measured.splits.get((src, dst), EdgeNumbers(0.0, 0.0))
        return edge_of(names[src], names[dst], kind, part, norms[src], times)

    structure = tape.structure
    edges = [edge(*ends, kind, tape.edges[ends]) for ends, kind in zip(structure.shape.edges, structure.kinds)]
    forks = forks_of(structure, nodes, edges, carried, returned)
    blocks = blocks_of(structure, nodes, forks)
    edges += [edge(count + w, dst, PARAMETER, times) for (w, dst), times in tape.weight_edges.items()]
    return Trace(header, nodes, parameters, edges, forks, blocks, measured.audit, paths)


def _nodes(
    tape: Tape, measured: Measurement, gradients: dict[int, Statistics], parameters: list[TraceParameter]
) -> list[TraceNode]:
    params: dict[int, list[TraceParameter]] = {}
    for w, dst in tape.weight_edges:
        params.setdefault(dst, []).append(parameters[w])
    block_of = block_of_nodes(tape.structure.blocks)
    nodes = []
    for i, unit in enumerate(tape.units):
        values = sums_of([unit.tensor]) if unit.tensor is not None else unit.calls[-1].values
        shape = tuple(unit.tensor.shape) if unit.tensor is not None else unit.calls[-1].shape
        nodes.append(
            TraceNode(
                unit.name, shape, *numbers_of(values.statistics, gradients.get(i, NOTHING)),
                op=unit.kind,
                primitive="" if unit.role else unit.calls[-1].name,
                block=block_of.get(i, ""),
                source=None if unit.role else unit.calls[-1].source,
                facts=unit.facts,
                dead=unit.calls[-1].dead if unit.calls else None,
                by_position=None if unit.channels_first else measured.by_position.get(i),
                channels_first=unit.channels_first,
                params=by_short_name(params.get(i, ())),
            )
        )  # fmt: skip
    return nodes
