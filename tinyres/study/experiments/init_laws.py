"""The gradient at initialisation: how it changes per block, against the law of each kind of block."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinyres.layers import blocks as presets
from tinyres.ops.random import Generator, manual_seed
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, seeds_note
from tinyres.study.nets import stack
from tinyres.study.spread import Factor, Spread
from tinyres.study.training import LOSS
from tinyres.trace import Trace
from tinyres.view.numbers import number, strength

# What a BatchNorm behind ReLU and Dense multiplies |g|² by: Yang et al. 2019, in the limit of wide nets and batches.
BATCHNORM = math.pi / (math.pi - 1)
SECONDS_PER_BLOCK = 4e-3
SCALED = "1/sqrt(L)"


@dataclass(frozen=True)
class Law:
    """What |g| at the first block over |g| at the last is for L blocks.

    block: gives the block for a depth. law: in words, "" where there is none here. grows: of L. free: whether the law
    has a free factor, which is then taken from the first depth.
    """

    block: Callable[[int], Callable[..., Any]]
    law: str = ""
    grows: Callable[[int], float] | None = None
    free: bool = False


def _fixed(block: Callable[..., Any], initializer: str | None = None) -> Callable[[int], Callable[..., Any]]:
    if initializer is None:
        return lambda depth: block
    return lambda depth: lambda x, units: block(x, units, kernel_initializer=initializer)


# With a skip the variance of x matters: it grows by 1/BATCHNORM per preact block, so that block l multiplies |g|² by
# 1 + BATCHNORM² / l (De & Smith 2020 have the growth); with the skip halved the variance settles at 4/3 of that.
_PREACT_POWER = BATCHNORM**2 / 2
_HALVED = math.sqrt(1 / 4 + 3 / 4 * BATCHNORM**2)

LAWS = {
    "plain, Glorot": Law(_fixed(presets.plain), "2^-(L-1)", lambda n: 2.0 ** (1 - n)),
    "plain, He": Law(_fixed(presets.plain, "he_normal"), "1", lambda n: 1.0),
    "plain + BN": Law(_fixed(variants.plain_he2015), "1.467^(L-1)", lambda n: BATCHNORM ** (n - 1)),
    "residual, He": Law(_fixed(presets.preact_plain), "2^((L-1)/2)", lambda n: 2.0 ** ((n - 1) / 2)),
    "tutorial": Law(_fixed(presets.tutorial)),
    "he2015": Law(_fixed(presets.he2015)),
    "preact": Law(_fixed(presets.preact), "~ L^1.08", lambda n: n**_PREACT_POWER, free=True),
    SCALED: Law(lambda depth: partial(presets.skipinit, depth=depth), "to sqrt(e)", lambda n: _scaled([0.5] * n)),
    "ReZero": Law(_fixed(presets.rezero), "1", lambda n: 1.0),
    "skip x 0.5": Law(_fixed(variants.halved_preact), "~ 1.365^L", lambda n: _HALVED**n, free=True),
}


def _scaled(open_shares: Sequence[float]) -> float:
    """|g| first over last for branches of 1/√L whose first ReLU lets these shares of its inputs through, per block."""
    return math.prod(math.sqrt(1 + 2 * share / len(open_shares)) for share in open_shares[1:])


def plan(
    depths: tuple[int, ...] = (8, 16, 32), width: int = 64, batch: int = 128, seeds: int = 5, seed: int = 0
) -> list[Job]:
    """Stem, L blocks, head on standard-normal data, untrained: |g| at block 0 over |g| at the last block.

    depths: L. width: units per Dense. batch: samples. seeds: nets per row, of which the geometric mean is shown.
    """

    def run(net: str) -> list[dict[str, Any]]:
        law, anchor, records = LAWS[net], 1.0, []
        for i, depth in enumerate(depths):
            traces = [_trace(law.block(depth), depth, width, batch, seed + i) for i in range(seeds)]
            measured = Factor.of(t.blocks[0].grad_norm / t.blocks[-1].grad_norm for t in traces)
            if i == 0 and law.free and law.grows is not None and measured.mean is not None:
                anchor = measured.mean / law.grows(depth)
            records.append(
                {
                    "net": net,
                    "blocks": depth,
                    "measured": measured,
                    "theory": None if law.grows is None else anchor * law.grows(depth),
                    "law": law.law or "none",
                    "free": law.free,
                    "per_block": Factor.of(v ** (1 / max(depth - 1, 1)) for v in measured.known),
                    **(_behind_the_stem(traces) if net == SCALED else {}),
                }
            )
        return records

    return [Job(net, SECONDS_PER_BLOCK * sum(depths) * seeds, partial(run, net)) for net in LAWS]


def _trace(block: Callable[..., Any], depth: int, width: int, batch: int, seed: int) -> Trace:
    manual_seed(seed)
    model = stack(block, depth, width, width // 2, 10)
    rng = Generator(seed).numpy()
    x, y = rng.standard_normal((batch, width // 2)), rng.integers(0, 10, batch)
    return model.graph(x, y, loss=LOSS).trace(audit=False)


def _behind_the_stem(traces: Sequence[Trace]) -> dict[str, Any]:
    """Which share of its inputs the first ReLU of a block lets through, and what the law says with it."""
    shares = []
    for trace in traces:
        first = [next(n for n in trace.nodes if n.name.startswith(f"{block.name}/")) for block in trace.blocks]
        shares.append([1 - node.zeros / node.size for node in first])
    per_block = np.mean(shares, axis=0).tolist()
    return {"open": float(np.mean(per_block)), "with_open": _scaled(per_block)}


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per net and depth."""
    return [
        Field("net", "net", 17, str, words=True),
        Field("blocks", "blocks", 7, str),
        Field("first/last", "measured", 18, lambda s: s.text()),
        Field("law says", "theory", 10),
        Field("per block", "per_block", 12, lambda s: f"x {s.mean:.3f}"),
        Field("law", "law", 13, str, words=True),
    ]


