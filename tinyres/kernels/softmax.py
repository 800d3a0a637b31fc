"""Softmax over the columns, and its cross-entropy with integer labels. The row maximum is subtracted first."""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import NORMALISATION
from tinyres.kernels.record import Array, kernel
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


@kernel("ff", "fl", "rows cols", form=NORMALISATION, sharing=UNDIVIDED)
def softmax_cross_entropy(
    loss: Array, probabilities: Array, logits: Array, labels: Array, rows: int, cols: int, *, flags: int
) -> None:
    """loss[0] = mean over rows of logsumexp(logits) - logits[label]; labels must lie in 0..cols-1."""
    shifted = _shifted(logits, rows, cols)
    weights = np.exp(shifted)
    totals = weights.sum(axis=1)
    probabilities.reshape(rows, cols)[...] = weights / totals[:, None]
    losses = np.log(totals) - shifted[np.arange(rows), labels]
    loss[0] = np.divide(losses.sum(dtype=np.float64), rows)


@kernel("f", "flf", "rows cols", form=NORMALISATION, sharing=UNDIVIDED)
def softmax_cross_entropy_grad(
    out: Array, probabilities: Array, labels: Array, g: Array, rows: int, cols: int, *, flags: int
) -> None:
    """(probabilities - one_hot(labels)) * g[0] / rows."""
    one_hot = labels[:, None] == np.arange(cols)
    out.reshape(rows, cols)[...] = (probabilities.reshape(rows, cols) - one_hot) * (g[0] / max(rows, 1))
