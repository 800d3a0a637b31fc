"""The limits of the machine, measured in the run whose rows are compared with them.

Peak arithmetic is the rate of multiply-adds that never leave the registers. Bandwidth is that of a read, write, copy or
triad loop over arrays of the same total size as the row's, so that it is the right level of the cache; the best of
whole vectors, half vectors and stores that bypass the caches. Each number is the best of several runs: a limit, not a
typical value.
`roofline.c` holds the loops and is compiled on first use.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("roofline.c")
RUNS = 9
RUN_SECONDS = 2e-3
BLOCK = 128  # floats: the streams are unrolled to 8 vectors of at most 16 lanes
BYTES_PER_ELEMENT = {"read": 4, "write": 4, "copy": 8, "triad": 12}

# Working sets that lie within a level of the cache on the machines of the last ten years.
LEVELS = {"L1": 16 << 10, "L2": 192 << 10, "L3": 8 << 20, "memory": 256 << 20}


@functools.cache
def library() -> ctypes.CDLL:
    """roofline.c, compiled for this machine. Raises RuntimeError with the compiler's words if that fails."""
    folder = tempfile.mkdtemp(prefix="tinyres-roofline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = os.path.join(folder, "roofline.so")
    compiler = os.environ.get("CC", "cc")
    for machine in ("-march=native", "-mcpu=native"):
        flags = ["-O3", machine, "-ffp-contract=fast", "-pthread", "-fPIC", "-shared"]
        command = [compiler, *flags, str(SOURCE), "-o", target]
        built = subprocess.run(command, capture_output=True, text=True)
        if built.returncode == 0:
            break
    else:
        raise RuntimeError(f"the roofline could not be compiled: {' '.join(command)}\n{built.stderr}")
    lib = ctypes.CDLL(target)
    lib.fma_operations.restype = ctypes.c_int64
    lib.fma_chains.restype = lib.stream_read.restype = lib.stream_read_by_halves.restype = ctypes.c_float
    return lib


def aligned(shape: tuple[int, ...] | int, dtype: type = np.float32) -> np.ndarray:
    """An array of zeros on a 64-byte boundary."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@functools.cache
def fma_peak() -> float:
    """FLOP/s of one core, float32."""
    lib = library()

    def run(rounds: int) -> None:
        lib.fma_chains(ctypes.c_int64(rounds), ctypes.c_float(0.5), ctypes.c_float(1.0))

    return best_rate(run, lib.fma_operations(ctypes.c_int64(1)))


@functools.cache
def bandwidth(kind: str, total_bytes: int) -> float:
    """Bytes per second of a "read", "write", "copy" or "triad" whose arrays take total_bytes together.

    Bytes are those that the loop names: what a store reads into the cache first is not counted.
    """
    return max(best_rate(run, moved) for run, moved in streams(kind, total_bytes))


@functools.cache
def exchange_seconds(nbytes: int) -> float:
    """What it costs to wait for another core and to fetch so many bytes from it. Linux; needs two CPUs."""
    here, there = sorted(os.sched_getaffinity(0))[:2]
    allowed, buffer = os.sched_getaffinity(0), aligned(max(nbytes, 64), np.int8)
    rounds = max(20, min(5000, int(1e8 / (nbytes + 20_000))))
    os.sched_setaffinity(0, {here})
    try:

        def run(repeat: int) -> None:
            arguments = pointer(buffer), ctypes.c_int64(nbytes), ctypes.c_int64(repeat * rounds), ctypes.c_int(there)
            if library().exchange_rounds(*arguments):
                raise RuntimeError("the exchange between two cores needs a second thread")

        return min(_timed(run, 1) for _ in range(RUNS)) / (2 * rounds)
    finally:
        os.sched_setaffinity(0, allowed)


def streams(kind: str, total_bytes: int) -> list[tuple[Callable[[int], object], int]]:
    """The loops of this kind as `run(repeat)`, by whole vectors first, and the bytes that one repeat moves."""
    lib = library()
    n = max(BLOCK, round(total_bytes / BYTES_PER_ELEMENT[kind] / BLOCK) * BLOCK)
    out, a, b = aligned(n), aligned(n), aligned(n)
    a[:] = b[:] = 1.0
    arrays = {"read": (a,), "write": (out,), "copy": (out, a), "triad": (out, a, b)}[kind]
    scale = (ctypes.c_float(0.5),) if kind in ("write", "triad") else ()

    def runner(loop: Callable[..., object]) -> Callable[[int], object]:
        return lambda repeat: loop(*map(pointer, arrays), *scale, ctypes.c_int64(n), ctypes.c_int64(repeat))

    loops = [f"stream_{kind}", f"stream_{kind}_by_halves"]
    if kind != "read":
        loops.append(f"stream_{kind}_past_caches")
    return [(runner(getattr(lib, loop)), n * BYTES_PER_ELEMENT[kind]) for loop in loops]


def best_rate(run: Callable[[int], object], amount: float) -> float:
    """The best amount per second of several timed `run(repeat)`, each of about RUN_SECONDS."""
    repeat = 1
    while (seconds := _timed(run, repeat)) < RUN_SECONDS / 4:
        repeat *= 2
    repeat = max(1, round(repeat * RUN_SECONDS / seconds))
    return amount * repeat / min(_timed(run, repeat) for _ in range(RUNS))


def _timed(run: Callable[[int], object], repeat: int) -> float:
    start = time.perf_counter()
    run(repeat)
    return time.perf_counter() - start
