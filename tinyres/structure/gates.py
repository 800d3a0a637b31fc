"""Gates: the ways of a fork that only scale what takes the other ways, as the gate of a highway does."""

from __future__ import annotations

from collections.abc import Sequence

from tinyres.structure.shape import Links, Shape


def gate_edges(shape: Shape, links: Links, join: int, edges: Sequence[int]) -> list[bool]:
    """Per edge of a fork whether all that goes over it is squashed and then enters products with the other ways."""
    starts = [links.edges[e][1] for e in edges]
    if not shape.gating:
        return [False] * len(edges)
    return [_scales(shape, links, join, start, [s for s in starts if s != start]) for start in starts]


def scales_only(shape: Shape, links: Links, node: int, join: int) -> bool:
    """Whether a node is a gate, and all that it feeds are products."""
    if node not in shape.gating:
        return False
    starts = links.successors[node]
    return all(
        _enters_products(shape, links, {start} - {join}, start) if not shape.multiplicative[start] else start != join
        for start in starts
    )


def _scales(shape: Shape, links: Links, join: int, start: int, others: list[int]) -> bool:
    own = links.ways([start], join) - links.ways(others, join)
    return bool(own & shape.gating) and _enters_products(shape, links, own, start)


def _enters_products(shape: Shape, links: Links, own: set[int], start: int) -> bool:
    leaving = {consumer for node in own for consumer in links.successors[node]} - own
    return start in own and bool(leaving) and all(shape.multiplicative[n] for n in leaving)
