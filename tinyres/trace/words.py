"""How numbers read in sentences: ratios, powers of ten, lists of places."""

from __future__ import annotations

import math

from tinyres.trace.nodes import TraceNode
from tinyres.trace.trace import Trace

_NONE = 0.005  # of a share: what rounds to 0%


def times(ratio: float) -> str:
    """A ratio as one says it: "1/50,000 of", "318 times"."""
    if ratio < 1e-9:
        return f"{ratio:.1g} of"
    if ratio < 0.95:
        return f"1/{two_digits(1 / ratio)} of"
    return f"{two_digits(ratio)} times"


def two_digits(x: float) -> str:
    """A number as one says it: 1.4, 320, 50,000; what is not finite, as a damaged file may hold, by its name."""
    if x < 10 or not math.isfinite(x):
        return f"{x:.1f}"
    if x >= 1e12:
        return f"{x:.1e}"
    unit = 10 ** (math.floor(math.log10(x)) - 1)
    return f"{round(x / unit) * unit:,.0f}"


def factor(x: float) -> str:
    """A factor per block: "x 0.50", "x 1/3,300", "x 120"."""
    if 0.05 <= x < 20:
        return f"x {x:.2f}"
    return f"x 1/{two_digits(1 / x)}" if x < 1 else f"x {two_digits(x)}"


def number(x: float) -> str:
    """A factor by itself: 0.50, 0.0021, 120."""
    return f"{x:.2f}" if 0.05 <= x < 20 else f"{x:.2g}"


def place(node: TraceNode) -> str:
    """A node with the line of the user's code."""
    return node.name if node.source is None else f"{node.name} (line {node.source[1]})"


def share_over_skip(share: float) -> str:
    """What of a gradient came over the skip, where a share is none of a whole too."""
    if -_NONE <= share <= 1 + _NONE:
        return f"{min(max(share, 0.0), 1.0):.0%} of it came over the skip"
    return f"skip and branch cancel in part: their shares of it are {share:.2g} and {1 - share:.2g}"


def share_across(trace: Trace) -> str:
    """What of the gradient at the first level of a U came over the longest skip across."""
    block = [b for b in trace.parts if b.across][-1]
    at = block.input.block or block.input.name
    if block.skip is None:
        return f"No gradient arrives behind {at}."
    if -_NONE <= block.skip <= 1 + _NONE:
        across = f"{min(max(block.skip, 0.0), 1.0):.0%}"
        return f"Of that behind {at} {across} came over {block.name}, the rest from below."
    shares = f"{block.skip:.2g} and {1 - block.skip:.2g}"
    return f"Behind {at} what came over {block.name} and from below cancel in part: their shares are {shares}."
