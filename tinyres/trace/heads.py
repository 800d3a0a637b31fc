"""Lint of attention: heads that look at one token only, and heads that take no part.

That every head shares itself out evenly is no finding: so a net begins. Of a head that a weight will open, which is
still 0 and has a gradient, nothing is said either.
"""

from __future__ import annotations

from collections.abc import Iterator

from tinyres.trace.net import Finding, Net, finding_at, gathered
from tinyres.trace.nodes import TraceNode

COLLAPSED = 0.05  # of the largest entropy; heads of a net that learns to write plays have 0.4 to 0.9
_SEVERAL = 2  # heads: one may have learned to look at one token
_MANY = 0.5  # of the heads of an attention


def collapsed_heads(net: Net) -> Iterator[Finding]:
    """Attentions whose heads nearly all look at one token each, where there are several such heads (Zhai et al. 2023).

    A softmax that is as sure as that hands on next to nothing of the gradient to queries and keys.
    """
    told = [(node, _collapsed(node), len(node.heads or ())) for node in net.trace.nodes]
    many = [(node, count, heads) for node, count, heads in told if count and count >= _MANY * heads]
    if sum(count for _, count, _ in many) < _SEVERAL:
        return
    yield from gathered(
        [
            finding_at(
                "attention-collapse", node,
                f"{count} of {heads} heads look at nearly one token each (below {COLLAPSED:.0%} of the largest "
                "entropy), so little of the gradient comes to queries and keys",
                "lower the learning rate, begin with a warm-up, or make the kernels of queries and keys smaller",
            )
            for node, count, heads in many
        ]
    )  # fmt: skip


def dead_heads(net: Net) -> Iterator[Finding]:
    """Heads without a gradient beside others that have one."""
    found = []
    for node in net.trace.nodes:
        dead = [i for i, head in enumerate(node.heads or ()) if head.dead]
        if dead and len(dead) < len(node.heads or ()):
            listed = ", ".join(map(str, dead))
            which = f"head {listed} has" if len(dead) == 1 else f"heads {listed} have"
            found.append(
                finding_at(
                    "dead-head", node, f"{which} no gradient, so nothing trains what it computes",
                    "look for a factor that is 0 behind it, or draw its kernels anew",
                )
            )  # fmt: skip
    yield from gathered(found)


def _collapsed(node: TraceNode) -> int:
    return sum(head.entropy is not None and head.entropy < COLLAPSED for head in node.heads or ())
