"""Matrix products: of two matrices, and of many at once that may lie in any order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinyres.kernels.forms import BROADCAST, FLUSHES, PRODUCT, Epilogues
from tinyres.kernels.record import (
    ACCUMULATE,
    HALF_OF_K,
    RELU,
    SHARE_UNIT,
    TRANSPOSE_A,
    TRANSPOSE_B,
    Array,
    Kernel,
    kernel,
)
from tinyres.kernels.sharing import COLUMNS, EVERY, OWN, ROWS, UNDIVIDED, Columns, Cut, Sharing


class _ByColumnsOfB(Sharing):
    """A worker makes columns of the output from all of a and its columns of b; or rows of it, where a is transposed.

    With HALF_OF_K each of two sums over its part of k instead: the columns of a, the rows of b.
    """

    def by_columns(self, kernel: Kernel, args: Sequence[int], flags: int) -> Cut | None:
        m, n, k = args
        if flags & HALF_OF_K:
            return Cut(k, (COLUMNS, ROWS, OWN, OWN))
        if m == 1:  # the kernel goes by dot products
            return None
        return Cut(n, (EVERY, ROWS if flags & TRANSPOSE_B else OWN, OWN, OWN))

    def by_rows(self, kernel: Kernel, args: Sequence[int], flags: int) -> Cut | None:
        m, n, _ = args
        transposed = flags & (TRANSPOSE_A | TRANSPOSE_B)
        if transposed != TRANSPOSE_A or n == 1 or flags & HALF_OF_K:
            return None
        return Cut(m, (COLUMNS, EVERY, EVERY, OWN))  # the columns of a are the rows of the output


@kernel(
    "f",
    "fff",
    "rows cols",
    form=BROADCAST,
    in_place=False,
    flush=FLUSHES,
    sharing=Columns("cols", every="a b"),
    epilogues=Epilogues(relu=True),
)
def join_halves(out: Array, a: Array, b: Array, bias: Array, rows: int, cols: int, *, flags: int) -> None:
    """out = a + b (+ bias[cols]): what matmul does behind its sum, for two halves of it. bias may be absent."""
    np.add(a, b, out=out)
    if bias is not None:
        out.reshape(rows, cols)[...] += bias
    if flags & RELU:
        np.maximum(out, 0, out=out)


@kernel(
    "f",
    "ffff",
    "m n k",
    form=PRODUCT,
    sharing=_ByColumnsOfB(),
    epilogues=Epilogues(relu=True, accumulate=True, depth="k", bias="bias", mask="mask"),
    halves=join_halves,
)
def matmul(out: Array, a: Array, b: Array, bias: Array, mask: Array, m: int, n: int, k: int, *, flags: int) -> None:
    """out[m, n] = op(a) @ op(b) (+ bias[n]), where op transposes what the flags say; at last 0 where mask[m, n] <= 0.

    bias and mask may be absent. With HALF_OF_K the sums of the two halves of k, one behind the other, for join_halves.
    """
    if flags & HALF_OF_K:
        first = SHARE_UNIT * -(-k // (2 * SHARE_UNIT))
        halves, a, b = out.reshape(2, m, n), a.reshape(m, k), b.reshape(k, n)
        np.matmul(a[:, :first], b[:first], out=halves[0])
        np.matmul(a[:, first:], b[first:], out=halves[1])
        return
    out = out.reshape(m, n)
    a = a.reshape(k, m).T if flags & TRANSPOSE_A else a.reshape(m, k)
    b = b.reshape(n, k).T if flags & TRANSPOSE_B else b.reshape(k, n)
    if flags & ACCUMULATE:
        out += a @ b
    else:
        np.matmul(a, b, out=out)
    if bias is not None:
        out += bias
    if flags & RELU:
        np.maximum(out, 0, out=out)
    if mask is not None:
        out[mask.reshape(m, n) <= 0] = 0


@kernel(
    "f",
    "ff",
    "m n k outer inner a_outer a_inner a_line b_outer b_inner b_line out_outer out_inner out_line",
    form=PRODUCT,
    sharing=UNDIVIDED,
    work="m n k outer inner",
    epilogues=Epilogues(accumulate=True, depth="k"),
)
def matmul_batch(
    out: Array, a: Array, b: Array, m: int, n: int, k: int, outer: int, inner: int, *steps: int, flags: int
) -> None:
    """out[i, j] = op(a[i, j]) @ op(b[i, j]) for i < outer, j < inner, where op transposes what the flags say.

    Matrix (i, j) of an operand begins i * outer step + j * inner step behind its first element, and its lines, as they
    are stored, are a line step apart. Steps of 0 share one matrix.
    """

    def matrices(x: Array, at: int, rows: int, columns: int) -> Array:
        strides = [step * x.itemsize for step in (*steps[at : at + 3], 1)]
        return as_strided(x, (outer, inner, rows, columns), strides)

    left = matrices(a, 0, k, m).swapaxes(-1, -2) if flags & TRANSPOSE_A else matrices(a, 0, m, k)
    right = matrices(b, 3, n, k).swapaxes(-1, -2) if flags & TRANSPOSE_B else matrices(b, 3, k, n)
    target = matrices(out, 6, m, n)
    target[...] = target + left @ right if flags & ACCUMULATE else left @ right
