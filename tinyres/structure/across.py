"""Skips across: those that lead over a part of a net in which all is smaller, as from a U's encoder to its decoder.

Told by sizes, so that a U that is written without scopes has them; or by scopes, where a skip leads from one to another
over further ones, as it does at the lowest level of a U, around which nothing shrinks.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Sequence
from typing import NamedTuple

from tinyres.structure.kinds import BRANCH, SKIP, ForkShape
from tinyres.structure.shape import Links, Shape


class Across(NamedTuple):
    """A skip across: what it is called, and what of its region stands at its join rather than with another block."""

    name: str
    members: tuple[int, ...]


def find_across(shape: Shape, forks: Sequence[ForkShape], links: Links) -> dict[int, Across]:
    """Per number of a fork whose skip leads across, how it is told; of those with one join the outermost."""
    split = [i for i, fork in enumerate(forks) if SKIP in fork.kinds]
    outermost: dict[int, int] = {}
    for i in split:
        if _over_scopes(forks[i], shape, links) or _over_less(forks[i], shape, links):
            outermost.setdefault(forks[i].join, i)
    far = sorted(outermost.values())
    names = {i: _name(forks[i], shape) for i in far}
    found = {}
    for i in far:
        around = sum(_lies_in(forks[i], forks[k]) for k in far if k != i)
        name = names[i]
        if not name or name.endswith("/") or list(names.values()).count(name) > 1:
            name = f"{name[: name.rfind('/') + 1]}across{around}"
        within = [k for k in split if k != i and forks[k].join < forks[i].join and _lies_in(forks[k], forks[i])]
        found[i] = Across(name, _members(forks[i], [forks[k] for k in within], {forks[k] for k in far}, shape, links))
    return found


def region_of(fork: ForkShape, links: Links) -> set[int]:
    """All that leads from a fork to its join, with that."""
    return links.ways([links.edges[e][1] for e in fork.stream], fork.join)


def _over_scopes(fork: ForkShape, shape: Shape, links: Links) -> bool:
    """Whether a skip leads from one scope to another over further ones."""
    ends = shape.scope(fork.node), shape.scope(fork.join)
    if not all(ends) or any(f"{a}/".startswith(f"{b}/") for a, b in (ends, ends[::-1])):
        return False
    between = {shape.scope(n) for n in region_of(fork, links) if not shape.is_weight[n]}
    return any(scope and not any(f"{scope}/".startswith(f"{end}/") for end in ends) for scope in between)


def _over_less(fork: ForkShape, shape: Shape, links: Links) -> bool:
    """Whether every way but the skip passes fewer positions and fewer numbers than there are at fork and join."""
    at = shape.positions
    if not at or at[fork.join] != at[fork.node] or min(at[fork.node : fork.join]) == at[fork.node]:
        return False
    region = region_of(fork, links)
    less = {n for n in region if at[n] < at[fork.node] and shape.sizes[n] < shape.sizes[fork.node]}
    stack = [links.edges[e][1] for e, kind in zip(fork.edges, fork.kinds) if kind == BRANCH and e in fork.stream]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node == fork.join:
            return False
        new = [n for n in links.successors[node] if n in region and n not in seen] if node not in less else []
        seen.update(new)
        stack += new
    return bool(less)


def _name(fork: ForkShape, shape: Shape) -> str:
    """From scope to scope; what ends with a slash, or is empty, where both are the same or one lies in the other."""
    start, end = shape.scope(fork.node), shape.scope(fork.join)
    common = posixpath.commonpath([start, end]) if start and end else ""
    inner = [scope.removeprefix(common).lstrip("/").split("/")[0] for scope in (start, end)]
    return posixpath.join(common, "→".join(inner) if all(inner) else "")


def _lies_in(fork: ForkShape, other: ForkShape) -> bool:
    return other.node <= fork.node and fork.join <= other.join


def _members(
    fork: ForkShape, within: Sequence[ForkShape], far: Collection[ForkShape], shape: Shape, links: Links
) -> tuple[int, ...]:
    """What stands in the scope of its join behind the skips that it leads over, and belongs to no region within."""
    scope, start = shape.scope(fork.join), max((inner.join for inner in within if inner in far), default=-1)
    behind = [n for n in sorted(region_of(fork, links)) if n > start and links.producers[n] and not shape.is_weight[n]]
    taken = set().union(*(region_of(inner, links) for inner in within if inner.join > start))
    return tuple([n for n in behind if n not in taken and shape.scope(n) == scope])
