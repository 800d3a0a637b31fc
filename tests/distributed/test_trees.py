"""The order of sums: one tree over all shards, whatever ranks hold which of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from tinyres.distributed.trees import bounds, cover, covers, middle, sum_of


def _found(held: dict[Any, np.ndarray], node: tuple[int, int], kept: bool) -> np.ndarray | None:
    return held.get((node, kept))


@pytest.mark.parametrize("shards", range(1, 18))
def test_any_number_of_ranks_gives_the_same_bits(shards: int) -> None:
    rng = np.random.default_rng(shards)
    rows = (rng.standard_normal((shards, 7)) * 10.0 ** rng.integers(-6, 6, (shards, 1))).astype(np.float32)

    passing = np.empty(7, np.float32)  # a leaf that is not kept is read before the next one is asked for

    def row(node: tuple[int, int], kept: bool) -> np.ndarray | None:
        if node[1] - node[0] > 1:
            return None
        passing[:] = rows[node[0]]
        return passing.copy() if kept else passing

    alone = sum_of((0, shards), row)
    for ranks in range(1, shards + 1):
        nodes = [node for held in covers(shards, bounds(shards, ranks)) for node in held]
        held = {(node, kept): sum_of(node, row) for node in nodes for kept in (True, False)}
        assert sum_of((0, shards), partial(_found, held)).tobytes() == alone.tobytes(), ranks


@pytest.mark.parametrize(("shards", "ranks"), [(8, 1), (8, 2), (8, 4), (8, 8), (8, 3), (5, 2), (13, 4)])
def test_nodes_hold_each_shard_once_and_are_few(shards: int, ranks: int) -> None:
    limits = bounds(shards, ranks)
    held = covers(shards, limits)
    assert [shard for nodes in held for node in nodes for shard in range(*node)] == list(range(shards))
    powers = shards & shards - 1 == 0 and ranks & ranks - 1 == 0
    assert all(len(nodes) == 1 for nodes in held) if powers else max(map(len, held)) <= 2 * shards.bit_length()


def test_a_rank_without_shards_has_no_node() -> None:
    assert bounds(2, 3) == [0, 1, 2, 2] and cover(2, 2, (0, 2)) == []


def test_halves_are_as_even_as_powers_of_two_allow() -> None:
    assert [middle((0, n)) for n in range(2, 10)] == [1, 2, 2, 4, 4, 4, 4, 8]
