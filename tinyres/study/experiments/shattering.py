"""Balduzzi et al. 2017: in deep plain nets the gradients at two inputs have nothing in common; by depth, with a fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinyres.engine.state import name_scope
from tinyres.layers import blocks as presets
from tinyres.layers.dense import Dense
from tinyres.model import Model
from tinyres.nn.operators import Input
from tinyres.ops.random import Generator, manual_seed
from tinyres.study import shattering as meter
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, error_bars, seeds_note
from tinyres.study.spread import Spread
from tinyres.view.numbers import strength

EXPONENTIAL, POWER, STAYS = "exponential", "power", "stays"
FITTED_FROM = 2  # blocks
SIGNIFICANT = 3.0  # sd: what is less is noise and left out of a fit
SECONDS_PER_BLOCK = 1e-2


@dataclass(frozen=True)
class Net:
    """block: for a depth. theorem: what Balduzzi et al. derive for two inputs, "" for nothing."""

    block: Callable[[int], Callable[..., Any]]
    theorem: str = ""


NETS = {
    "plain + BN": Net(lambda depth: variants.single_plain, "2^-L"),
    "residual": Net(lambda depth: variants.single_residual, "(3/4)^L"),
    "residual + BN": Net(lambda depth: variants.single_preact, "L^-1/2"),
    "he2015": Net(lambda depth: presets.he2015),
    "preact": Net(lambda depth: presets.preact),
    "1/sqrt(L)": Net(lambda depth: partial(presets.skipinit, depth=depth), STAYS),
}
SINGLE = ("plain + BN", "residual", "residual + BN")  # have one Dense per block, as in the theorems


def build(block: Callable[..., Any], blocks: int, width: int, features: int) -> Model:
    """A linear stem and blocks."""
    inputs = Input(shape=(features,))
    x = Dense(width, name="stem")(inputs)
    for i in range(blocks):
        with name_scope(f"block{i}"):
            x = block(x, width)
    return Model(inputs, x)


def plan(
    depths: tuple[int, ...] = (1, 2, 4, 6, 8, 12, 16, 24, 32),
    width: int = 64,
    features: int = 32,
    samples: int = 128,
    readouts: int = 8,
    seeds: int = 5,
) -> list[Job]:
    """The correlation of dy/dx at two independent standard-normal inputs, untrained, BatchNorm frozen at their batch.

    depths: L, in blocks: of one Dense in the nets of the theorems, of two in he2015, preact and 1/√L. width: units.
    samples: inputs, of which all pairs are taken. readouts: random outputs y, averaged. seeds: nets per entry.
    """

    def run(net: str) -> list[dict[str, Any]]:
        measure = partial(_correlation, NETS[net], width, features, samples, readouts)
        curves = [[measure(seed, depth) for depth in depths] for seed in range(seeds)]
        at = {f"at_{depth}": Spread.of(curve[i] for curve in curves) for i, depth in enumerate(depths)}
        return [{"net": net, "depths": list(depths), **at, "theorem": NETS[net].theorem, **fit(depths, curves)}]

    return [Job(net, SECONDS_PER_BLOCK * seeds * sum(depths), partial(run, net)) for net in NETS]


def _correlation(net: Net, width: int, features: int, samples: int, readouts: int, seed: int, depth: int) -> float:
    manual_seed(seed)
    model = build(net.block(depth), depth, width, features)
    x = Generator(seed).numpy().standard_normal((samples, features))
    return meter.pair_correlations(model, x, readouts=readouts, seed=seed)[f"block{depth - 1}"]


def fit(depths: Sequence[int], curves: Sequence[Sequence[float]]) -> dict[str, Any]:
    """How the correlation falls: by a factor per block or like a power of the depth, whichever fits better.

    Straight lines through its logarithm, one per seed, where it is more than noise. `fell` is None where that leaves
    fewer than three depths, and "stays" where it does not fall to a half of its first value.
    """
    means, sds = np.mean(curves, axis=0), np.std(curves, axis=0, ddof=min(1, len(curves) - 1))
    kept = [i for i, n in enumerate(depths) if n >= FITTED_FROM and means[i] > SIGNIFICANT * sds[i]]
    kept = [i for i in kept if all(curve[i] > 0 for curve in curves)]
    if len(kept) < 3:
        return {"fell": None, "factor": None, "power": None, "told": "-"}
    n = np.array([depths[i] for i in kept], dtype=float)
    logs = [np.log([curve[i] for i in kept]) for curve in curves]
    mean = np.mean(logs, axis=0)
    axes = {EXPONENTIAL: n, POWER: np.log(n)}
    misfit = {kind: float(np.polyfit(axis, mean, 1, full=True)[1].sum()) for kind, axis in axes.items()}
    factor = Spread.of(math.exp(np.polyfit(n, log, 1)[0]) for log in logs)
    power = Spread.of(float(np.polyfit(np.log(n), log, 1)[0]) for log in logs)
    fell = STAYS if mean[-1] > mean[0] + math.log(0.5) else min(misfit, key=lambda kind: misfit[kind])
    told = {EXPONENTIAL: f"× {factor.text(strength)}", POWER: f"L^{power.text(strength)}", STAYS: STAYS}[fell]
    return {"fell": fell, "factor": factor, "power": power, "told": told}


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per net, the correlation at some depths, and the fit."""
    depths = records[0]["depths"]
    shown = depths if len(depths) <= 5 else [depths[0], *[n for n in (2, 4, 8, 16, 32) if n in depths[1:]]][:6]
    width = 42 // len(shown)
    columns = [Field("net", "net", 14, str, words=True)]
    columns += [Field(f"L={n}", f"at_{n}", width, lambda s: f"{s.mean:.3f}") for n in shown]
    fell = Field(" fit", "told", 17, lambda told: f" {told}", words=True)
    return [*columns, fell, Field("theorem", "theorem", 8, lambda t: t or "-", words=True)]


