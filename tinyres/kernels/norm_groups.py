"""Normalisation of groups: x is samples x positions x channels, a group some channels in a row at all positions.

A group has one mean and one rstd, 1 / sqrt(variance + epsilon). One position and one group is layer normalisation:
every row by itself. With the flag RMS nothing is taken off: the mean is 0, and absent.
"""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import NORMALISATION, Epilogues
from tinyres.kernels.record import RELU, RMS, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED


@kernel(
    "fff", "fff", "samples positions channels groups", "epsilon", form=NORMALISATION, sharing=UNDIVIDED,
    work="samples positions channels", epilogues=Epilogues(relu=True),
)  # fmt: skip
def groupnorm(
    y: Array,
    mean: Array,
    rstd: Array,
    x: Array,
    gamma: Array,
    beta: Array,
    samples: int,
    positions: int,
    channels: int,
    groups: int,
    epsilon: float,
    *,
    flags: int,
) -> None:
    """Normalise each group by its own statistics, which go to mean and rstd (samples, groups); gamma and beta, one per
    channel, may be absent."""
    grouped = samples, positions, groups, channels // groups
    x = x.reshape(grouped)
    center = np.zeros((samples, 1, groups, 1))
    if not flags & RMS:
        center = x.mean(axis=(1, 3), keepdims=True, dtype=np.float64)
        mean.reshape(center.shape)[...] = center
    deviation = 1 / np.sqrt(np.square(x - center).mean(axis=(1, 3), keepdims=True) + epsilon)
    rstd.reshape(deviation.shape)[...] = deviation
    normalised = (x - center) * deviation
    if gamma is not None:
        normalised *= gamma.reshape(grouped[2:])
    if beta is not None:
        normalised += beta.reshape(grouped[2:])
    y.reshape(grouped)[...] = np.maximum(normalised, 0) if flags & RELU else normalised


@kernel(
    "fff", "fffff", "samples positions channels groups", form=NORMALISATION, sharing=UNDIVIDED,
    work="samples positions channels",
)  # fmt: skip
def groupnorm_grad(
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    g: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    gamma: Array,
    samples: int,
    positions: int,
    channels: int,
    groups: int,
    *,
    flags: int,
) -> None:
    """The gradients of `groupnorm`, through mean and rstd too; any output, and gamma, may be absent."""
    grouped, of_group = (samples, positions, groups, channels // groups), (samples, 1, groups, 1)
    g = g.reshape(grouped).astype(np.float64)
    center = 0 if flags & RMS else mean.reshape(of_group)
    deviation = rstd.reshape(of_group)
    normalised = (x.reshape(grouped) - center) * deviation
    if dbeta is not None:
        dbeta.reshape(grouped[2:])[...] = g.sum(axis=(0, 1))
    if dgamma is not None:
        dgamma.reshape(grouped[2:])[...] = (g * normalised).sum(axis=(0, 1))
    if dx is None:
        return
    if gamma is not None:
        g = g * gamma.reshape(grouped[2:])
    along = (g * normalised).mean(axis=(1, 3), keepdims=True)
    level = 0 if flags & RMS else g.mean(axis=(1, 3), keepdims=True)
    dx.reshape(grouped)[...] = (g - level - normalised * along) * deviation
