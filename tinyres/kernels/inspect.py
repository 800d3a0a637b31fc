"""Kernels that look at values: statistics for traces, and checks that stop a list of calls."""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import CHECK, REDUCTION
from tinyres.kernels.record import IGNORES, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED


@kernel("d", "f", "n", form=REDUCTION, sharing=UNDIVIDED)
def stats(out: Array, x: Array, n: int, *, flags: int) -> None:
    """out[8] = sum, sum of squares, max |x| (ignoring NaN), zeros, NaNs, infinities, 0, 0."""
    x = x.astype(np.float64, copy=False)
    out[0] = x.sum()
    out[1] = np.dot(x, x)
    out[2] = np.fmax.reduce(np.abs(x), initial=0)
    out[3] = np.count_nonzero(x == 0)
    out[4] = np.count_nonzero(np.isnan(x))
    out[5] = np.count_nonzero(np.isinf(x))
    out[6:] = 0


@kernel("d", "ff", "n", form=REDUCTION, sharing=UNDIVIDED)
def dot(out: Array, x: Array, y: Array, n: int, *, flags: int) -> None:
    out[0] = np.dot(x.astype(np.float64, copy=False), y.astype(np.float64, copy=False))


@kernel("", "l", "n classes ignored", form=CHECK)
def check_labels(labels: Array, n: int, classes: int, ignored: int, *, flags: int) -> bool:
    """Fails where a label lies outside 0..classes-1; with IGNORES `ignored` may stand there too."""
    wrong = (labels < 0) | (labels >= classes)
    return bool(np.any(wrong & (labels != ignored) if flags & IGNORES else wrong))


@kernel("", "f", "n", form=CHECK)
def check_finite(x: Array, n: int, *, flags: int) -> bool:
    """Fails where a value is NaN or infinite."""
    return not np.isfinite(x).all()
