"""Sums over all shards, the same bits on every rank and for any number of ranks.

Each rank has summed its own shards. It owns a part of the result: it gets that part of every other rank's sums, adds
them up in the order of the tree, and the parts are handed round. So each rank sends and gets about twice the bytes of
one bucket, however many ranks or shards there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.distributed.trees import Node, bounds, covers, sum_of


class Exchange:
    """The exchange among the ranks of a communicator. sent: the bytes that this rank has sent so far."""

    def __init__(self, comm: Any, shards: int) -> None:
        self._comm = comm
        self.limits = bounds(shards, comm.size)
        self._nodes = covers(shards, self.limits)
        self._whole: Node = (0, shards)
        self.nodes = self._nodes[comm.rank]
        self.sent = 0
        self._got: dict[tuple[int, np.dtype], np.ndarray] = {}  # new memory for each step would cost as much as a copy

    def rows(self, own: np.ndarray) -> np.ndarray:
        """The rows of all shards, of those of this rank: (its shards, numbers) becomes (shards, numbers)."""
        if self._comm.size == 1:
            return own
        width = own.shape[1]
        counts = [(high - low) * width for low, high in zip(self.limits, self.limits[1:])]
        found = np.empty((self.limits[-1], width), own.dtype)
        self._comm.Allgatherv(np.ascontiguousarray(own), [found, counts])
        self.sent += own.nbytes * (self._comm.size - 1)
        return found

    def sum(self, sums: Sequence[np.ndarray], out: np.ndarray) -> None:
        """out = the sum over all shards; sums: of this rank's nodes, which may be written to."""
        if self._comm.size == 1:
            out[...] = sums[0]
            return
        comm, size = self._comm, out.size
        parts = bounds(size, comm.size)
        widths = [stop - start for start, stop in zip(parts, parts[1:])]
        own = widths[comm.rank]
        sent = sums[0]
        if len(sums) > 1:
            sent = np.concatenate([s[start:stop] for start, stop in zip(parts, parts[1:]) for s in sums])
        everyone = [node for nodes in self._nodes for node in nodes]
        got = self._got.get((size, out.dtype))
        if got is None:
            got = self._got[size, out.dtype] = np.empty((len(everyone), own), out.dtype)
        counts = [len(nodes) * own for nodes in self._nodes]
        comm.Alltoallv([sent, [len(sums) * width for width in widths]], [got, counts])
        found = dict(zip(everyone, got))
        total = sum_of(self._whole, lambda node, kept: found.get(node))
        comm.Allgatherv(total, [out, widths])
        self.sent += (sent.nbytes // size * (size - own)) + total.nbytes * (comm.size - 1)
