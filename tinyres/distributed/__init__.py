"""Data parallel training over MPI: each rank computes a part of every batch, and all have the same bits.

`mpirun -n 4 tinyres run train.py`, and in the script `model.fit(x, y, distributed=tr.distributed.world(shards=8))`, or
`world.mean(gradients)` in a loop of one's own. A batch is cut into a fixed number of shards, whatever the number of
ranks, and what they give is summed in one order: so 1, 2 or 4 ranks end with the very same weights.
"""

from __future__ import annotations

import numpy as np

from tinyres import errors
from tinyres.distributed import ranks
from tinyres.distributed.world import World
from tinyres.errors import ArgumentError

__all__ = ["World", "world"]


def world(shards: int | None = None) -> World:
    """The ranks that `mpirun` has started, or this process alone, and how many shards each batch is cut into.

    shards: at least one for each rank; None: as many as ranks. The same number gives the same bits on any number of
    ranks. Each rank gets its part of the machine's CPUs (unless TINYRES_THREADS is set), and an error that nobody
    catches ends all. Raises MissingExtraError without mpi4py, ArgumentError for fewer shards than ranks, and where
    ranks have another version, backend or instruction set.

    >>> import tinyres as tr
    >>> tr.distributed.world(shards=8)
    <World: rank 0 of 1, 8 shards>
    """
    MPI = ranks.mpi()
    comm = MPI.COMM_WORLD
    ranks.end_together(comm)
    ranks.agree(comm, {**ranks.machine(), "shards": shards}, "start it so (TINYRES_ISA chooses an instruction set)")
    count = comm.size if shards is None else shards
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < comm.size:
        raise ArgumentError(
            f"[distributed] shards is an integer, at least the number of ranks, {comm.size}; got {shards!r}; give "
            "more, or start fewer ranks"
        )
    ranks.share_threads(MPI, comm)
    return World(comm, int(count))


__getattr__, __dir__ = errors.closed(__name__, __all__)
