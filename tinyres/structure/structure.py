"""Structure: all that the shape of a net tells, found once: forks, kinds of edges, what enters a join, blocks."""

from __future__ import annotations

from dataclasses import dataclass

from tinyres.structure.blocks import BlockShape, Forks, find_blocks, rows_of
from tinyres.structure.kinds import BRANCH, GATE, PARALLEL, SKIP, ForkShape, edge_kinds, find_forks
from tinyres.structure.shape import Links, Shape


@dataclass(frozen=True, slots=True)
class Structure:
    """What one net is made of, by numbers of nodes.

    kinds: per edge of the shape. forks: in graph order, a node's inner ones before its own. blocks: in graph order.
    """

    shape: Shape
    links: Links
    kinds: tuple[str, ...]
    forks: Forks
    blocks: tuple[BlockShape, ...]

    def inputs_of(self, join: int) -> dict[int, str]:
        """What each producer of a join brings it: a skip, a branch, or ways that are parallel or meet in a gate.

        A skip takes the cheapest way from a fork that is closed here to the join, a branch a costlier one. What is a
        skip for one fork and a branch for another is a skip, as the middle one of x + f(x) + g(f(x)). Where that would
        leave no branch, or no fork has a skip, all are parallel.
        """
        found = dict.fromkeys(self.links.producers[join], PARALLEL)
        for fork in (self.forks[i] for i in self.forks.closed_at(join)):
            if fork.kinds[0] == GATE and SKIP not in fork.kinds:
                found = {p: GATE if kind == PARALLEL else kind for p, kind in found.items()}
            if SKIP not in fork.kinds:
                continue
            costs = self._costs(fork)
            cheapest = min(costs.values())
            alone = {self.shape.edges[e][1] for e, kind in zip(fork.edges, fork.kinds) if kind == SKIP}
            over = self.links.ways(alone, join)
            over |= {fork.node} if join in alone else set()
            for producer, cost in costs.items():
                if cost == cheapest and producer in over:
                    found[producer] = SKIP
                elif found[producer] != SKIP:
                    found[producer] = BRANCH
        if BRANCH not in found.values():
            found = {p: PARALLEL if kind == SKIP else kind for p, kind in found.items()}
        return found

    def branch_edges(self) -> set[tuple[int, int]]:
        """The edges through the branch of a residual fork, with its gates; not those below a skip across."""
        far = set(self.across)
        return {
            self.shape.edges[e]
            for i, fork in enumerate(self.forks)
            for e, kind in zip(fork.edges, fork.kinds)
            if i not in far and (self.kinds[e] == BRANCH or (self.kinds[e] == kind == GATE and SKIP in fork.kinds))
        }

    @property
    def across(self) -> dict[int, str]:
        """The number of each fork whose skip leads across, and what its block is called."""
        return {block.fork: block.name for block in rows_of(self.blocks) if block.across and block.fork is not None}

    def edges_across(self) -> dict[tuple[int, int], int]:
        """The edges with which skips across begin: which of `across`, by place."""
        return {
            self.shape.edges[e]: place
            for place, number in enumerate(self.across)
            for e, kind in zip(self.forks[number].edges, self.forks[number].kinds)
            if kind == SKIP
        }

    def skips_into(self, join: int) -> frozenset[int]:
        """The producers of a join that are skips."""
        return frozenset(p for p, kind in self.inputs_of(join).items() if kind == SKIP)

    def _costs(self, fork: ForkShape) -> dict[int, int]:
        """Per producer of the join, the fewest parametric layers on a way to it from the fork."""
        starts = {self.shape.edges[e][1] for e in fork.stream}
        fewest = {fork.node: 0}
        for node in sorted(self.links.ways(starts, fork.join)):
            before = {p: fewest[p] for p in self._from(fork.node, starts, node) if p in fewest}
            if node == fork.join:
                return before
            fewest[node] = min(before.values()) + min(1, self.shape.weights[node])
        return {}

    def _from(self, fork: int, starts: set[int], node: int) -> list[int]:
        """What a node reads, the fork itself only where that edge is meant."""
        return [p for p in self.links.producers[node] if p != fork or node in starts]


def structure_of(shape: Shape) -> Structure:
    """The structure of a net of this shape."""
    links = Links(shape.edges, len(shape.sizes))
    found, conditions = find_forks(shape, links)
    forks = Forks(found)
    kinds = edge_kinds(shape, forks)
    return Structure(shape, links, tuple(kinds), forks, tuple(find_blocks(shape, forks, links, conditions)))
