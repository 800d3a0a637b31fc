"""Gates: the ways of a fork that only scale what takes the other ways, as the gate of a highway does.

Several ways may be a gate together, as query and key of an attention are: what they make is shared out and then
multiplies the value.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinyres.structure.shape import Links, Shape


def gate_edges(shape: Shape, links: Links, join: int, edges: Sequence[int]) -> list[bool]:
    """Per edge of a fork whether all that goes over it is squashed and then enters products with the other ways."""
    starts = [links.edges[e][1] for e in edges]
    if not (shape.gating or shape.squashed):
        return [False] * len(edges)
    passed = {start: links.ways([start], join) for start in starts}
    groups = {frozenset([start]) for start in starts}
    squashing = shape.gating.intersection(*[set().union(*passed.values())])
    groups |= {frozenset(s for s in starts if node in passed[s]) for node in squashing}
    gates = {start for group in groups for start in group if _scale(shape, links, join, group, starts)}
    return [start in gates for start in starts]


def scales_only(shape: Shape, links: Links, node: int, join: int) -> bool:
    """Whether a node is a gate, and all that it feeds are products."""
    if node not in shape.gating:
        return False
    starts = links.successors[node]
    return all(
        _enters_products(shape, links, {start} - {join}, frozenset([start]))
        if not shape.multiplicative[start]
        else start != join
        for start in starts
    )


def _scale(shape: Shape, links: Links, join: int, together: frozenset[int], starts: Sequence[int]) -> bool:
    others = [s for s in starts if s not in together]
    own = links.ways(together, join) - links.ways(others, join)
    leaving = {(node, consumer) for node in own for consumer in links.successors[node] if consumer not in own}
    squashes = bool(own & shape.gating) or leaving <= shape.squashed
    return bool(others) and squashes and _enters_products(shape, links, own, together)


def _enters_products(shape: Shape, links: Links, own: set[int], starts: frozenset[int]) -> bool:
    leaving = {consumer for node in own for consumer in links.successors[node]} - own
    return starts <= own and bool(leaving) and all(shape.multiplicative[n] for n in leaving)
