"""Streams: nets whose every branch normalises what it reads and is added to it, as pre-norm Transformers.

A branch that does not see the size of what it reads sends back a gradient at a right angle to it, 1/|x| as large. So
|x| grows along the stream by what the branches add, and |g| falls: where both gain alike, |x|·|g| stays what it is.
(Xiong et al. 2020 derive both for Transformers at initialisation.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tinyres.structure.kinds import SKIP
from tinyres.trace.blocks import Block, rows_of
from tinyres.trace.course import LEAST
from tinyres.trace.trace import Trace

SAMPLE_NORMS = ("layer", "rms", "group")  # what needs no batch, and is the same in training and out of it
_HELD = 0.25  # of the product, up and down from its middle
_SETTLES = 4  # in the first one of so many parts of the net, whose tokens are not mixed yet


class Held(NamedTuple):
    """From the input of the block `first` on, |x| grows by `grown`, |g| falls by it, and |x|·|g| stays `within` ±."""

    first: str
    grown: float
    within: float

    def __str__(self) -> str:
        return f"|x|·|g| is the same within {self.within:.0%} from {self.first} on"


def reads_normalised(block: Block) -> bool:
    """Whether a block, each of its parts, adds to what it reads as it is only what has been normalised by sample."""
    return all(_is_pre_norm(part) for part in rows_of([block]))


def held_product(trace: Trace) -> Held | None:
    """How nearly |x|·|g| is constant along the stream, where the build lets it be and it was measured to be.

    It may differ in the first quarter of the net: what comes in is no sum of what branches have put out, and its tokens
    have nothing in common yet, of which attention puts out little and sends back more.
    """
    if len(trace.blocks) < LEAST or not all(map(reads_normalised, trace.blocks)) or not _in_one_stream(trace.parts):
        return None
    products = [part.x_norm * part.grad_norm for part in trace.parts]
    if not all(0 < product < math.inf for product in products):
        return None
    for i in range(1, max(1, len(trace.blocks) // _SETTLES) + 1):
        left = products[sum(len(rows_of([block])) for block in trace.blocks[:i]) :]
        within = math.sqrt(max(left) / min(left)) - 1
        if within <= _HELD:
            return Held(trace.blocks[i].name, trace.parts[-1].x_norm / trace.parts[0].x_norm, within)
    return None


def _is_pre_norm(part: Block) -> bool:
    if part.fork is None or part.join is None or part.join is not part.output or not part.join.facts.adds:
        return False
    nodes = {n.name: n for n in part.nodes}
    skips = [e for e in part.fork.edges if e.kind == SKIP]
    branches = [e for e in part.fork.edges if e.dst in nodes and e.kind != SKIP]
    return (
        len(skips) == 1
        and (skips[0].dst, skips[0].count) == (part.join.name, 1)
        and bool(branches)
        and all(nodes[e.dst].facts.normalises in SAMPLE_NORMS for e in branches)
    )


def _in_one_stream(parts: Sequence[Block]) -> bool:
    return all(after.input is before.output for before, after in zip(parts, parts[1:]))
