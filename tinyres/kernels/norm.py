"""Batch normalisation over rows x columns: rows are all leading axes, columns the features.

The variance is the biased one. Sums run in float64, so that a mean far from 0 costs no digits of the variance.
"""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import NORMALISATION, Epilogues
from tinyres.kernels.record import RELU, Array, kernel
from tinyres.kernels.sharing import Columns


@kernel(
    "fff", "fff", "rows cols", "epsilon", form=NORMALISATION, sharing=Columns("cols"), epilogues=Epilogues(relu=True)
)
def batchnorm(
    y: Array,
    mean: Array,
    var: Array,
    x: Array,
    gamma: Array,
    beta: Array,
    rows: int,
    cols: int,
    epsilon: float,
    *,
    flags: int,
) -> None:
    """Normalise with the statistics of x, which go to `mean` and `var`; gamma and beta may be absent."""
    x = x.reshape(rows, cols)
    exact_mean = np.divide(x.sum(axis=0, dtype=np.float64), rows)
    mean[...] = exact_mean
    var[...] = np.divide(np.square(x - exact_mean).sum(axis=0), rows)
    _normalise(y.reshape(rows, cols), x, mean, var, gamma, beta, epsilon, flags)


@kernel(
    "f", "fffff", "rows cols", "epsilon", form=NORMALISATION, sharing=Columns("cols"), epilogues=Epilogues(relu=True)
)
def batchnorm_inference(
    y: Array,
    x: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    rows: int,
    cols: int,
    epsilon: float,
    *,
    flags: int,
) -> None:
    """Normalise with given statistics; gamma and beta may be absent."""
    _normalise(y.reshape(rows, cols), x.reshape(rows, cols), mean, var, gamma, beta, epsilon, flags)


def _normalise(
    y: Array, x: Array, mean: Array, var: Array, gamma: Array, beta: Array, epsilon: float, flags: int
) -> None:
    np.subtract(x, mean, out=y)
    y *= _scale(var, gamma, epsilon)
    if beta is not None:
        y += beta
    if flags & RELU:
        np.maximum(y, 0, out=y)


def _scale(var: Array, gamma: Array, epsilon: float) -> Array:
    return (1 if gamma is None else gamma) / np.sqrt(var + epsilon)


@kernel(
    "fff",
    "fffff",
    "rows cols",
    "epsilon",
    form=NORMALISATION,
    sharing=Columns("cols"),
    epilogues=Epilogues(masked_by="x"),
)
def batchnorm_grad(
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    g: Array,
    x: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    rows: int,
    cols: int,
    epsilon: float,
    *,
    flags: int,
) -> None:
    """The gradients of `batchnorm`, through its mean and variance too; any output, and gamma, may be absent.

    With RELU, dx is 0 where x is not above 0.
    """
    g = g.reshape(rows, cols)
    normalised = (x.reshape(rows, cols) - mean) * _scale(var, None, epsilon)
    g_sum = g.sum(axis=0, dtype=np.float64)
    g_dot = (g * normalised).sum(axis=0, dtype=np.float64)
    if dbeta is not None:
        dbeta[...] = g_sum
    if dgamma is not None:
        dgamma[...] = g_dot
    if dx is not None:
        centred = g - np.divide(g_sum, rows) - normalised * np.divide(g_dot, rows)
        dx.reshape(rows, cols)[...] = centred * _scale(var, gamma, epsilon)
        if flags & RELU:
            dx[x <= 0] = 0


@kernel("FF", "ff", "n", "momentum", form=NORMALISATION, sharing=Columns("n"))
def moving_statistics(
    moving_mean: Array, moving_var: Array, mean: Array, var: Array, n: int, momentum: float, *, flags: int
) -> None:
    moving_mean[...] = moving_mean * momentum + mean * (1 - momentum)
    moving_var[...] = moving_var * momentum + var * (1 - momentum)
