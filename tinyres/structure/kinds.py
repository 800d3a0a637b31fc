"""What an edge of a fork is for: the skip, the branch, or neither, read off the shape of the graph.

Where a node feeds several consumers it is a *fork*; the fork is closed at its immediate post-dominator, the first node
that every path from the fork to the loss passes (of a residual block: the Add). The cost of an edge is the fewest
parametric layers on a path through it to that join. The cheapest edges are the skip, costlier ones the branch.

Some of a node's edges may meet before all of them do: x in `a = x + f(x); b = x + g(a)` is closed at b, and two of its
three edges meet in a. Each such earlier join with a skip and a branch is an *inner* fork of the same node. So is one
whose branch is also read from elsewhere, as by a second output of the model.

No residual fork is a condition, which enters each of many blocks from the side. A way that only scales the others is a
gate.
"""

from __future__ import annotations

import functools
import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tinyres.structure.conditions import Conditions, find_conditions
from tinyres.structure.dominators import PostDominators, immediate_dominators, immediate_post_dominators
from tinyres.structure.gates import gate_edges, scales_only
from tinyres.structure.shape import Links, Shape

__all__ = ["ForkShape", "Shape", "classify", "find_forks", "immediate_post_dominators"]

SKIP, BRANCH, PARALLEL, GATE, CONDITION = "skip", "branch", "parallel", "gate", "condition"
CHAIN, PARAMETER = "chain", "parameter"

_LARGEST_LEAK = 256  # nodes: a branch that is read from elsewhere is followed back so far


class ForkShape(NamedTuple):
    """A node with several consumers: its join, the positions of its edges, consumers in order, and their kinds.

    inner: whether only some of the node's edges are meant, which meet before all do. met: the edges that are as cheap
    as the skip and still branches, since they meet another way before the join: skips of an inner fork.
    """

    node: int
    join: int
    edges: tuple[int, ...]
    kinds: tuple[str, ...]
    inner: bool = False
    met: frozenset[int] = frozenset()

    @property
    def stream(self) -> tuple[int, ...]:
        """The positions of the edges that are no conditions."""
        return tuple([e for e, kind in zip(self.edges, self.kinds) if kind != CONDITION])


def classify(shape: Shape) -> tuple[list[str], list[ForkShape]]:
    """The kind of every edge, and every fork in topological order, a node's inner ones before its own."""
    forks = find_forks(shape, Links(shape.edges, len(shape.sizes)))[0]
    return edge_kinds(shape, forks), forks


def edge_kinds(shape: Shape, forks: Sequence[ForkShape]) -> list[str]:
    """The kind of every edge: that of its whole fork or, where this tells nothing, of the largest that tells it."""
    kinds = [CHAIN] * len(shape.edges)
    for fork in reversed(forks):
        for position, kind in zip(fork.edges, fork.kinds):
            kind = SKIP if position in fork.met else kind
            if not fork.inner or kinds[position] == PARALLEL:
                kinds[position] = kind
    return kinds


def find_forks(shape: Shape, links: Links) -> tuple[list[ForkShape], Conditions]:
    """Every fork in topological order, a node's inner ones before its own; and what are conditions."""
    tree = PostDominators(links.successors)
    to_loss = _fewest_parametric_layers(links.successors, shape.weights)
    costs = [min(1, shape.weights[c]) + to_loss[c] for _, c in shape.edges]
    conditions = find_conditions(shape, links, tree)
    leaking = _leaking(shape, links, tree, conditions)
    ranks = tree.ranks()
    forks = []
    for node, positions in enumerate(links.outgoing):
        if len(positions) < 2 or node in shape.asides:
            continue
        stream = _stream_of(node, positions, links, conditions)
        if len(stream) < 2:
            forks.append(_of_conditions(ForkShape(node, tree.parent[node], tuple(positions), ()), set(stream)))
            continue
        # Every path to the loss passes the join, so the rest of the way costs each edge the same and cancels.
        join = functools.reduce(tree.common, [shape.edges[e][1] for e in stream])
        kinds = _kinds_of_fork(shape, node, join, [costs[e] for e in stream])
        kinds = _with_gates(shape, links, node, join, stream, kinds)
        whole = ForkShape(node, join, tuple(stream), kinds)
        inner = [*_inner(shape, whole, costs, tree, ranks), *leaking.get(node, ())]
        whole = _beside_inner(whole, inner)
        if len(stream) < len(positions):
            whole = _of_conditions(whole._replace(edges=tuple(positions)), set(stream))
        forks += [*sorted(inner, key=lambda fork: fork.join), whole]
    return forks, conditions


def _kinds_of_fork(shape: Shape, node: int, join: int, costs: Sequence[int]) -> tuple[str, ...]:
    at_loss = join == shape.last or (shape.sizes[join] == 1 < shape.sizes[node])
    if not at_loss and shape.multiplicative[join]:
        return (GATE,) * len(costs)
    cheapest = min(costs)
    if at_loss or max(costs) == cheapest:
        return (PARALLEL,) * len(costs)
    return tuple([SKIP if cost == cheapest else BRANCH for cost in costs])


