"""Matrix product."""

from __future__ import annotations

import numpy as np

from tinyres.backends.kernels import ACCUMULATE, RELU, TRANSPOSE_A, TRANSPOSE_B, Array, kernel


@kernel("f", "ffff", "m n k")
def matmul(out: Array, a: Array, b: Array, bias: Array, mask: Array, m: int, n: int, k: int, *, flags: int) -> None:
    """out[m, n] = op(a) @ op(b) (+ bias[n]), where op transposes what the flags say; at last 0 where mask[m, n] <= 0.

    bias and mask may be absent.
    """
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
