"""The size of values: their root mean square, and inputs of a size that nets are not initialised for."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tinyres.trace.nodes import TraceNode
from tinyres.trace.trace import Trace
from tinyres.trace.words import two_digits

_UNSCALED = 30.0  # root mean square of an input


def rms(node: TraceNode) -> float:
    """The root mean square of a node's value."""
    return node.value_norm / math.sqrt(node.size) if node.size else 0.0


def empty_input(trace: Trace) -> TraceNode | None:
    """The first input whose every value is 0, if all that kernels read are such."""
    read = {e.src for e in trace.edges if any(p.fans is not None for p in trace[e.dst].params.values())}
    inputs = [n for n in trace.nodes if not n.primitive and n.size and n.name in read]
    return inputs[0] if inputs and all(n.value_norm == 0 for n in inputs) else None


def unscaled_inputs(trace: Trace) -> Iterator[tuple[TraceNode, str, str]]:
    """Inputs that were not scaled, where nothing normalises them: the node, what is, and what to do."""
    nodes = {n.name: n for n in trace.nodes}
    for node in trace.nodes:
        if node.primitive or rms(node) < _UNSCALED:
            continue
        readers = [nodes[e.dst] for e in trace.edges if e.src == node.name and e.dst in nodes]
        if not any(r.params for r in readers) or all(r.facts.normalises for r in readers):
            continue
        told = f"the values of {node.name} are of size {two_digits(rms(node))} (root mean square)."
        yield node, told, "Scale each feature to mean 0 and standard deviation 1."
