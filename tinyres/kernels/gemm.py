"""Matrix product."""

from __future__ import annotations

import numpy as np

from tinyres.kernels.record import ACCUMULATE, HALF_OF_K, RELU, SHARE_UNIT, TRANSPOSE_A, TRANSPOSE_B, Array, kernel


@kernel("f", "ffff", "m n k")
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


@kernel("f", "fff", "rows cols")
def join_halves(out: Array, a: Array, b: Array, bias: Array, rows: int, cols: int, *, flags: int) -> None:
    """out = a + b (+ bias[cols]): what matmul does behind its sum, for two halves of it. bias may be absent."""
    np.add(a, b, out=out)
    if bias is not None:
        out.reshape(rows, cols)[...] += bias
    if flags & RELU:
        np.maximum(out, 0, out=out)
