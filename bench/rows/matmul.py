"""Matrix products: square, and the three of a Dense layer, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rows.row import Row, Rows, Run, empty, in_jax, in_torch, normal
from tinyres.kernels.record import TRANSPOSE_A, TRANSPOSE_B

MATMULS = [  # batch, inputs, outputs of a Dense; with its three products where True
    (8, 8, 8, False),
    (16, 16, 16, False),
    (32, 32, 32, False),
    (64, 64, 64, True),
    (65, 65, 65, False),  # a multiple of nothing, and the next multiple of a vector
    (80, 80, 80, False),
    (32, 64, 64, True),
    (128, 128, 128, True),
    (256, 784, 256, True),
    (512, 512, 512, False),
    (1024, 1024, 1024, False),
    (2048, 2048, 2048, False),
]


def matmul_rows() -> Rows:
    for batch, inputs, outputs, training in MATMULS:
        yield named("A·B", batch, outputs, inputs, 0)
        if training:
            yield named("Aᵀ·B", inputs, outputs, batch, TRANSPOSE_A)
            yield named("A·Bᵀ", batch, inputs, outputs, TRANSPOSE_B)
    for m, n, k in ((1, 1024, 1024), (1024, 1, 1024), (1024, 1024, 1)):
        yield f"vector A·B {m}x{k}x{n}", partial(vector_row, m, n, k)


def named(form: str, m: int, n: int, k: int, flags: int) -> tuple[str, Callable[[], Row]]:
    return f"matmul {form} {m}x{k}x{n}", partial(matmul_row, m, n, k, flags)


def vector_row(m: int, n: int, k: int) -> Row:
    """A product with a side of 1: as fast as its operands come out of memory."""
    row = matmul_row(m, n, k, 0)
    row.limit, row.work = ("write" if k == 1 else "read"), 4.0 * (m * k + k * n + m * n)
    return row


def matmul_row(m: int, n: int, k: int, flags: int) -> Row:
    a = normal(k, m) if flags & TRANSPOSE_A else normal(m, k)
    b = normal(n, k) if flags & TRANSPOSE_B else normal(k, n)
    out, out_torch = empty(m, n), empty(m, n)

    def turned(a: Any, b: Any) -> tuple[Any, Any]:
        return a.T if flags & TRANSPOSE_A else a, b.T if flags & TRANSPOSE_B else b

    def numpy() -> Run:
        left, right = turned(a, b)
        return lambda: np.matmul(left, right, out=out)

    def torch(torch: Any, a: Any, b: Any, out: Any) -> Run:
        left, right = turned(a, b)
        return lambda: torch.mm(left, right, out=out)

    def jax(jax: Any) -> Callable[..., Any]:
        return lambda a, b: jax.numpy.matmul(*turned(a, b))

    return Row(
        "matmul", [empty(m, n)], [a, b, None, None], (m, n, k), flags=flags,
        peers={"numpy": numpy, "torch": in_torch(torch, a, b, out_torch), "jax": in_jax(jax, a, b)},
        limit="fma", work=2.0 * m * n * k,
    )  # fmt: skip
