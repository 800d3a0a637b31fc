"""Every kernel that a train step is made of, in a list of calls, beside NumPy, PyTorch and JAX in the same run.

Rows: "native" is one call of a list that C walks, as in a captured program; "reference" is the same kernel on the
NumPy backend, "numpy" the shortest NumPy code for it; "openblas in C" is NumPy's own OpenBLAS called from a C loop, so
without any Python call. What a single call from Python costs has a group of its own.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import peers
import pytest
import roofline
from call_list import CallList
from rows import ROWS, Row

import tinyres as tr
from tinyres.backends import native
from tinyres.kernels.record import KERNELS, TRANSPOSE_A, TRANSPOSE_B

CONTENDERS = ["native", "native, 2 threads", "reference", "numpy", "torch", "jax", "openblas in C"]
TWO_THREADS_FROM = {"fma": 1e8, "copy": 4e6, "triad": 4e6, "read": 4e6, "write": 4e6}  # FLOPs or bytes

row_of = functools.lru_cache(maxsize=1)(lambda group: ROWS[group]())  # the contenders of a group share its operands


@pytest.fixture
def two_threads() -> Iterator[None]:
    yield
    if native.AVAILABLE:
        native.set_threads(1)


@pytest.mark.parametrize(
    ("group", "who"),
    [(g, w) for g in ROWS for w in CONTENDERS if w != "openblas in C" or g.startswith(("matmul", "vector"))],
)
def test_kernel(measure: Any, two_threads: None, group: str, who: str) -> None:
    row = row_of(group)
    run, calls = contender(row, who)
    amount = {"flops" if row.limit == "fma" else "nbytes": row.work}
    role = {"native": "ours", "reference": "", "native, 2 threads": ""}.get(who, "peer")
    measure(who, run, group=group, role=role, calls=calls, limit=row.most_per_second, **amount)


def contender(row: Row, who: str) -> tuple[Callable[[], object], int]:
    """What is timed, and how many calls it makes."""
    if who.startswith("native"):
        if not native.AVAILABLE:
            pytest.skip("the C core was not built")
        if who == "native, 2 threads":
            if row.work < TWO_THREADS_FROM[row.limit] or len(os.sched_getaffinity(0)) < 2:
                pytest.skip("too little work, or one CPU")
            native.set_threads(2)
        calls = CallList(row.kernel, row.outs, row.ins, row.args, row.scalars, row.flags)
        return calls, calls.calls
    if who == "reference":
        kernel = KERNELS[row.kernel].reference
        operands = [None if a is None else a.copy().ravel() for a in (*row.outs, *row.ins)]
        return lambda: kernel(*operands, *row.args, *row.scalars, flags=row.flags), 1
    if who == "openblas in C":
        return openblas(row)
    if not peers.installed(who):
        pytest.skip(f"{who} is not installed")
    return row.peers[who](), 1


def openblas(row: Row) -> tuple[Callable[[], object], int]:
    sgemm = peers.openblas_sgemm()
    if sgemm is None:
        pytest.skip("NumPy has another BLAS here")
    a, b, out = row.ins[0], row.ins[1], np.empty_like(row.outs[0])
    transposes = [bool(row.flags & flag) for flag in (TRANSPOSE_A, TRANSPOSE_B)]
    sizes = [ctypes.c_int64(size) for size in row.args]
    calls = max(1, min(1000, int(1e7 / (2 * np.prod(row.args)))))

    def run() -> None:
        operands = map(roofline.pointer, (a, b, out))
        roofline.library().repeat_sgemm(sgemm, *transposes, *sizes, *operands, ctypes.c_int64(calls))

    run()
    left, right = a.T if transposes[0] else a, b.T if transposes[1] else b
    np.testing.assert_allclose(out, left @ right, rtol=1e-3, atol=1e-3)
    return run, calls


@pytest.mark.parametrize("who", ["tinyres", "numpy", "torch", "jax"])
def test_call_from_python(measure: Any, who: str) -> None:
    array = np.random.default_rng(0).standard_normal((8, 8), np.float32)
    if not peers.installed(who):
        pytest.skip(f"{who} is not installed")
    make = {
        "tinyres": tr.tensor,
        "numpy": np.array,
        "torch": lambda a: peers.load("torch").from_numpy(a),
        "jax": lambda a: peers.load("jax").numpy.asarray(a),
    }[who]
    a, b = make(array), make(array)
    wait = getattr(a @ b, "block_until_ready", None)
    run = (lambda: (a @ b).block_until_ready()) if wait else (lambda: a @ b)
    measure(who, run, group="python-call a @ b of 8x8", role="ours" if who == "tinyres" else "peer")
