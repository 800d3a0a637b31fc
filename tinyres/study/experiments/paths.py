"""Veit et al. 2016: the gradient comes through short paths. Two quantities, each by its name.

The signed share is exact: what passed k branches, projected on the gradient; the shares sum to 1, and paths may cancel.
Veit's own is a sum of norms, of single paths that are sampled, times the number of paths: nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyres.layers import blocks as presets
from tinyres.model import Model
from tinyres.ops.random import Generator, manual_seed
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, seeds_note
from tinyres.study.nets import stack
from tinyres.study.single_paths import SinglePaths
from tinyres.study.spread import Spread
from tinyres.study.sweep import seconds, sweep
from tinyres.study.training import CLASSES, LOSS, RATES, noisy_digits
from tinyres.view.numbers import number

SIGNED, NORMS = "signed share", "norm x count"
UNTRAINED, TRAINED = "untrained", "trained"
SAMPLES = 64  # in the batch whose gradient is split
MASS = 0.95
SECONDS_PER_SPECTRUM, SECONDS_PER_PATH = 1e-4, 1e-4  # per squared block; of a path of each length


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


# net -> (block for a depth, closed form of the untrained net's signed share or None)
NETS: dict[str, tuple[Callable[[int], Callable[..., Any]], Callable[[int], list[float]] | None]] = {
    "residual, no BN": (lambda depth: presets.preact_plain, binomial),
    "he2015": (lambda depth: presets.he2015, None),
    "preact": (lambda depth: presets.preact, None),
    "1/sqrt(L)": (lambda depth: partial(presets.skipinit, depth=depth), scaled_binomial),
    "ReZero": (lambda depth: presets.rezero, all_at_zero),
}
LIKE_VEIT = ("he2015", "preact")  # are trained, and have their single paths sampled


def plan(
    blocks: int = 54,
    width: int = 32,
    epochs: int = 12,
    noise: float = 1.0,
    samples: int = 4,
    seeds: int = 5,
    rates: tuple[float, ...] = RATES,
) -> list[Job]:
    """What paths through exactly k branches carry of the gradient at the input: untrained, and after a training.

    blocks: L, 54 as in ResNet-110. width: units. epochs, noise, rates: of the training, as in `degradation`. samples:
    single paths per length. seeds: nets, of which the mean is shown. Untrained nets see standard-normal data.
    """
    task = noisy_digits(epochs, noise)

    def make(net: str, features: int) -> Model:
        return stack(NETS[net][0](blocks), blocks, width, features, CLASSES)

    def untrained(net: str) -> list[dict[str, Any]]:
        shares, norms = [], []
        for seed in range(seeds):
            manual_seed(seed)
            model = make(net, width // 2)
            rng = Generator(seed).numpy()
            x, y = rng.standard_normal((SAMPLES, width // 2)), rng.integers(0, CLASSES, SAMPLES)
            shares.append(_signed(model, x, y, blocks))
            if net in LIKE_VEIT:
                norms.append(_single(model, x, y, samples, seed))
        rows = [_row(net, UNTRAINED, SIGNED, shares, NETS[net][1])]
        return [*rows, _row(net, UNTRAINED, NORMS, norms, None)] if norms else rows

    def trained(net: str) -> list[dict[str, Any]]:
        found = sweep(partial(make, net, 64), task, rates, seeds)
        x, y = task.training.x[:SAMPLES], task.training.y[:SAMPLES]
        models = [model for model in found.models if model is not None]
        facts = {"rate": found.rate_text, "error": found.over_seeds("train")}
        if not models:
            return []
        return [
            {**_row(net, TRAINED, SIGNED, [_signed(m, x, y, blocks) for m in models], None), **facts},
            {**_row(net, TRAINED, NORMS, [_single(m, x, y, samples, i) for i, m in enumerate(models)], None), **facts},
        ]

    def looking(net: str) -> float:
        single = SECONDS_PER_PATH * samples if net in LIKE_VEIT else 0.0
        return seeds * blocks**2 * (SECONDS_PER_SPECTRUM + single)

    training = seconds(2 * blocks + 2, task, len(rates), seeds)
    return [
        *[Job(f"{net}, untrained", looking(net), partial(untrained, net)) for net in NETS],
        *[Job(f"{net}, trained", training + looking(net), partial(trained, net)) for net in LIKE_VEIT],
    ]


def _signed(model: Model, x: Any, y: Any, blocks: int) -> list[float]:
    spectrum = model.graph(x, y, loss=LOSS).trace(audit=False, paths=True).paths()
    shares = [s or 0.0 for s in spectrum.shares]
    return shares + [0.0] * (blocks + 1 - len(shares))


def _single(model: Model, x: Any, y: Any, samples: int, seed: int) -> list[float]:
    ways = SinglePaths(model, x, y, LOSS)
    return ways.norms(range(ways.blocks + 1), samples, seed).shares


def _row(
    net: str, weights: str, quantity: str, spectra: list[list[float]], closed: Callable[[int], list[float]] | None
) -> dict[str, Any]:
    mean = np.mean(spectra, axis=0).tolist()
    blocks = len(mean) - 1
    expected = None if closed is None else closed(blocks)
    low, high = middle(mean, MASS)
    return {
        "net": net,
        "weights": weights,
        "quantity": quantity,
        "blocks": blocks,
        "mean": Spread.of(mean_length(spectrum) for spectrum in spectra),
        "low": low,
        "high": high,
        "range": f"{low}..{high}",
        "theory": None if expected is None else mean_length(expected),
        "apart": None if expected is None else 0.5 * sum(abs(a - b) for a, b in zip(mean, expected)),
        "shares": mean,
    }


def mean_length(spectrum: Sequence[float]) -> float:
    """The mean number of branches, weighted by share."""
    return sum(k * share for k, share in enumerate(spectrum)) / sum(spectrum)


def middle(spectrum: Sequence[float], mass: float) -> tuple[int, int]:
    """The lengths between which so much of the spectrum lies, equal tails left out."""
    total = np.cumsum(spectrum)
    tail = (1 - mass) / 2
    first = int(np.argmax(total >= tail))
    return first, int(np.argmax(total >= total[-1] - tail))


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per net, weights and quantity."""
    return [
        Field("net", "net", 17, str, words=True),
        Field("weights", "weights", 11, str, words=True),
        Field("quantity", "quantity", 14, str, words=True),
        Field("mean length", "mean", 14, lambda s: s.text()),
        Field("95%", "range", 8, str),
        Field("theory", "theory", 8, lambda x: "-" if x is None else f"{x:.1f}"),
        Field("apart", "apart", 7, lambda x: "-" if x is None else f"{x:.2f}"),
    ]


