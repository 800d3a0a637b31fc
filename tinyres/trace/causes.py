"""Why a gradient vanishes or explodes, where the net's own ops and weights show it, and what then was seen to help.

A cause is said only where it is measured (the size of the kernels, a saturated tanh) or holds by definition (a
sigmoid's slope is at most 1/4). A remedy is said only where a test applies it and sees the net train.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Sequence

from tinyres.structure.kinds import GATE, SKIP
from tinyres.trace.blocks import Block
from tinyres.trace.flow import block_nodes, blocks_of, normalises_batch
from tinyres.trace.lint import lint_trace
from tinyres.trace.nodes import TraceEdge, TraceNode, TraceParameter
from tinyres.trace.scale import empty_input, rms
from tinyres.trace.streams import reads_normalised
from tinyres.trace.theory import LEAST_BATCH
from tinyres.trace.trace import Trace
from tinyres.trace.words import place

_SATURATED = 0.85  # root mean square of a tanh's values: most of them are near -1 and 1
_TOO_SMALL, _TOO_LARGE = 0.9, 1.1
_OPEN = 0.98  # of |g|: a gate that lets this much through is no cause
_CANCELS = 0.5  # of a share, beyond 0 or 1
_SHORT = 12  # layers in a row that train without skips once the gradient keeps its size

SMALL_BATCH = 16  # from here on |g| grows within a tenth as over large batches, in each of five builds
_LARGER = f"use batches of {LEAST_BATCH} examples and more"

_ON_SKIPS = ("skip-path", "double-skip", "self-add", "detached-skip")


def skips_that_help(nodes: Collection[TraceNode]) -> str:
    """The skips that nets of such layers were seen to train with."""
    if of_images(nodes):
        return "skips around the blocks, with BatchNorm in the branch (layers.blocks.basic)"
    if attends(nodes):
        return "skips around the branches, with LayerNormalization at the head of each (layers.blocks.transformer_pre)"
    preset = "layers.blocks.he2015"
    return f"skips around the blocks, with BatchNorm in the branch ({preset}) or scaled by 1/√blocks (skipinit)"


def attends(nodes: Iterable[TraceNode]) -> bool:
    """Whether some of these are attentions."""
    return any(n.heads for n in nodes)


def of_images(nodes: Iterable[TraceNode]) -> bool:
    """Whether some of these layers have kernels of windows."""
    return any(len(p.shape) == 4 for n in nodes for p in _weights(n))


def why_vanishing(trace: Trace, names: Collection[str] | None = None) -> str:
    """The cause and the remedy of a gradient that shrinks toward the input; "" where none is shown.

    names: of the blocks through which it does, None for all.
    """
    blocks, nodes = blocks_of(trace, names), block_nodes(trace, names)
    on_the_skip = _on_the_skip(trace, blocks, nodes)
    if on_the_skip:
        return on_the_skip
    if any(b.fork is not None for b in blocks):
        return _gated(blocks) or _cancelling(blocks)
    steep = next((n for n in nodes if 0 < n.facts.slope < 1), None)
    if steep is not None:
        return (
            f"Each {steep.primitive} lets at most {steep.facts.slope:.0%} of it through: use ReLU with "
            f"kernel_initializer='he_normal', and add {skips_that_help(nodes)}."
        )
    squashing = [n for n in nodes if n.facts.slope == 1]
    if squashing and min(map(rms, squashing)) > _SATURATED:
        return f"The {squashing[0].primitive} saturates: smaller kernels (glorot_uniform) keep it in its middle."
    gain = _gain(nodes)
    if gain is None or gain >= _TOO_SMALL or normalises_batch(nodes):
        return _over_the_border(nodes)
    told = f"The kernels are {gain:.2f} of the size that keeps it{_named(nodes)}"
    rectified = any(n.facts.rectifies for n in nodes)
    initialiser = "he_normal" if rectified else "lecun_normal"
    if _layers(nodes) <= _SHORT:
        return f"{told}: use kernel_initializer='{initialiser}'."
    skips = skips_that_help(nodes)
    return f"{told}: kernel_initializer='{initialiser}' keeps the size; to train at this depth it takes {skips}."


def why_exploding(trace: Trace, names: Collection[str] | None = None) -> str:
    """The same for a gradient that grows toward the input by a factor per block."""
    blocks, nodes = blocks_of(trace, names), block_nodes(trace, names)
    on_the_skip = _on_the_skip(trace, blocks, nodes)
    if on_the_skip:
        return on_the_skip
    skips = any(b.skip is not None for b in blocks)
    if normalises_batch(nodes):
        batch = trace.header.batch or 0
        small = bool(trace.header.training) and 1 < batch < SMALL_BATCH
        if skips:
            return over_few(batch) if small else ""
        more, larger = (f", over a batch of {batch} the more", f", and {_LARGER}") if small else ("", "")
        preset = "basic" if of_images(nodes) else "he2015"
        return (
            f"BatchNorm without skips amplifies it in every layer{more}: add a skip around each block "
            f"(layers.blocks.{preset}){larger}."
        )
    gain = _gain(nodes)
    large = gain is not None and gain > _TOO_LARGE
    if skips:
        sized = f" The kernels are {gain:.1f} times the size that keeps it." if large else ""
        told = "In every block the branch adds its own gradient to the skip's"
        if attends(nodes):
            return (
                f"{told}: put LayerNormalization at the head of each branch (layers.blocks.transformer_pre), or let "
                f"the branches start at 0 (transformer_rezero).{sized}"
            )
        if of_images(nodes):
            return f"{told}: put BatchNorm into it (layers.blocks.basic or preact_basic).{sized}"
        return (
            f"{told}: scale the branch by 1/√blocks (layers.blocks.skipinit), let it start at 0 (rezero), or put "
            f"BatchNorm into it (preact).{sized}"
        )
    if not large:
        return ""
    initialiser = "he_normal" if any(n.facts.rectifies for n in nodes) else "lecun_normal"
    return f"The kernels are {gain:.1f} times the size that keeps it: use kernel_initializer='{initialiser}'."


def over_few(batch: int) -> str:
    """The cause and the remedy of a growth that BatchNorm over few examples makes."""
    return f"BatchNorm over a batch of {batch} amplifies it: {_LARGER}."


def why_nothing(trace: Trace) -> tuple[str, str]:
    """Where a gradient of exactly 0 begins, and what to look for: what is 0 itself, else what passes nothing back."""
    nodes = {n.name: n for n in trace.nodes}
    empty = empty_input(trace)
    if empty is not None:
        return f": every value of {empty.name} is 0", "look at how the data is read"
    fed = {e.dst for e in trace.edges if e.src in nodes and nodes[e.src].value_norm > 0}
    dead = next((n for n in trace.nodes[:-1] if n.name in fed and n.size == n.zeros > 0), None)
    if dead is not None:
        told = f": every unit of {place(dead)} is 0 for the whole batch"
        if any(p.value_norm == 0 for p in _weights(dead)):
            opens = any(p.value_norm == 0 and p.grad_norm > 0 for p in _weights(dead))
            remedy = "the first step of training opens it, for it has a gradient itself"
            return f"{told}, for its kernel is 0", remedy if opens else "use another initialiser, as he_normal"
        if dead.facts.rectifies:
            told += ", and a ReLU passes nothing where it is 0"
            return told, "lower the learning rate, or look at its bias and initialiser"
        return told, "look for a zero factor or a skip that the branch cancels, or at its bias and initialiser"
    for node in reversed(trace.nodes):
        sent = [e for e in trace.edges if e.src == node.name and nodes[e.dst].grad_norm > 0]
        if node.grad_norm > 0 or not node.primitive or not sent:
            continue
        if any(e.grad_norm > 0 for e in sent):
            return f": what {_listed(sent)} send back to {place(node)} cancels", "look at the signs of skip and branch"
        deaf = nodes[sent[-1].dst]
        return (
            f": {place(deaf)} passes none back to {node.name}",
            "look for a zero factor, a zero initialiser, a detach() or a slope of 0 in it",
        )
    return "", "look for a zero factor or a detach() before the loss"


def _listed(edges: list[TraceEdge]) -> str:
    return " and ".join(dict.fromkeys(e.dst for e in edges))


def why_polynomial(trace: Trace) -> str:
    """What keeps the power low; nothing of branches that normalise each sample by itself, as a Transformer's."""
    if any(map(reads_normalised, trace.blocks)):
        return ""
    scaled = "with a branch scaled by 1/√blocks (skipinit) "
    preactivated = all(b.join is b.output for b in trace.parts if b.join is not None)  # nothing stands behind the Add
    if of_images(block_nodes(trace)):
        preset = "preact_basic or preact_bottleneck"
        return "" if preactivated else f"With pre-activation blocks (layers.blocks.{preset}) it grows like L."
    if preactivated:
        return f"{scaled.capitalize()}it hardly grows."
    return f"With pre-activation blocks (layers.blocks.preact) it grows like L, {scaled}hardly at all."


