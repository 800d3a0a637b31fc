"""What kernels and a train step reach on this machine, native beside reference: the table that `tinyres bench` prints.

Native kernels are timed inside a list of calls, as a captured program runs them, on one thread; the reference is NumPy
with as many threads as its BLAS takes. The two take turns, and medians are shown.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyres.backends import native
from tinyres.backends.buffers import ABSENT, Buffer, from_array
from tinyres.backends.numpy import NUMPY
from tinyres.capture import capture
from tinyres.kernels.dtypes import FLOAT32
from tinyres.kernels.record import KERNELS, TRANSPOSE_A, TRANSPOSE_B
from tinyres.launch import backend, info, set_backend
from tinyres.layers.blocks import tutorial
from tinyres.ops.random import Generator
from tinyres.optim import SGD
from tinyres.study.nets import stack

TURNS = 11
TURN_SECONDS = 2e-3

Run = Callable[[], object]


@dataclass(frozen=True)
class KernelRow:
    """One kernel call. outs, ins: sizes of float32 operands, None where absent. work: its FLOPs or bytes."""

    name: str
    kernel: str
    outs: tuple[int, ...]
    ins: tuple[int | None, ...]
    args: tuple[int, ...]
    work: float
    unit: str = "GB/s"
    scalars: tuple[float, ...] = ()
    flags: int = 0


@dataclass(frozen=True)
class Result:
    """Seconds per call on each backend; native is None where there is no C core. unit: of work per nanosecond."""

    name: str
    native: float | None
    reference: float
    work: float
    unit: str


def _matmul(form: str, m: int, n: int, k: int, flags: int = 0) -> KernelRow:
    return KernelRow(
        f"matmul {form} {m}x{k}x{n}", "matmul", (m * n,), (m * k, k * n, None, None), (m, n, k),
        2.0 * m * n * k, "GFLOP/s",
        flags=flags,
    )  # fmt: skip


_N, _ROWS, _COLUMNS = 100_000, 1000, 100

KERNEL_ROWS = [
    _matmul("A·B", 32, 64, 64),
    _matmul("Aᵀ·B", 64, 64, 32, TRANSPOSE_A),
    _matmul("A·Bᵀ", 32, 64, 64, TRANSPOSE_B),
    _matmul("A·B", 128, 128, 128),
    _matmul("A·B", 512, 512, 512),
    KernelRow(f"relu {_N:,}", "relu", (_N,), (_N,), (_N,), 8.0 * _N),
    KernelRow(f"add {_N:,}", "add", (_N,), (_N, _N), (1, _N), 12.0 * _N),
    KernelRow(f"exp {_N:,}", "exp", (_N,), (_N,), (_N,), 8.0 * _N),
    KernelRow(f"tanh {_N:,}", "tanh", (_N,), (_N,), (_N,), 8.0 * _N),
    KernelRow(
        f"batchnorm forward {_ROWS}x{_COLUMNS}", "batchnorm", (_N, _COLUMNS, _COLUMNS), (_N, _COLUMNS, _COLUMNS),
        (_ROWS, _COLUMNS), 8.0 * _N, scalars=(1e-3,),
    ),
    KernelRow(
        f"batchnorm backward {_ROWS}x{_COLUMNS}", "batchnorm_grad", (_N, _COLUMNS, _COLUMNS),
        (_N, _N, _COLUMNS, _COLUMNS, _COLUMNS), (_ROWS, _COLUMNS), 12.0 * _N, scalars=(1e-3,),
    ),
]  # fmt: skip

BATCH, UNITS, BLOCKS = 32, 64, 16


def results(tell: Callable[[str], None] = lambda name: None) -> list[Result]:
    """Measure all rows; `tell` is called with the name of each before it is measured. Takes a few seconds."""
    chosen, threads = backend(), native.threads() if native.AVAILABLE else 0
    try:
        if native.AVAILABLE:
            native.set_threads(1)
        measured = []
        for row in KERNEL_ROWS:
            tell(row.name)
            measured.append(_measure(row.name, *_kernel_runs(row), row.work, row.unit))
        name = f"train step, {BLOCKS} tutorial blocks, {BATCH}x{UNITS}"
        tell(name)
        flops = 3 * 2 * BLOCKS * 2.0 * BATCH * UNITS * UNITS
        ours = _train_step("native") if native.AVAILABLE else None
        measured.append(_measure(name, ours, 1, _train_step("reference"), flops, "GFLOP/s"))
        return measured
    finally:
        set_backend(chosen)
        if native.AVAILABLE:
            native.set_threads(threads)


def machine() -> list[str]:
    """Two lines that say what was measured on what."""
    facts = info()
    return [
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"NumPy {facts['numpy']}",
        f"native {facts.get('isa', facts.get('native core'))}, on one thread",
        f"reference: NumPy, {_blas_threads()}",
    ]


def table(measured: list[Result]) -> str:
    """The results as text, 80 columns wide."""
    lines = [f"{'kernel':<43}{'unit':>8}{'native':>9}{'rate':>7}{'NumPy':>10}{'faster':>7}"]
    for r in measured:
        rate = f"{r.work / r.reference / 1e9:>10.1f}"
        ours, ratio = f"{'-':>16}", ""
        if r.native is not None:
            ours = f"{_duration(r.native):>9} {r.work / r.native / 1e9:>6.1f}"
            ratio = f"{r.reference / r.native:>6.1f}x"
        lines.append(f"{r.name:<43}{r.unit:>8}{ours}{rate}{ratio}".rstrip())
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def _kernel_runs(row: KernelRow) -> tuple[Run | None, int, Run]:
    """The native list of calls, how many it has, and one reference call."""
    rng = np.random.default_rng(0)

    def buffer(size: int | None) -> Buffer:
        if size is None:
            return ABSENT
        values = from_array(rng.standard_normal(size), FLOAT32)
        np.abs(values.array, out=values.array)  # a variance is an operand of some
        return values

    kernel = KERNELS[row.kernel]
    outs, ins = [buffer(size) for size in row.outs], [buffer(size) for size in row.ins]

    def reference() -> object:
        return NUMPY.run([(kernel, outs, ins, row.args, row.scalars, row.flags)])

    if not native.AVAILABLE:
        return None, 1, reference
    addresses = [b.address for b in (*outs, *ins)]
    call = kernel.pack(kernel.native_id, row.flags, 0, *addresses, *row.args, *row.scalars)
    count = max(1, min(100, int(1e7 / row.work)))
    calls = call * count
    return (lambda: native.run(calls, count)), count, reference


def _train_step(on: str) -> Run:
    """One captured step of `Model.fit` on this backend."""
    model = stack(tutorial, BLOCKS, UNITS, UNITS, 10)
    model.compile(SGD(lr=0.01, momentum=0.9), loss="sparse_categorical_crossentropy")
    rng = Generator(0).numpy()
    x, y = rng.standard_normal((BATCH, UNITS)), rng.integers(0, 10, BATCH)
    step = capture(model.train_step)

    def run() -> object:
        set_backend(on)
        return step(x, y)

    return run


def _measure(name: str, ours: Run | None, count: int, reference: Run, work: float, unit: str) -> Result:
    runs = [run for run in (ours, reference) if run is not None]
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()  # a captured step is recorded at its first call
    repeats = [max(1, round(TURN_SECONDS / _seconds(run, 1))) for run in runs]
    for _ in range(TURNS):
        for run, repeat, kept in zip(runs, repeats, times):
            kept.append(_seconds(run, repeat))
    medians = [statistics.median(kept) for kept in times]
    return Result(name, medians[0] / count if ours is not None else None, medians[-1], work, unit)


def _seconds(run: Run, repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        run()
    return (time.perf_counter() - start) / repeat


def _blas_threads() -> str:
    """How many threads NumPy's matrix products take, as far as the environment tells."""
    chosen = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    if chosen:
        return f"on {chosen} BLAS threads"
    return "on as many threads as its BLAS takes (OPENBLAS_NUM_THREADS=1 for one)"
