"""Groups: blocks in a row that belong together, as the stages of a residual net of images, and what they share.

Blocks of one scope are a group ("stage1" of stage1/block0 to stage1/block5); where scopes do not tell, those whose
outputs have one shape.
"""

from __future__ import annotations

import itertools
import math
import posixpath
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tinyres.trace.blocks import Block, rows_of


@dataclass(frozen=True, slots=True)
class Group:
    """A stage: blocks in graph order, at least one. name: of their scope, else of the first and the last."""

    name: str
    blocks: tuple[Block, ...]

    @property
    def x_norm(self) -> float:
        """L2 norm of the first block's input."""
        return self.blocks[0].x_norm

    @property
    def grad_norm(self) -> float:
        """L2 norm of the gradient at the first block's input."""
        return self.blocks[0].grad_norm

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example at the output."""
        return self.blocks[-1].output.shape[1:]

    @property
    def rate(self) -> float | None:
        """The geometric mean of |g| per block toward the input, over what has the output's shape; None for no block."""
        inside = [b.grad_norm for b in self.blocks if b.input.shape == self.blocks[-1].output.shape]
        last = self.blocks[-1].output.grad_norm
        if not inside or not all(0 < g < math.inf for g in (inside[0], last)):
            return None
        return float((inside[0] / last) ** (1 / len(inside)))

    @property
    def skip(self) -> float | None:
        """The median over the blocks of what came over the skip."""
        return _median([b.skip for b in rows_of(self.blocks)])

    @property
    def strength(self) -> float | None:
        """The median of |F| / |x|."""
        return _median([b.strength for b in rows_of(self.blocks)])


def groups_of(blocks: Sequence[Block]) -> list[Group]:
    """All blocks by groups, in graph order; one group where nothing tells them apart."""
    scoped = any("/" in b.name for b in blocks)
    groups = []
    for scope, run in itertools.groupby(blocks, lambda b: posixpath.dirname(b.name) if scoped else b.output.shape[1:]):
        own = tuple(run)
        first, last = own[0].name, own[-1].name
        groups.append(Group(str(scope) if scoped and scope else first if first == last else f"{first}..{last}", own))
    return groups


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None
