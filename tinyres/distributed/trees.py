"""In which order shards are summed: in pairs, by one tree over all of them, however many ranks there are.

Shards low … high - 1 are a node of the tree. Ranks hold neighbouring shards, so that what a rank has falls into few
nodes (one, where ranks and shards are powers of two): it sums those by itself and sends no more than their sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Node = tuple[int, int]


def middle(node: Node) -> int:
    """Where a node's second half begins: behind as many shards as the largest power of two below its number.

    >>> middle((0, 8)), middle((4, 7))
    (4, 6)
    """
    low, high = node
    return low + (1 << (high - low - 1).bit_length() - 1)


def cover(first: int, last: int, node: Node) -> list[Node]:
    """The largest nodes below `node` that together hold shards first … last - 1, in order.

    >>> cover(0, 4, (0, 8)), cover(3, 6, (0, 8))
    ([(0, 4)], [(3, 4), (4, 6)])
    """
    low, high = node
    if first <= low and high <= last:
        return [node] if low < high else []
    if last <= low or high <= first:
        return []
    half = middle(node)
    return cover(first, last, (low, half)) + cover(first, last, (half, high))


def sum_of(node: Node, leaf: Callable[[Node, bool], np.ndarray | None], kept: bool = True) -> np.ndarray:
    """The sum over a node, added up in place.

    leaf(node, kept): gives a node's sum, or None where its halves are to be summed; asked in the order of the shards.
    kept: whether it is in memory that may be written to and stays as it is while other leaves are asked; else it is
    read before the next one is.
    """
    found = leaf(node, kept)
    if found is not None:
        return found
    half = middle(node)
    left = sum_of((node[0], half), leaf)
    left += sum_of((half, node[1]), leaf, kept=False)
    return left


def bounds(shards: int, ranks: int) -> list[int]:
    """Where each rank's shards begin, and the number of them all: as even as can be, neighbours together.

    >>> bounds(8, 3)
    [0, 3, 6, 8]
    """
    return [rank * (shards // ranks) + min(rank, shards % ranks) for rank in range(ranks + 1)]


def covers(shards: int, limits: Sequence[int]) -> list[list[Node]]:
    """The nodes of each rank."""
    return [cover(low, high, (0, shards)) for low, high in zip(limits, limits[1:])]
