"""Softmax over the columns, and its cross-entropy with integer labels. The row maximum is subtracted first."""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import NORMALISATION
from tinyres.kernels.record import IGNORES, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED


def _shifted(x: Array, rows: int, cols: int) -> Array:
    x = x.reshape(rows, cols)
    return x - x.max(axis=1, keepdims=True, initial=-np.inf)


@kernel("f", "f", "rows cols", form=NORMALISATION, sharing=UNDIVIDED)
def softmax(out: Array, x: Array, rows: int, cols: int, *, flags: int) -> None:
    weights = np.exp(_shifted(x, rows, cols))
    out.reshape(rows, cols)[...] = weights / weights.sum(axis=1, keepdims=True)


@kernel("f", "f", "rows cols", form=NORMALISATION, sharing=UNDIVIDED)
def log_softmax(out: Array, x: Array, rows: int, cols: int, *, flags: int) -> None:
    shifted = _shifted(x, rows, cols)
    out.reshape(rows, cols)[...] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _counted(labels: Array, ignored: int, flags: int) -> Array:
    return labels != ignored if flags & IGNORES else np.full(labels.shape, True)


@kernel(
    "ff", "fl", "rows cols ignored", "smoothing", form=NORMALISATION, sharing=UNDIVIDED, work="rows cols"
)  # fmt: skip
def softmax_cross_entropy(
    loss: Array,
    probabilities: Array,
    logits: Array,
    labels: Array,
    rows: int,
    cols: int,
    ignored: int,
    smoothing: float,
    *,
    flags: int,
) -> None:
    """loss[0] = mean over the rows that count of logsumexp(logits) - the logits' mean over the target; 0 if none does.

    The target is the label by 1 - smoothing, and all classes alike by the rest. Labels must lie in 0..cols-1, or with
    IGNORES be `ignored`: such rows do not count.
    """
    counted = _counted(labels, ignored, flags)
    shifted = _shifted(logits, rows, cols)
    weights = np.exp(shifted)
    totals = weights.sum(axis=1)
    probabilities.reshape(rows, cols)[...] = weights / totals[:, None]
    of_target = shifted[np.arange(rows), np.where(counted, labels, 0)]
    if smoothing:
        of_target = (1 - smoothing) * of_target + smoothing * shifted.mean(axis=1, dtype=np.float64)
    losses = np.log(totals) - of_target
    loss[0] = losses[counted].sum(dtype=np.float64) / max(np.count_nonzero(counted), 1)


@kernel(
    "f", "flf", "rows cols ignored", "smoothing", form=NORMALISATION, sharing=UNDIVIDED, work="rows cols"
)  # fmt: skip
def softmax_cross_entropy_grad(
    out: Array,
    probabilities: Array,
    labels: Array,
    g: Array,
    rows: int,
    cols: int,
    ignored: int,
    smoothing: float,
    *,
    flags: int,
) -> None:
    """(probabilities - target) * g[0] / the number of rows that count; 0 in the others."""
    counted = _counted(labels, ignored, flags)
    target = (labels[:, None] == np.arange(cols)) * (1 - smoothing) + smoothing / max(cols, 1)
    scale = g[0] / max(np.count_nonzero(counted), 1)
    gradient = (probabilities.reshape(rows, cols) - target) * scale
    out.reshape(rows, cols)[...] = np.where(counted[:, None], gradient, 0)
