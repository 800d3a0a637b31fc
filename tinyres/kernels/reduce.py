"""Reductions over the middle axis of outer x n x inner, or over the columns of rows x columns."""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import REDUCTION, Epilogues
from tinyres.kernels.record import ACCUMULATE, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED, Columns


@kernel(
    "f", "f", "outer n inner", "scale", form=REDUCTION, sharing=Columns("inner"), epilogues=Epilogues(accumulate=True)
)
def sum(out: Array, x: Array, outer: int, n: int, inner: int, scale: float, *, flags: int) -> None:
    # NumPy sums pairwise only along contiguous items; elsewhere float64 stands in for it.
    dtype = x.dtype if inner == 1 else np.float64
    total = x.reshape(outer, n, inner).sum(axis=1, dtype=dtype).reshape(-1) * scale
    if flags & ACCUMULATE:
        out += total.astype(out.dtype, copy=False)
    else:
        out[...] = total


@kernel("f", "f", "outer n inner", form=REDUCTION, sharing=UNDIVIDED)
def max(out: Array, x: Array, outer: int, n: int, inner: int, *, flags: int) -> None:
    np.max(x.reshape(outer, n, inner), axis=1, out=out.reshape(outer, inner))


@kernel("f", "f", "outer n inner", form=REDUCTION, sharing=UNDIVIDED)
def min(out: Array, x: Array, outer: int, n: int, inner: int, *, flags: int) -> None:
    np.min(x.reshape(outer, n, inner), axis=1, out=out.reshape(outer, inner))


@kernel("l", "f", "rows cols", form=REDUCTION, sharing=UNDIVIDED)
def argmax(out: Array, x: Array, rows: int, cols: int, *, flags: int) -> None:
    """The first maximum of each row; NaN counts as the maximum."""
    out[...] = np.argmax(x.reshape(rows, cols), axis=1)


@kernel("f", "fl", "rows cols", form=REDUCTION, sharing=UNDIVIDED)
def accuracy(out: Array, x: Array, labels: Array, rows: int, cols: int, *, flags: int) -> None:
    """The share of rows whose (first) maximum stands at the label."""
    hits = np.count_nonzero(np.argmax(x.reshape(rows, cols), axis=1) == labels)
    out[0] = np.divide(hits, rows)


@kernel("D", "f", "n", form=REDUCTION, sharing=UNDIVIDED)
def sum_squares(out: Array, x: Array, n: int, *, flags: int) -> None:
    """Add the sum of squares, in float64, to what `out` holds."""
    x = x.astype(np.float64, copy=False)
    out[0] += np.dot(x, x)
