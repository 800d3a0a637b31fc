"""The pool of the C core: same bits for any number of threads, forked children, many callers, limited CPUs.

The tests pack calls themselves and go straight to `tinyres._core`, so that only the core is under test.
"""

from __future__ import annotations

import importlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

core = importlib.import_module("tinyres._core")
lib = core.lib

CALL = struct.Struct("4i10Q24q4d")
ACCUMULATE, RELU = lib.TR_ACCUMULATE, lib.TR_RELU


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    before = lib.tr_get_threads()
    yield
    lib.tr_set_threads(before)


def pack(kernel: int, arrays: list[np.ndarray | None], sizes: tuple[int, ...], flags: int = 0) -> bytes:
    """One call: outputs, then inputs; None where an operand is absent."""
    pointers = [0 if array is None else array.ctypes.data for array in arrays]
    pointers += [0] * (lib.TR_POINTERS - len(pointers))
    arguments = [*sizes, *[0] * (lib.TR_ARGS - len(sizes))]
    return CALL.pack(kernel, flags, 0, 0, *pointers, *arguments, *[0.0] * lib.TR_SCALARS)


def run(*calls: bytes) -> int:
    return int(lib.tr_run(b"".join(calls), len(calls)))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


SHAPES = [
    (64, 64, 64),
    (129, 67, 65),
    (1, 3000, 400),
    (3000, 1, 400),
    (500, 3, 300),
    (40, 1030, 90),
    (300, 260, 1100),
    (1000, 20, 600),
]


@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
@pytest.mark.parametrize("flags", [0, 1, 2, 3, ACCUMULATE | RELU])
def test_matmul_has_the_same_bits_for_any_number_of_threads(m: int, n: int, k: int, flags: int) -> None:
    a, b, bias, start = normal(m * k), normal(k * n), normal(n), normal(m * n)
    results = []
    for threads in (1, 2, 3, 7):
        lib.tr_set_threads(threads)
        out = start.copy()
        assert run(*[pack(lib.TR_ID_matmul, [out, a, b, bias], (m, n, k), flags)] * 2) == -1
        results.append(out.tobytes())
    left = a.reshape(k, m).T if flags & 1 else a.reshape(m, k)
    right = b.reshape(n, k).T if flags & 2 else b.reshape(k, n)
    expected = left.astype(np.float64) @ right + bias
    if flags & ACCUMULATE:
        expected = np.maximum(expected + np.maximum(expected + start.reshape(m, n), 0), 0)
    result = np.frombuffer(results[0], np.float32).reshape(m, n)
    np.testing.assert_allclose(result, expected, atol=1e-5 * k, rtol=0)
    assert results == results[:1] * 4


def test_long_list_of_wide_and_narrow_calls_has_the_same_bits() -> None:
    x, w, v = normal(256, 256), normal(256, 256) / 16, normal(8, 8)
    results = []
    for threads in (1, 2, 3):
        lib.tr_set_threads(threads)
        wide, narrow = np.zeros((2, 256, 256), np.float32), np.zeros((8, 8), np.float32)
        calls = []
        for i in range(40):
            out, source = wide[i % 2], wide[1 - i % 2] if i else x
            calls.append(pack(lib.TR_ID_matmul, [out, source, w, None], (256, 256, 256)))
            corner = out.reshape(-1)[:64]  # of what all workers have just written
            calls.append(pack(lib.TR_ID_matmul, [narrow, corner, v, None], (8, 8, 8), ACCUMULATE))
        assert run(*calls) == -1
        results.append(wide.tobytes() + narrow.tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [10, 300_000])
