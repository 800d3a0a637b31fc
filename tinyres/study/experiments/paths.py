"""Veit et al. 2016: the gradient comes through short paths; here by exact length, beside the closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyres.layers import blocks as presets
from tinyres.ops.random import Generator, manual_seed
from tinyres.study.experiment import Experiment, Field
from tinyres.study.nets import stack
from tinyres.study.training import LOSS


def binomial(blocks: int) -> list[float]:
    """The share of each length if branch and skip pass the same: Binomial(L, 1/2)."""
    return [math.comb(blocks, k) / 2.0**blocks for k in range(blocks + 1)]


def scaled_binomial(blocks: int) -> list[float]:
    """With the branch scaled by 1/sqrt(L): Binomial(L, 1/(L+1)), near Poisson(1)."""
    p = 1 / (blocks + 1)
    return [math.comb(blocks, k) * p**k * (1 - p) ** (blocks - k) for k in range(blocks + 1)]


def all_at_zero(blocks: int) -> list[float]:
    """With the branch scaled by 0."""
    return [1.0] + [0.0] * blocks


# net -> (block for a depth, closed form or None, mean length published or derived)
NETS: dict[str, tuple[Callable[[int], Callable[..., Any]], Callable[[int], list[float]] | None, str]] = {
    "residual, no BN": (lambda depth: presets.preact_plain, binomial, "Binomial(L, 1/2)"),
    "he2015": (lambda depth: presets.he2015, None, "Veit: 5..17 of 54"),
    "preact": (lambda depth: presets.preact, None, "-"),
    "1/sqrt(L)": (lambda depth: partial(presets.skipinit, depth=depth), scaled_binomial, "Poisson(1)"),
    "ReZero": (lambda depth: presets.rezero, all_at_zero, "all at 0"),
}


def shares(block: Callable[..., Any], blocks: int, width: int, batch: int, seed: int) -> tuple[list[float], float]:
    """Share per path length of the gradient at the input, and by how much the parts miss the whole."""
    manual_seed(seed)
    model = stack(block, blocks, width, width // 2, 10)
    rng = Generator(seed).numpy()
    x, y = rng.standard_normal((batch, width // 2)), rng.integers(0, 10, batch)
    spectrum = model.graph(x, y, loss=LOSS).trace(audit=False, paths=True).paths()
    return [s or 0.0 for s in spectrum.shares], spectrum.error


def run(blocks: int = 54, width: int = 32, batch: int = 64, seeds: int = 3, seed: int = 0) -> tuple[Any, ...]:
    """The share of the gradient at the input that passed exactly k branches, untrained, on standard-normal data.

    blocks: L, 54 as in ResNet-110. width: units. batch: samples. seeds: nets, of which the mean is shown.
    """
    records, spectra = [], {}
    for net, (block, closed, published) in NETS.items():
        runs = [shares(block(blocks), blocks, width, batch, seed + i) for i in range(seeds)]
        padded = [found + [0.0] * (blocks + 1 - len(found)) for found, _ in runs]
        spectrum = np.mean(padded, axis=0).tolist()
        spectra[net] = spectrum
        expected = None if closed is None else closed(blocks)
        low, high = _middle(spectrum, 0.95)
        records.append(
            {
                "net": net,
                "mean": _mean(spectrum),
                "range": f"{low}..{high}",
                "closed_mean": None if expected is None else _mean(expected),
                "distance": None if expected is None else 0.5 * sum(abs(a - b) for a, b in zip(spectrum, expected)),
                "sum_error": max(error for _, error in runs),
                "published": published,
                "shares": spectrum,
            }
        )
    return FIELDS, records, _sentences(records, blocks), _draw(spectra, blocks)


FIELDS = [
    Field("net", "net", 17, str, words=True),
    Field("mean", "mean", 7, lambda x: f"{x:.1f}"),
    Field("95%", "range", 8, str),
    Field("theory", "closed_mean", 8, lambda x: "-" if x is None else f"{x:.1f}"),
    Field("apart", "distance", 8, lambda x: "-" if x is None else f"{x:.2f}"),
    Field("sum off by", "sum_error", 12, lambda x: f"{x:.0e}"),
    Field("  published", "published", 20, lambda text: f"  {text}", words=True),
]


def _mean(spectrum: Sequence[float]) -> float:
    return sum(k * share for k, share in enumerate(spectrum)) / sum(spectrum)


def _middle(spectrum: Sequence[float], mass: float) -> tuple[int, int]:
    """The lengths between which so much of the spectrum lies, equal tails left out."""
    total = np.cumsum(spectrum)
    tail = (1 - mass) / 2
    return int(np.searchsorted(total, tail)), min(int(np.searchsorted(total, 1 - tail)), len(spectrum) - 1)


def _sentences(records: list[dict[str, Any]], blocks: int) -> list[str]:
    by_net = {r["net"]: r for r in records}
    return [
        f"With BatchNorm the gradient passes {by_net['he2015']['mean']:.1f} of {blocks} branches on average (he2015), "
        f"where the count of paths has its mean at {blocks / 2:.0f}: short paths carry it.",
        "apart: total variation distance to the closed form, 0 where they agree. sum off by: how far the parts are "
        "from the gradient of an ordinary backward, relative to it.",
    ]


def _draw(spectra: dict[str, list[float]], blocks: int) -> Callable[[Any], None]:
    def draw(ax: Any) -> None:
        for net, spectrum in spectra.items():
            ax.plot(range(blocks + 1), spectrum, label=net, markersize=4)
        ax.fill_between(range(blocks + 1), binomial(blocks), color="0.85", label="count of paths")
        ax.set(xlabel="branches passed", ylabel="share of the gradient", ylim=(-0.02, 0.45))
        ax.legend(fontsize=8)

    return draw


paths = Experiment(
    "paths", "Gradient at the input by path length", "Veit et al. 2016 (arXiv:1605.06431), figure 6", run
)
