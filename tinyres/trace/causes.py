"""Why a gradient vanishes or explodes, where the net's own ops and weights show it, and what then was seen to help.

A cause is said only where it is measured (the size of the kernels, a saturated tanh) or holds by definition (a
sigmoid's slope is at most 1/4). A remedy is said only where a test applies it and sees the net train.
"""

from __future__ import annotations

import math

from tinyres.trace.flow import Flow, block_nodes, normalises_batch
from tinyres.trace.lint import lint_trace
from tinyres.trace.nodes import TraceNode, TraceParameter
from tinyres.trace.scale import rms
from tinyres.trace.theory import LEAST_BATCH
from tinyres.trace.trace import Trace

_SATURATED = 0.85  # root mean square of a tanh's values: most of them are near -1 and 1
_TOO_SMALL, _TOO_LARGE = 0.9, 1.1
_SHORT = 12  # layers in a row that train without skips once the gradient keeps its size

SCALED_SKIP = (
    "skips around the blocks, with BatchNorm in the branch (layers.blocks.he2015) or scaled by 1/√blocks (skipinit)"
)


def why_vanishing(flow: Flow, trace: Trace) -> str:
    """The cause and the remedy of a gradient that shrinks toward the input; "" where none is shown."""
    on_the_skip = _on_the_skip(trace)
    if on_the_skip:
        return on_the_skip
    nodes = block_nodes(trace)
    if any(b.fork is not None for b in trace.blocks):
        return ""
    steep = next((n for n in nodes if 0 < n.facts.slope < 1), None)
    if steep is not None:
        return (
            f"Each {steep.primitive} lets at most {steep.facts.slope:.0%} of it through: use ReLU with "
            f"kernel_initializer='he_normal', and add {SCALED_SKIP}."
        )
    squashing = [n for n in nodes if n.facts.slope == 1]
    if squashing and min(map(rms, squashing)) > _SATURATED:
        return f"The {squashing[0].primitive} saturates: smaller kernels (glorot_uniform) keep it in its middle."
    gain = _gain(nodes)
    if gain is None or gain >= _TOO_SMALL or normalises_batch(nodes):
        return ""
    told = f"The kernels are {gain:.2f} of the size that keeps it{_named(nodes)}"
    rectified = any(n.facts.rectifies for n in nodes)
    initialiser = "he_normal" if rectified else "lecun_normal"
    if _layers(nodes) <= _SHORT:
        return f"{told}: use kernel_initializer='{initialiser}'."
    return f"{told}: kernel_initializer='{initialiser}' keeps the size; to train at this depth it takes {SCALED_SKIP}."


def why_exploding(flow: Flow, trace: Trace) -> str:
    """The same for a gradient that grows toward the input by a factor per block."""
    on_the_skip = _on_the_skip(trace)
    if on_the_skip:
        return on_the_skip
    nodes = block_nodes(trace)
    skips = any(b.skip is not None for b in trace.blocks)
    if normalises_batch(nodes):
        batch = trace.header.batch or 0
        if trace.header.training and 1 < batch < LEAST_BATCH:
            return f"BatchNorm over a batch of {batch} amplifies it: use batches of {LEAST_BATCH} examples and more."
        if skips:
            return ""
        return (
            "BatchNorm without skips amplifies it in every layer: add a skip around each block (layers.blocks.he2015)."
        )
    gain = _gain(nodes)
    large = gain is not None and gain > _TOO_LARGE
    if skips:
        sized = f" The kernels are {gain:.1f} times the size that keeps it." if large else ""
        return (
            "In every block the branch adds its own gradient to the skip's: scale the branch by 1/√blocks "
            f"(layers.blocks.skipinit), let it start at 0 (rezero), or put BatchNorm into it (preact).{sized}"
        )
    if not large:
        return ""
    initialiser = "he_normal" if any(n.facts.rectifies for n in nodes) else "lecun_normal"
    return f"The kernels are {gain:.1f} times the size that keeps it: use kernel_initializer='{initialiser}'."


def why_polynomial() -> str:
    """What keeps the power low."""
    return (
        "With pre-activation blocks (layers.blocks.preact) it grows like L, with a branch scaled by 1/√blocks "
        "(skipinit) hardly at all."
    )


def _on_the_skip(trace: Trace) -> str:
    """What lint has found on a skip."""
    found = [f for f in lint_trace(trace) if f.rule in ("skip-path", "double-skip", "self-add")]
    if not found:
        return ""
    more = f", and {len(found) - 1} more like it (graph.lint())" if len(found) > 1 else ""
    return f"{found[0].node}: {found[0].problem}{more}; {found[0].remedy}."


def _weights(node: TraceNode) -> list[TraceParameter]:
    return [p for p in node.params.values() if p.fans is not None and p.size]


def _layers(nodes: list[TraceNode]) -> int:
    return sum(bool(_weights(n)) for n in nodes)


def _gain(nodes: list[TraceNode]) -> float | None:
    """The size of the kernels over the one that keeps |g|: √(2/fan_in) in front of a ReLU, else √(1/fan_in)."""
    gains = []
    for i, node in enumerate(nodes):
        behind = nodes[i + 1] if i + 1 < len(nodes) else None
        cut = node.facts.rectifies or (behind is not None and behind.facts.rectifies and not _weights(behind))
        for p in _weights(node):
            assert p.fans is not None
            variance = p.value_norm**2 / p.size
            if variance > 0:
                gains.append(0.5 * math.log(variance * p.fans[0] / (2 if cut else 1)))
    return math.exp(sum(gains) / len(gains)) if gains else None


def _named(nodes: list[TraceNode]) -> str:
    """The initialiser that drew the kernels, where it is one."""
    drawn = {p.drawn for n in nodes for p in _weights(n)}
    return f" ({drawn.pop()})" if len(drawn) == 1 and "" not in drawn else ""