def _beside_inner(whole: ForkShape, inner: Sequence[ForkShape]) -> ForkShape:
    """A fork of which one skip leads over inner forks whose skips are as cheap: theirs are part of its branch.

    So a skip across a U, which joins behind the lowest block, is told from the skip of that block.
    """
    within = {e for fork in inner for e in fork.edges}
    skips = {e for e, kind in zip(whole.edges, whole.kinds) if kind == SKIP}
    if not skips & within or skips <= within:
        return whole
    kinds = tuple([BRANCH if e in skips & within else kind for e, kind in zip(whole.edges, whole.kinds)])
    return whole._replace(kinds=kinds, met=frozenset(skips & within))


def _stream_of(node: int, edges: Sequence[int], links: Links, conditions: Conditions) -> list[int]:
    """The edges of a fork that do not go into conditions only; none if it is a condition itself."""
    if node in conditions.nodes:
        return []
    return [e for e in edges if not conditions.entered_by(links.edges[e][1])]


def _of_conditions(fork: ForkShape, stream: set[int]) -> ForkShape:
    """The fork with the kinds of all its edges: conditions beside those of the stream, which has none if it is one."""
    known = iter(fork.kinds or (CHAIN,))
    return fork._replace(kinds=tuple([next(known) if e in stream else CONDITION for e in fork.edges]))


def _with_gates(
    shape: Shape, links: Links, node: int, join: int, edges: Sequence[int], kinds: tuple[str, ...]
) -> tuple[str, ...]:
    """The kinds with those branches that are gates told, if another branch is left; and those of what a gate feeds."""
    if set(kinds) == {PARALLEL}:
        return (GATE,) * len(kinds) if scales_only(shape, links, node, join) else kinds
    if BRANCH not in kinds:
        return kinds
    gates = gate_edges(shape, links, join, edges)
    found = tuple([GATE if gate and kind == BRANCH else kind for kind, gate in zip(kinds, gates)])
    return found if BRANCH in found else kinds


def _fewest_parametric_layers(successors: Sequence[Sequence[int]], weights: Sequence[int]) -> list[int]:
    """Per node, the fewest parametric layers on a path to the loss, the node itself not counted."""
    costs = [0] * len(successors)
    for node in range(len(successors) - 2, -1, -1):
        costs[node] = min(min(1, weights[c]) + costs[c] for c in successors[node])
    return costs


def _inner(
    shape: Shape, fork: ForkShape, costs: Sequence[int], tree: PostDominators, ranks: Sequence[range]
) -> Iterator[ForkShape]:
    """The skips and branches among a node's edges that meet before all of them do.

    They meet where the tree of post-dominators branches below the node's consumers. The consumers below such a place
    are neighbours by rank, and places whose edges all cost the same are passed over without a look at each edge.
    """
    if len(fork.edges) < 3:
        return
    consumer = {e: shape.edges[e][1] for e in fork.edges}
    ordered = sorted(fork.edges, key=lambda e: ranks[consumer[e]].start)
    places = [ranks[consumer[e]].start for e in ordered]
    neighbours = list(zip(ordered, ordered[1:]))
    changes = [0, *itertools.accumulate(int(costs[a] != costs[b]) for a, b in neighbours)]
    for join in {tree.common(consumer[a], consumer[b]) for a, b in neighbours} - {fork.join}:
        first, end = bisect_left(places, ranks[join].start), bisect_left(places, ranks[join].stop)
        if changes[first] == changes[end - 1]:
            continue
        edges = tuple(sorted(ordered[first:end], key=consumer.__getitem__))
        kinds = _kinds_of_fork(shape, fork.node, join, [costs[e] for e in edges])
        if SKIP in kinds:
            yield ForkShape(fork.node, join, edges, kinds, inner=True)


def _leaking(shape: Shape, links: Links, tree: PostDominators, conditions: Conditions) -> dict[int, list[ForkShape]]:
    """By node, the forks whose join all that enters it comes from, though some of it is also read from elsewhere."""
    data = [[p for p in producers if not (shape.is_weight[p] or p in conditions)] for producers in links.producers]
    found: dict[int, list[ForkShape]] = {}
    for join, node in enumerate(immediate_dominators(data)):
        if node < 0 or node in conditions or len(data[join]) < 2 or tree.parent[node] == join:
            continue
        region = _leaking_region(node, join, data, tree)
        if region:
            edges = tuple([e for e in links.outgoing[node] if shape.edges[e][1] in region])
            to_join = _fewest_to(join, region, links, shape.weights)
            costs = [min(1, shape.weights[c]) + to_join[c] for c in (shape.edges[e][1] for e in edges)]
            kinds = _kinds_of_fork(shape, node, join, costs)
            if SKIP in kinds:
                found.setdefault(node, []).append(ForkShape(node, join, edges, kinds, inner=True))
    return found


def _leaking_region(node: int, join: int, data: Sequence[Sequence[int]], tree: PostDominators) -> set[int]:
    """What leads from `node` to `join`; empty if nothing of it leads elsewhere too, or if it is too large."""
    region = {join}
    stack = [join]
    while stack and len(region) <= _LARGEST_LEAK:
        for producer in data[stack.pop()]:
            if producer != node and producer not in region:
                region.add(producer)
                stack.append(producer)
    leaks = not stack and any(tree.common(n, join) != join for n in region)
    return region if leaks else set()


def _fewest_to(join: int, region: set[int], links: Links, weights: Sequence[int]) -> dict[int, int]:
    """Per node of a region, the fewest parametric layers on a path to its join, the node itself not counted."""
    costs = {join: 0}
    for node in sorted(region - {join}, reverse=True):
        costs[node] = min(min(1, weights[c]) + costs[c] for c in links.successors[node] if c in costs)
    return costs