def claims(records: Sequence[Row]) -> list[str]:
    """What the deepest nets do, where 1/√L is off its law, and what is a fit and no law."""
    deep = max(r["blocks"] for r in records)
    at = {r["net"]: r for r in records if r["blocks"] == deep}
    ratio: dict[str, Factor] = {net: r["measured"] for net, r in at.items()}
    one, ten, tenth = (Factor((v,) * len(ratio["ReZero"].values)) for v in (1.0, 10.0, 0.1))
    said = []
    if ratio["plain, Glorot"].below(tenth):
        said.append(
            f"At {deep} blocks a plain net with Glorot weights passes {number(ratio['plain, Glorot'].mean)} of its "
            "gradient to the first block."
        )
    if ten.below(ratio["plain + BN"]):
        said.append(f"With BatchNorm it explodes instead, {number(ratio['plain + BN'].mean)}-fold.")
    tame = [net for net in ("preact", SCALED, "ReZero") if ratio[net].below(ratio["residual, He"])]
    if ten.below(ratio["residual, He"]) and tame:
        told = ", ".join(f"{_NAMES[net]} ({number(ratio[net].mean)})" for net in tame)
        said.append(
            f"A skip alone does not tame it: without BatchNorm {number(ratio['residual, He'].mean)}-fold. What does: "
            f"{told}."
        )
    said += _offset(at[SCALED])
    fits = {net: _power([r for r in records if r["net"] == net]) for net in ("tutorial", "he2015")}
    known = {net: power for net, power in fits.items() if power is not None and one.below(ratio[net])}
    told = ", ".join(f"L^{power.text(strength)} ({net})" for net, power in known.items())
    if told:
        said.append(f"There is no law here for what follows; a fit over these depths, and no more than that: {told}.")
    note = "×/÷: a factor. Laws with ~ have a free factor, from the first depth."
    return [*said, f"{seeds_note(ratio['ReZero'])} {note}"]


_NAMES = {"preact": "BatchNorm in the branch", SCALED: "a branch scale of 1/sqrt(L)", "ReZero": "one of 0"}


def _offset(row: Row) -> list[str]:
    """Why 1/√L is above its law, where the share of open ReLUs that was measured explains it."""
    measured: Factor = row["measured"]
    law = Factor((row["theory"],) * len(measured.values))
    if not law.below(measured) or measured.mean is None:
        return []
    told = f"The branch of 1/sqrt(L) is {100 * (measured.mean / row['theory'] - 1):.0f}% above its law"
    if abs(math.log(measured.mean / row["with_open"])) > 0.3 * math.log(measured.mean / row["theory"]):
        return [f"{told}."]
    return [
        f"{told}, which has half of a branch's inputs pass its first ReLU; behind the stem's ReLU {row['open']:.0%} "
        f"do, and with that it says {number(row['with_open'])}."
    ]


def _power(rows: Sequence[Row]) -> Spread | None:
    """The slope of log|g| over log L, one per seed."""
    if len(rows) < 2:
        return None
    depths, seeds = np.log([r["blocks"] for r in rows]), zip(*[r["measured"].values for r in rows])
    return Spread.of(float(np.polyfit(depths, np.log(seed), 1)[0]) for seed in seeds)


def findings(records: Sequence[Row]) -> list[Finding]:
    """The laws at the deepest net."""
    deep = max(r["blocks"] for r in records)
    at = {r["net"]: r for r in records if r["blocks"] == deep}
    shows = f"|g| of the first block over the last of {deep}, untrained"
    words = {
        "plain, Glorot": f"plain, Glorot: 2^-{deep - 1} = ",
        "plain + BN": f"plain + BatchNorm: 1.467^{deep - 1} = ",
        "residual, He": f"residual, He, no BatchNorm: 2^{(deep - 1) / 2:g} = ",
        "preact": f"preact grows like L^1.08: {number(_first(records, 'preact'))} at the first depth makes ",
        SCALED: "branch × 1/√L: to √e, here ",
    }
    return [Finding(shows, told + number(at[net]["theory"]), at[net]["measured"].text()) for net, told in words.items()]


def _first(records: Sequence[Row], net: str) -> float:
    mean: float = next(r["measured"].mean for r in records if r["net"] == net)
    return mean


def draw(records: Sequence[Row], ax: Any) -> None:
    """Measured over depth, and the laws dotted."""
    for net in dict.fromkeys(r["net"] for r in records):
        rows = [r for r in records if r["net"] == net]
        depth = [r["blocks"] for r in rows]
        (line,) = ax.plot(depth, [r["measured"].mean for r in rows], label=net, linewidth=1, markersize=4)
        if rows[0]["theory"] is not None:
            ax.plot(depth, [r["theory"] for r in rows], ":", color=line.get_color(), marker="")
    ax.set(xscale="log", yscale="log", xlabel="blocks", ylabel="|g| first block / last block (dotted: law)")
    ax.set_xticks(sorted({r["blocks"] for r in records}), [str(n) for n in sorted({r["blocks"] for r in records})])
    ax.minorticks_off()
    ax.legend(fontsize=7, ncols=2)


init_laws = Experiment(
    "init-laws",
    "Gradient at initialisation: first block over last, by kind of block",
    "He et al. 2015; Yang et al. 2019 (BatchNorm explodes); De & Smith 2020; Bachlechner et al. 2020",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"depths": (8, 16), "seeds": 3},
)
