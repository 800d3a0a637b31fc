"""What an edge of a fork is for: the skip, the branch, or neither, read off the shape of the graph.

Pure functions of an abstract graph: nodes are numbered 0..n-1 in topological order, the last one is the loss, and
every node leads to it. Where a node feeds several consumers it is a *fork*; the fork is closed at its immediate
post-dominator, the first node that every path from the fork to the loss passes (of a residual block: the Add).
The cost of an edge is the fewest parametric layers on a path through it to that join. The cheapest edges are the
skip, costlier ones the branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SKIP, BRANCH, PARALLEL, GATE, CHAIN, PARAMETER = "skip", "branch", "parallel", "gate", "chain", "parameter"


class Shape(NamedTuple):
    """One abstract graph.

    edges: (producer, consumer), each pair once. weights: per node how many weights it reads directly.
    is_weight: per node whether it is such a weight itself. sizes: elements of each node's value. multiplicative:
    whether a node multiplies its inputs with each other.
    """

    edges: Sequence[tuple[int, int]]
    weights: Sequence[int]
    is_weight: Sequence[bool]
    sizes: Sequence[int]
    multiplicative: Sequence[bool]


class ForkShape(NamedTuple):
    """A node with several consumers: its join, and the positions of its edges, consumers in order."""

    node: int
    join: int
    edges: tuple[int, ...]


def classify(shape: Shape) -> tuple[list[str], list[ForkShape]]:
    """The kind of every edge, and every fork in topological order."""
    n = len(shape.sizes)
    outgoing: list[list[int]] = [[] for _ in range(n)]
    for position, (producer, _) in enumerate(shape.edges):
        outgoing[producer].append(position)
    successors = [[shape.edges[e][1] for e in positions] for positions in outgoing]
    joins = immediate_post_dominators(successors)
    to_loss = _fewest_parametric_layers(successors, shape.weights)
    kinds = [CHAIN] * len(shape.edges)
    forks = []
    for node, positions in enumerate(outgoing):
        if len(positions) < 2:
            continue
        join = joins[node]
        positions.sort(key=lambda e: shape.edges[e][1])
        forks.append(ForkShape(node, join, tuple(positions)))
        # Every path to the loss passes the join, so the rest of the way costs each edge the same and cancels.
        costs = [min(1, shape.weights[c]) + to_loss[c] for c in (shape.edges[e][1] for e in positions)]
        for position, kind in zip(positions, _kinds_of_fork(shape, node, join, costs)):
            kinds[position] = kind
    return kinds, forks


def _kinds_of_fork(shape: Shape, node: int, join: int, costs: list[int]) -> list[str]:
    at_loss = join == len(shape.sizes) - 1 or (shape.sizes[join] == 1 < shape.sizes[node])
    if not at_loss and shape.multiplicative[join]:
        return [GATE] * len(costs)
    cheapest = min(costs)
    if at_loss or max(costs) == cheapest:
        return [PARALLEL] * len(costs)
    return [SKIP if cost == cheapest else BRANCH for cost in costs]


def _fewest_parametric_layers(successors: Sequence[Sequence[int]], weights: Sequence[int]) -> list[int]:
    """Per node, the fewest parametric layers on a path to the loss, the node itself not counted."""
    costs = [0] * len(successors)
    for node in range(len(successors) - 2, -1, -1):
        costs[node] = min(min(1, weights[c]) + costs[c] for c in successors[node])
    return costs


def immediate_post_dominators(successors: Sequence[Sequence[int]]) -> list[int]:
    """Per node, the first node after it that every path to the last node passes; the last node's is itself.

    One pass from the loss backwards: a node's is the nearest common ancestor of its consumers in the tree built so
    far. Each node keeps its parent and one longer jump (Myers, "An applicative random-access stack", 1983), so an
    ancestor is found in O(log n) steps and a skip over the whole net costs no more than a skip over one layer.
    """
    last = len(successors) - 1
    parent, jump, depth = [last] * (last + 1), [last] * (last + 1), [0] * (last + 1)

    def common_ancestor(a: int, b: int) -> int:
        if depth[a] < depth[b]:
            a, b = b, a
        while depth[a] > depth[b]:
            a = jump[a] if depth[jump[a]] >= depth[b] else parent[a]
        while a != b:
            a, b = (jump[a], jump[b]) if jump[a] != jump[b] else (parent[a], parent[b])
        return a

    for node in range(last - 1, -1, -1):
        join = successors[node][0]
        for consumer in successors[node][1:]:
            join = common_ancestor(join, consumer)
        parent[node] = join
        depth[node] = depth[join] + 1
        far = jump[join]
        jump[node] = jump[far] if depth[join] - depth[far] == depth[far] - depth[jump[far]] else join
    return parent
