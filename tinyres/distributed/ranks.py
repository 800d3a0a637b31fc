"""The ranks as processes: that they run the same, how they share the CPUs, and how they end together."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

from tinyres.backends import native
from tinyres.errors import ArgumentError, MissingExtraError
from tinyres.launch import backend


def mpi() -> Any:
    """mpi4py's MPI. Raises MissingExtraError, which says what to install, where that is not there."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: no MPI library under it
        raise MissingExtraError(
            f"[distributed] training on several processes needs mpi4py and an MPI; got {error}; "
            "run: pip install 'tinyres[mpi]'"
        ) from None
    return MPI


def machine() -> dict[str, Any]:
    """What must be the same on all ranks, lest their results differ."""
    import tinyres

    return {
        "the version of tinyres": tinyres.__version__,
        "the backend": backend(),
        "the instruction set": native.isa() if native.AVAILABLE else "none",
        "the version of NumPy": np.__version__,
        "the processor": platform.machine(),
    }


def agree(comm: Any, facts: Mapping[str, Any], remedy: str) -> None:
    """Raise ArgumentError, on every rank and with the same words, where one has another fact than rank 0."""
    gathered = comm.allgather(dict(facts))
    for rank, others in enumerate(gathered):
        for name, first in gathered[0].items():
            if others.get(name) != first:
                raise ArgumentError(
                    f"[distributed] all ranks run the same training; got {name}: {first} on rank 0 and "
                    f"{others.get(name)} on rank {rank}; {remedy}"
                )


def share_threads(MPI: Any, comm: Any) -> None:
    """Each rank of a machine gets its part of the CPUs, unless TINYRES_THREADS says how many threads it runs."""
    if comm.size == 1 or not native.AVAILABLE or os.environ.get("TINYRES_THREADS") or not _CAN_ASK:
        return
    here = comm.Split_type(MPI.COMM_TYPE_SHARED)
    own = os.sched_getaffinity(0)
    cpus = set().union(*here.allgather(own))
    native.set_threads(max(1, min(len(own), len(cpus) // here.size)))
    here.Free()


_CAN_ASK = hasattr(os, "sched_getaffinity")  # as Linux has


def end_together(comm: Any) -> None:
    """From here on an error that nobody catches ends all ranks, which would wait for this one for ever."""
    if comm.size == 1:
        return
    before = sys.excepthook

    def told_and_ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        before(kind, error, trace)
        end(comm)

    sys.excepthook = told_and_ended


def end_others() -> None:
    """End all ranks now if there are others that this one has met, who would wait for it."""
    MPI = getattr(sys.modules.get("mpi4py"), "MPI", None)
    if MPI is not None and MPI.Is_initialized() and not MPI.Is_finalized() and MPI.COMM_WORLD.size > 1:
        end(MPI.COMM_WORLD)


def end(comm: Any) -> None:
    """End all ranks now."""
    print(f"tinyres: rank {comm.rank} of {comm.size} has failed, and ends all", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(0.2)  # mpirun passes on what a rank has printed, and not what it finds when it ends them
    comm.Abort(1)