def test_a_failed_check_stops_the_list(threads: int, count: int) -> None:
    lib.tr_set_threads(threads)
    a, b = normal(256, 256), normal(256, 256)
    before, after = np.zeros((256, 256), np.float32), np.zeros((256, 256), np.float32)
    labels = np.zeros(count, np.int64)
    labels[count // 3] = 10
    calls = [
        pack(lib.TR_ID_matmul, [before, a, b, None], (256, 256, 256)),
        pack(lib.TR_ID_check_labels, [labels], (count, 10, 0)),
        pack(lib.TR_ID_matmul, [after, a, b, None], (8, 8, 8)),
        pack(lib.TR_ID_matmul, [after, a, b, None], (256, 256, 256)),
        pack(lib.TR_ID_matmul, [after, a, b, None], (8, 8, 8)),
    ]
    for _ in range(20):
        assert run(*calls) == 1
        assert run(*calls[1:]) == 0
    assert before.any() and not after.any()
    labels[count // 3] = 9
    assert run(*calls) == -1
    assert after.any()


def test_unknown_kernels_are_refused_after_what_stands_before_them() -> None:
    a, out = normal(256, 256), np.zeros((256, 256), np.float32)
    first = pack(lib.TR_ID_matmul, [out, a, a, None], (256, 256, 256))
    for threads in (1, 2):
        lib.tr_set_threads(threads)
        for kernel in (-1, lib.TR_KERNEL_COUNT):
            out[:] = 0
            assert run(first, pack(kernel, [], ()), first) == 1
            assert out.any()
    assert run() == -1


def test_many_python_threads_may_run_lists_at_once() -> None:
    lib.tr_set_threads(3)
    a, b = normal(300, 300), normal(300, 300)
    expected = np.zeros((300, 300), np.float32)
    assert run(pack(lib.TR_ID_matmul, [expected, a, b, None], (300, 300, 300))) == -1
    wrong: list[str] = []

    def work() -> None:
        out = np.zeros((300, 300), np.float32)
        for _ in range(10):
            out[:] = 0
            status = run(*[pack(lib.TR_ID_matmul, [out, a, b, None], (300, 300, 300))] * 2)
            if status != -1 or out.tobytes() != expected.tobytes():
                wrong.append(f"status {status}")

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_the_number_of_threads_is_what_was_set() -> None:
    assert lib.tr_set_threads(3) == lib.tr_get_threads() == 3
    assert lib.tr_set_threads(0) == lib.tr_get_threads() >= 1


def run_script(body: str) -> str:
    """The output of a fresh process that has `lib`, `pack`, `run` and `normal` of this file."""
    prelude = "from test_threads import *\n"
    # Python warns of every fork with threads alive; that is what is under test.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", prelude + body]
    places = [str(Path(core.__file__).parents[1]), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = """
lib.tr_set_threads(3)
a, out = normal(300, 300), np.zeros((300, 300), np.float32)
calls = [pack(lib.TR_ID_matmul, [out, a, a, None], (300, 300, 300))] * 3
stop = False
def keep_busy():
    mine = np.zeros((300, 300), np.float32)
    while not stop:
        run(*[pack(lib.TR_ID_matmul, [mine, a, a, None], (300, 300, 300))] * 3)
others = [threading.Thread(target=keep_busy) for _ in range(BUSY)]
for other in others:
    other.start()
assert run(*calls) == -1
expected = out.tobytes()
for _ in range(8):
    child = os.fork()
    if child == 0:
        out[:] = 0
        good = run(*calls) == -1 and out.tobytes() == expected
        os._exit(0 if good and lib.tr_get_threads() == 1 and lib.tr_set_threads(2) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
out[:] = 0
assert run(*calls) == -1 and out.tobytes() == expected and lib.tr_get_threads() == 3
stop = True
for other in others:
    other.join()
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("busy", [0, 2])
def test_a_forked_child_runs_alone_and_right(busy: int) -> None:
    assert run_script(FORK.replace("BUSY", str(busy))) == "done\n"


if sys.platform == "linux":

    @pytest.mark.slow
    def test_the_affinity_mask_limits_the_threads() -> None:
        one = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(lib.tr_set_threads(0))"
        assert run_script(one) == "1\n"