def claims(records: Sequence[Row]) -> list[str]:
    """How each kind of net falls, beside its theorem, where the fit bears it out."""
    by = {r["net"]: r for r in records}
    said = []
    plain = by["plain + BN"]
    if plain["fell"] == EXPONENTIAL:
        told = f"In the plain net every layer multiplies the correlation by {plain['factor'].text(strength)}"
        near = _within(plain["factor"], 0.5)
        said.append(f"{told}: the theorem's 1/2." if near else f"{told}; the theorem has 1/2.")
    bounded = by["residual + BN"]
    if bounded["fell"] == POWER:
        said.append(
            f"With a skip and BatchNorm it falls like a power of the depth, L^{bounded['power'].text(strength)}; the "
            f"theorem has L^-0.5{_with_the_mean(bounded['power'])}."
        )
    slower = [net for net in ("he2015", "preact") if by[net]["fell"] == POWER]
    if slower:
        told = ", ".join(f"{net} L^{by[net]['power'].text(strength)}" for net in slower)
        faster = bounded["fell"] == POWER and all(by[net]["power"].below(bounded["power"]) for net in slower)
        how = "fall faster, and still like a power" if faster else "fall like a power too"
        said.append(f"Blocks of two Dense, of which no theorem speaks, {how}: {told}.")
    said += _slower(by["residual"])
    deep = max(records[0]["depths"])
    if by["1/sqrt(L)"]["fell"] == STAYS:
        said.append(f"With branches of 1/sqrt(L) it stays: {_at(by['1/sqrt(L)'], deep)} at {deep} blocks.")
    return [
        *said,
        f"{seeds_note(plain[f'at_{deep}'])} Two inputs drawn independently; in the first three nets a block has one "
        f"Dense. Fits: from {FITTED_FROM} blocks on, where the mean is over {SIGNIFICANT:g} sd, one per seed.",
    ]


def _with_the_mean(power: Spread) -> str:
    """Why the power is above the theorem's 1/2, where it is and lies nearer to the sum with means."""
    exact = -math.pi / (math.pi - 1) / 2
    if power.mean is None or _within(power, -0.5) or abs(power.mean - exact) > abs(power.mean + 0.5):
        return ""
    return (
        ", where BatchNorm divides by the second moment; dividing by the variance, as it does, turns the same sum into "
        f"L^{exact:.2f} for large L"
    )


def _slower(row: Row) -> list[str]:
    """Where the net without BatchNorm leaves its theorem."""
    n = max((n for n in row["depths"] if n <= 8), default=1)
    measured, theorem = row[f"at_{n}"], 0.75**n
    if measured.sd is None or measured.mean - 2 * measured.sd <= theorem:
        return []
    return [
        f"Without BatchNorm it falls slower than the theorem's (3/4)^L, {measured.text(strength)} at {n} blocks "
        f"instead of {strength(theorem)}: that takes the two inputs to activate units independently at every depth."
    ]


def _at(row: Row, depth: int) -> str:
    found: Spread = row[f"at_{depth}"]
    return found.text(strength)


def _within(spread: Spread, value: float) -> bool:
    return spread.mean is not None and spread.sd is not None and abs(spread.mean - value) <= 2 * spread.sd


def findings(records: Sequence[Row]) -> list[Finding]:
    """The three that a theorem or a scale holds for, and preact."""
    by = {r["net"]: r for r in records}
    shows = "correlation of dy/dx at two inputs, by depth (blocks L, untrained)"
    deep = max(records[0]["depths"])
    return [
        Finding(shows, "plain + BatchNorm, per layer: × 1/2", by["plain + BN"]["told"]),
        Finding(shows, "residual + BatchNorm, one Dense a block: as 1/√L", by["residual + BN"]["told"]),
        Finding(shows, "preact, two Dense a block: no theory", by["preact"]["told"]),
        Finding(shows, f"branch × 1/√L: stays; at {deep} blocks", _at(by["1/sqrt(L)"], deep)),
    ]


def draw(records: Sequence[Row], ax: Any) -> None:
    """The correlation over depth, both logarithmic."""
    depths = records[0]["depths"]
    for row in records:
        spreads = [row[f"at_{n}"] for n in depths]
        there = [(n, s) for n, s in zip(depths, spreads) if s.mean > (s.sd or 0.0) > 0]
        error_bars(ax, [n for n, _ in there], [s for _, s in there], row["net"], linewidth=1)
    n = np.array([v for v in depths if 2.0**-v > 1e-3], dtype=float)
    ax.plot(n, 2.0**-n, ":", color="0.4", marker="", label="2^-L (theorem, plain)")
    first = next(row[f"at_{depths[0]}"].mean for row in records if row["net"] == "residual + BN")
    falling = first * (np.array(depths) / depths[0]) ** -0.5
    ax.plot(depths, falling, "--", color="0.4", marker="", label="~ L^-1/2 (theorem, residual + BN)")
    ax.set(xscale="log", yscale="log", ylim=(1e-3, 1.3), xlabel="blocks L", ylabel="correlation of dy/dx at two inputs")
    ax.set_xticks(depths, [str(v) for v in depths])
    ax.minorticks_off()
    ax.legend(fontsize=7)


shattering = Experiment(
    "shattering",
    "Correlation of dy/dx at two inputs, by depth",
    "Balduzzi et al. 2017 (arXiv:1702.08591), theorems 1 to 3",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"depths": (1, 2, 4, 8, 16), "samples": 64, "readouts": 4, "seeds": 3},
)
