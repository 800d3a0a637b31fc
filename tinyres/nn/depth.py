"""The order in which Keras lists the layers of a graph: from the deepest, that farthest from the outputs, on.

A layer's depth is the longest way from it to an output; layers of one depth stand in the order in which a walk from
the outputs, first input first, comes to them. `weights` of a model, and files of weights by number, follow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tinyres.nn.layer import Layer
from tinyres.nn.symbolic import Call, Symbolic


def by_depth(inputs: Sequence[Symbolic], outputs: Sequence[Symbolic]) -> dict[Layer, int]:
    """The place of every layer between inputs and outputs in Keras' order."""
    known = set(inputs)
    met: dict[Layer, int] = {}
    sources_first: dict[Call, None] = {}

    def sources(symbolic: Symbolic) -> Iterator[Symbolic]:
        met.setdefault(symbolic.producer.layer, len(met))
        return iter(() if symbolic in known else symbolic.producer.inputs())

    for output in outputs:
        pending = [] if output.producer in sources_first else [(output.producer, sources(output))]
        while pending:
            call, rest = pending[-1]
            source = next(rest, None)
            if source is None:
                sources_first[call] = None
                pending.pop()
            elif source.producer not in sources_first:
                pending.append((source.producer, sources(source)))
    depths: dict[Call, int] = {}
    deepest: dict[Layer, int] = {}
    for call in reversed(sources_first):
        depth = deepest[call.layer] = max(depths.get(call, 0), deepest.get(call.layer, 0))
        for source in call.inputs():
            depths[source.producer] = max(depth + 1, depths.get(source.producer, 0))
    for symbolic in inputs:
        deepest.setdefault(symbolic.producer.layer, 0)
        met.setdefault(symbolic.producer.layer, -1)
    return {layer: i for i, layer in enumerate(sorted(deepest, key=lambda layer: (-deepest[layer], met[layer])))}