def claims(records: Sequence[Row]) -> list[str]:
    """That short paths carry the gradient, where they do; each sentence of one quantity."""
    by = {(r["net"], r["weights"], r["quantity"]): r for r in records}
    blocks = records[0]["blocks"]
    half = Spread((blocks / 2,) * len(records[0]["mean"].values))
    said = []
    veit = by.get(("he2015", TRAINED, NORMS))
    if veit is not None and veit["mean"].below(half):
        said.append(
            f"Veit's quantity, {NORMS} (norms of single paths times their number), on the trained he2015 nets: 95% of "
            f"it lies on paths through {veit['range']} of {blocks} branches, which are {_of_all(veit):.2%} of all paths"
            + (" (published for the trained ResNet-110: 5..17 of 54, 0.45%)." if blocks == 54 else ".")
        )
    before, after = by[("he2015", UNTRAINED, SIGNED)], by.get(("he2015", TRAINED, SIGNED))
    if before["mean"].below(half):
        told = f"The signed share of the gradient has its mean at {before['mean'].text()} branches, untrained (he2015)"
        if after is not None and after["mean"].below(before["mean"]):
            told += f", and at {after['mean'].text()} trained"
        said.append(f"{told}; the number of paths has it at {blocks / 2:g}.")
    if veit is not None and after is not None and after["mean"].below(veit["mean"]):
        said.append(
            "The two are not one: single paths partly cancel each other, and in the trained net the signed share sits "
            "at shorter paths than their norms."
        )
    notes = f"{seeds_note(records[0]['mean'])} 95%: of the mean over seeds. apart: total variation distance to the "
    return [*said, f"{notes}closed form, 0 where they agree.{_training_note(records)}"]


def _of_all(row: Row) -> float:
    """The share of all paths that have these lengths."""
    return sum(binomial(row["blocks"])[row["low"] : row["high"] + 1])


def _training_note(records: Sequence[Row]) -> str:
    trained = {r["net"]: r for r in records if r["weights"] == TRAINED}
    told = [f"{net} {r['error'].percent} (rate {r['rate']})" for net, r in trained.items()]
    return f" Training errors: {', '.join(told)}." if told else ""


def findings(records: Sequence[Row]) -> list[Finding]:
    """Veit's quantity beside Veit's number; the signed share beside its closed forms."""
    by = {(r["net"], r["weights"], r["quantity"]): r for r in records}
    blocks = records[0]["blocks"]
    lines = []
    for net, weights, quantity, published in (
        ("he2015", TRAINED, NORMS, "he2015, trained, norm × number of paths: 5 to 17 (Veit)"),
        ("he2015", UNTRAINED, SIGNED, "he2015, untrained, signed share: no theory"),
        ("he2015", TRAINED, SIGNED, "he2015, trained, signed share: no theory"),
        ("residual, no BN", UNTRAINED, SIGNED, f"no BatchNorm, signed share: Binomial, mean {number(blocks / 2)}"),
        ("1/sqrt(L)", UNTRAINED, SIGNED, "branch × 1/√L, signed share: Poisson, mean 1"),
    ):
        row = by.get((net, weights, quantity))
        if row is not None:
            here = f"{row['low']} to {row['high']}, mean {row['mean'].text()}"
            lines.append(Finding(f"branches that the gradient passes, of {blocks}", published, here))
    return lines


def draw(records: Sequence[Row], ax: Any) -> None:
    """Every spectrum; the two quantities by their line style."""
    blocks = records[0]["blocks"]
    ax.fill_between(range(blocks + 1), binomial(blocks), color="0.88", label="number of paths")
    colours: dict[str, Any] = {}
    for row in records:
        if row["net"] == "ReZero":
            continue
        style = "--" if row["quantity"] == NORMS else "-"
        label = f"{row['net']}, {row['weights']}, {row['quantity']}"
        marker = "o" if row["weights"] == TRAINED else ""
        (line,) = ax.plot(row["shares"], style, label=label, marker=marker, markersize=3, linewidth=1)
        line.set_color(colours.setdefault(row["net"], line.get_color()))
    ax.axhline(0, color="0.6", linewidth=0.6)
    ax.set(xlabel="branches passed", ylabel="share of each length", ylim=(-0.1, 0.6), xlim=(-1, blocks * 0.75))
    ax.legend(fontsize=7, title="dashed: norms of paths; dots: trained", title_fontsize=7)


paths = Experiment(
    "paths",
    "Gradient at the input by path length",
    "Veit et al. 2016 (arXiv:1605.06431), figure 6",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"blocks": 12, "epochs": 3, "samples": 2, "seeds": 2, "rates": (0.03,)},
)