def _cancelling(blocks: Sequence[Block]) -> str:
    """That branches take away what comes over the skip, where they do so in most blocks."""
    shares = sorted(b.skip for b in blocks if b.skip is not None)
    if len(shares) < len(blocks) or not shares:
        return ""
    middle = shares[len(shares) // 2]
    if -_CANCELS < middle < 1 + _CANCELS:
        return ""
    return (
        "In most blocks what comes through the branch cancels what comes over the skip: their shares of it are "
        f"{1 - middle:.2g} and {middle:.2g} (median)."
    )


def _gated(blocks: Sequence[Block]) -> str:
    """How much the gates on the skips let through, where all have one and it is not all of |g|."""
    let: list[float] = []
    for block in blocks:
        kinds = {e.kind: e for e in block.fork.edges} if block.fork is not None else {}
        on_skip = None if block.fork is None else block.fork.carried  # in attention the gate lies in the branch
        closes = on_skip is None or any(n.facts.multiplies and n.name in on_skip for n in block.nodes)
        if GATE in kinds and SKIP in kinds and closes and block.join is not None and block.join.grad_norm > 0:
            let.append(kinds[SKIP].grad_norm / block.join.grad_norm)
    if not let or len(let) < len(blocks) or statistics.median(let) > _OPEN:
        return ""
    return f"The gates let {statistics.median(let):.0%} of |g| over the skips (median)."


def _on_the_skip(trace: Trace, blocks: Sequence[Block], nodes: Sequence[TraceNode]) -> str:
    """What lint has found on the skips of these blocks, if it has on most of them."""
    inside = {n.name for n in nodes}
    found = [f for f in lint_trace(trace) if f.rule in _ON_SKIPS and f.node in inside]
    if not found or 2 * len({f.node for f in found}) <= len(blocks):
        return ""
    more = f", and {len(found) - 1} more like it (graph.lint())" if len(found) > 1 else ""
    return f"{found[0].node}: {found[0].problem}{more}; {found[0].remedy}."


def _over_the_border(nodes: list[TraceNode]) -> str:
    """That images are small for their windows."""
    coverages = [p.coverage for n in nodes for p in _weights(n)]
    covered = math.fsum(coverages) / len(coverages) if coverages else 1.0
    if covered >= _TOO_SMALL:
        return ""
    return f"On the average {covered:.0%} of a window's taps meet a pixel: the images are small for such windows."


def _weights(node: TraceNode) -> list[TraceParameter]:
    return [p for p in node.params.values() if p.fans is not None and p.size]


def _layers(nodes: list[TraceNode]) -> int:
    return sum(bool(_weights(n)) for n in nodes)


def _gain(nodes: list[TraceNode]) -> float | None:
    """The size of the kernels over the one that keeps |g|; None where an activation has none, as GELU.

    It is √(2/fan_in) in front of a ReLU, √(1/fan_in) in front of what is straight around 0.
    """
    if any(_bends(node) for node in nodes):
        return None
    gains = []
    for i, node in enumerate(nodes):
        cut = _is_cut(nodes, i)
        for p in _weights(node):
            assert p.fans is not None
            variance = p.value_norm**2 / p.size
            if variance > 0:
                gains.append(0.5 * math.log(variance * p.fans[0] / (2 if cut else 1)))
    return math.exp(sum(gains) / len(gains)) if gains else None


def loudness(trace: Trace, block: Block | None) -> float:
    """The size of what a block's branch puts out over that of the others', their median; 0 where it is not known."""
    if block is None or block.branch_end is None:
        return 0.0
    others = [b.branch_end.value_norm for b in trace.blocks if b.branch_end is not None and b is not block]
    usual = statistics.median(others) if others else 0.0
    return block.branch_end.value_norm / usual if usual > 0 else 0.0


def layers_with_relu(trace: Trace, fused: bool) -> int:
    """How many layers with kernels have a ReLU in them or, unless only fused ones count, behind them."""
    nodes = list(trace.nodes)
    cut = [bool(n.facts.rectifies) if fused else _is_cut(nodes, i) for i, n in enumerate(nodes)]
    return sum(is_cut and bool(_weights(node)) for node, is_cut in zip(nodes, cut))


def _is_cut(nodes: list[TraceNode], i: int) -> bool:
    behind = nodes[i + 1] if i + 1 < len(nodes) else None
    return bool(nodes[i].facts.rectifies or (behind and behind.facts.rectifies and not _weights(behind)))


def _bends(node: TraceNode) -> bool:
    """Whether how much of |g| a node passes depends on the size of what comes in, in ways that are not known here."""
    facts = node.facts
    known = facts.piecewise_linear and not facts.leaks
    return not (known or facts.slope or facts.normalises or facts.drops or facts.scales or facts.multiplies)


def _named(nodes: list[TraceNode]) -> str:
    """The initialiser that drew the kernels, where it is one."""
    drawn = {p.drawn for n in nodes for p in _weights(n)}
    return f" ({drawn.pop()})" if len(drawn) == 1 and "" not in drawn else ""
