"""Dominators: the node that every path from (or to) a node passes, for graphs numbered in topological order."""

from __future__ import annotations

from collections.abc import Sequence


class PostDominators:
    """The tree of immediate post-dominators: per node the first node after it that every path to the last one passes.

    One pass from the last node backwards: a node's parent is the nearest common ancestor of its successors in the tree
    built so far. Each node keeps its parent and one longer jump (Myers, "An applicative random-access stack", 1983), so
    an ancestor is found in O(log n) steps and a skip over the whole net costs no more than a skip over one layer.
    """

    def __init__(self, successors: Sequence[Sequence[int]]) -> None:
        last = len(successors) - 1
        self.parent, self._jump, self._depth = [last] * (last + 1), [last] * (last + 1), [0] * (last + 1)
        for node in range(last - 1, -1, -1):
            join = successors[node][0]
            for consumer in successors[node][1:]:
                join = self.common(join, consumer)
            self._append(node, join)

    def common(self, a: int, b: int) -> int:
        """The first node that every path from `a` and every path from `b` passes; possibly one of the two."""
        parent, jump, depth = self.parent, self._jump, self._depth
        if depth[a] < depth[b]:
            a, b = b, a
        while depth[a] > depth[b]:
            a = jump[a] if depth[jump[a]] >= depth[b] else parent[a]
        while a != b:
            a, b = (jump[a], jump[b]) if jump[a] != jump[b] else (parent[a], parent[b])
        return a

    def _append(self, node: int, join: int) -> None:
        depth, jump = self._depth, self._jump
        self.parent[node] = join
        depth[node] = depth[join] + 1
        far = jump[join]
        jump[node] = jump[far] if depth[join] - depth[far] == depth[far] - depth[jump[far]] else join

    def ranks(self) -> list[range]:
        """Per node a range: it begins with the node's rank and holds those of all nodes below it in the tree."""
        last = len(self.parent) - 1
        size = [1] * (last + 1)
        for node in range(last):
            size[self.parent[node]] += size[node]
        first = [0] * (last + 1)
        free = [1] * (last + 1)
        for node in range(last - 1, -1, -1):
            above = self.parent[node]
            first[node] = free[above]
            free[above] += size[node]
            free[node] = first[node] + 1
        return [range(start, start + count) for start, count in zip(first, size)]


def immediate_post_dominators(successors: Sequence[Sequence[int]]) -> list[int]:
    """Per node, the first node after it that every path to the last node passes; the last node's is itself."""
    return PostDominators(successors).parent


def immediate_dominators(producers: Sequence[Sequence[int]]) -> list[int]:
    """Per node, the last node before it that every path from any source passes; -1 where there is none."""
    last = len(producers) - 1
    turned = [[last - p for p in producers[node]] or [last + 1] for node in range(last, -1, -1)]
    found = immediate_post_dominators([*turned, []])
    return [last - found[last - node] for node in range(last + 1)]
