"""A step of an embedding: rows by number, their gradient into the table, and Adam over all of the table.

    python3 bench/embedding.py

Adam moves rows that no id has named too, by what their means still hold, and lets the means decay: it has to touch
the whole table in every step, and so has the gradient. To leave such rows out (as PyTorch's SparseAdam does) is another
rule with other results, which is why there is none here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import one_thread  # noqa: F401  before NumPy

import numpy as np  # isort: skip
import peers

import tinyres as tr
from tinyres import kernels
from tinyres.backends.buffers import Buffer, from_array
from tinyres.kernels.dtypes import FLOAT32, FLOAT64, INT64
from tinyres.launch import launch

TABLES = ((66, 128), (50_257, 128), (50_257, 768))
IDS, TURNS = 2048, 15


def ours(classes: int, width: int, ids: np.ndarray, rows: np.ndarray) -> dict[str, Callable[[], Any]]:
    table, m, v, gradient = (from_array(np.zeros(classes * width), FLOAT32) for _ in range(4))
    number, of_rows, out = from_array(ids, INT64), from_array(rows, FLOAT32), Buffer(rows.size, FLOAT32)
    hyper = from_array(np.array([1e-3, 0.9, 0.999, 1e-8, 0.0, 1.0, 1.0, np.inf]), FLOAT64)
    sizes = 1, len(ids), width, classes
    return {
        "gather": lambda: launch(kernels.gather_rows, (out,), (table, number), sizes, (), 4),
        "scatter": lambda: launch(kernels.scatter_rows, (gradient,), (of_rows, number), sizes),
        "adam": lambda: launch(kernels.adam, (table, m, v), (gradient, hyper), (table.size,)),
    }


def theirs(classes: int, width: int, ids: np.ndarray, rows: np.ndarray) -> dict[str, Callable[[], Any]]:
    if not peers.installed("torch"):
        return {}
    torch = peers.load("torch")
    table, number, of_rows = torch.zeros(classes, width), torch.tensor(ids), torch.tensor(rows)
    table.grad = torch.zeros_like(table)
    adam = torch.optim.Adam([table], fused=True)
    backward = torch.ops.aten.embedding_dense_backward
    return {
        "gather": lambda: torch.nn.functional.embedding(number, table),
        "scatter": lambda: backward(of_rows, number, classes, -1, False),
        "adam": adam.step,
    }


def median(run: Callable[[], Any]) -> float:
    times = []
    for turn in range(TURNS + 2):
        start = time.perf_counter()
        run()
        if turn > 1:
            times.append(1e6 * (time.perf_counter() - start))
    return float(np.median(times))


def main() -> None:
    print(f"{tr.info()['isa']}; {peers.versions()}; one thread, {IDS} ids, medians of {TURNS} turns, µs (PyTorch's)")
    print(f"{'table':<16}" + "".join(f"{part:>20}" for part in ("gather", "scatter", "adam")))
    for classes, width in TABLES:
        rng = np.random.default_rng(0)
        ids, rows = rng.integers(0, classes, IDS), rng.normal(size=(IDS, width)).astype(np.float32)
        mine, other = ours(classes, width, ids, rows), theirs(classes, width, ids, rows)
        told = [f"{median(mine[p]):,.0f}" + (f" ({median(other[p]):,.0f})" if other else "") for p in mine]
        print(f"{classes:,} x {width:<6}" + "".join(f"{each:>20}" for each in told))


if __name__ == "__main__":
    main()
