"""Cases of products of many matrices: lines that follow one another or not, shared operands, steps of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinyres.kernels.record import ACCUMULATE, TRANSPOSE_A, TRANSPOSE_B

from .operands import ULP, Array, Case, floats, poison


class Batch(NamedTuple):
    """outer x inner products (m, k) @ (k, n); inside: the inner matrices lie side by side in each line.

    shared: the operands of which the outer ("A", "B") or inner ("a", "b") matrices are one.
    """

    m: int
    n: int
    k: int
    outer: int
    inner: int
    inside: bool = False
    shared: str = ""

    def steps(self, rows: int, columns: int, letter: str) -> tuple[tuple[int, int, int], int]:
        """How far matrices and lines are apart, and how many elements there are."""
        outer = 1 if letter.upper() in self.shared else self.outer
        inner = 1 if letter.lower() in self.shared else self.inner
        line = inner * columns if self.inside else columns
        apart = columns if self.inside else rows * columns
        steps = inner * rows * columns if outer > 1 else 0, apart if inner > 1 else 0, line
        return steps, outer * inner * rows * columns


BATCHES = (
    Batch(1, 1, 1, 1, 1),
    Batch(5, 7, 3, 2, 3),
    Batch(5, 7, 3, 2, 3, inside=True),
    Batch(33, 34, 16, 2, 4, inside=True),
    Batch(64, 64, 32, 2, 2, inside=True),
    Batch(17, 1, 20, 2, 3),  # dot products
    Batch(17, 1, 20, 2, 3, inside=True),
    Batch(1, 19, 20, 3, 2, inside=True),
    Batch(1, 1, 40, 2, 2, inside=True),
    Batch(7, 3, 1, 2, 2, inside=True),
    Batch(9, 5, 150, 2, 2, inside=True),  # k in two halves, if nothing is transposed
    Batch(3, 18, 600, 1, 2, inside=True),  # and in blocks
    Batch(4, 6, 5, 3, 2, shared="A"),
    Batch(4, 6, 5, 3, 2, shared="b"),
    Batch(4, 6, 5, 3, 2, inside=True, shared="Ab"),
    Batch(4, 6, 5, 3, 2, shared="aBb"),
    Batch(70, 80, 1100, 1, 1, inside=True),
    Batch(130, 300, 300, 1, 2, inside=True),  # a large b
    Batch(3, 4, 0, 2, 2),
    Batch(0, 4, 3, 2, 2),
    Batch(3, 0, 3, 2, 2, inside=True),
    Batch(3, 4, 3, 0, 2),
)
LARGE_BATCH = Batch(40, 33, 20, 5, 3, inside=True)


def _case(rng: np.random.Generator, batch: Batch, flags: int) -> Case:
    m, n, k, outer, inner, *_ = batch
    a_steps, a_size = batch.steps(*((k, m) if flags & TRANSPOSE_A else (m, k)), "a")
    b_steps, b_size = batch.steps(*((n, k) if flags & TRANSPOSE_B else (k, n)), "b")
    out_steps, out_size = batch.steps(m, n, "out")
    before: Array = floats(rng, out_size) if flags & ACCUMULATE else poison(out_size)
    args = (m, n, k, outer, inner, *a_steps, *b_steps, *out_steps)
    atol = 2.25 * (k + 1) * ULP * (1 + np.sqrt(k)) / 2  # as for matmul
    return Case("matmul_batch", [before], [floats(rng, a_size), floats(rng, b_size)], args, (), flags, 4 * ULP, atol)


def _cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for batch in BATCHES:
        for flags in (0, TRANSPOSE_A, TRANSPOSE_B, TRANSPOSE_A | TRANSPOSE_B):
            yield _case(rng, batch, flags)
            yield _case(rng, batch, flags | ACCUMULATE)


CASES: dict[str, Any] = {"matmul_batch": _cases}
LARGE: dict[str, Any] = {"matmul_batch": lambda name, rng: _case(rng, LARGE_BATCH, 0)}
