"""Which rows of a long table are left out, and the line that stands for them.

Blocks fold group by group, so that the first and the last of each stage are seen; all else folds in its middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinyres.structure.names import fitted
from tinyres.trace.blocks import Block, rows_of
from tinyres.trace.groups import Group, groups_of
from tinyres.view.numbers import number, ratio

_LEAST = 3  # rows of a folded group: its first, the fold, its last


class Fold(NamedTuple):
    """Rows `first` up to but not including `end`, and the line in their place."""

    first: int
    end: int
    line: str


def middle(records: Sequence[Any], most: int) -> list[Fold]:
    """The fold that leaves `most` - 1 rows."""
    if len(records) <= most:
        return []
    first, end = most // 2, len(records) - (most - 1) // 2
    return [Fold(first, end, f"  ... {_summary(records[first:end])}: trace.table()")]


def by_group(blocks: Sequence[Block], most: int, expand: str | None = None) -> list[Fold] | None:
    """The folds of all groups that leave at most so many rows, the smallest groups whole; None if that cannot be.

    expand: the name of a group that is shown whole, however long. A block of several parts has a row for each.
    """
    groups = groups_of(blocks)
    full = {g.name: len(rows_of(g.blocks)) for g in groups}
    rows = {name: n if name == expand else min(_LEAST, n) for name, n in full.items()}
    if len(rows) < 2 or (expand is None and sum(rows.values()) > most):
        return None
    for group in sorted(groups, key=lambda g: full[g.name]):
        if sum(rows.values()) - rows[group.name] + full[group.name] <= most:
            rows[group.name] = full[group.name]
    folds, place = [], 0
    for group in groups:
        count = full[group.name]
        if rows[group.name] < count:
            folds.append(Fold(place + 1, place + count - 1, _line(group)))
        place += count
    return folds


def _line(group: Group) -> str:
    return f"  ... {_summary(rows_of(group.blocks)[1:-1], f' in {fitted(group.name, 14)}')}"


def _summary(records: Sequence[Any], where: str = "") -> str:
    """How many, how |g| goes, and between which values the skip lies."""
    parts = [f"{len(records)} more{where}", f"|g| {_course([r.grad_norm for r in records])}"]
    shares = [r.skip for r in records if isinstance(r, Block) and r.skip is not None]
    if shares:
        parts.append(f"skip {ratio(min(shares))}..{ratio(max(shares))}")
    return ", ".join(parts)


def _course(norms: Sequence[float]) -> str:
    if not all(map(math.isfinite, norms)):
        return "not finite in some"
    span = f"{number(norms[0])}..{number(norms[-1])}"
    if all(a >= b for a, b in zip(norms, norms[1:])):
        return f"{span}, falling"
    if all(a <= b for a, b in zip(norms, norms[1:])):
        return f"{span}, rising"
    return f"{number(min(norms))}..{number(max(norms))}, up and down"
