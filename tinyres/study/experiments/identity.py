"""He et al. 2015, section 3.1: it is easier to push a residual to 0 than to fit the identity by nonlinear layers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tinyres.engine.state import name_scope
from tinyres.layers import blocks as presets
from tinyres.layers.activation import ReLU
from tinyres.model import Model
from tinyres.nn.operators import Input
from tinyres.ops.random import Generator, manual_seed
from tinyres.optim import Adam
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, seeds_note
from tinyres.study.spread import Spread, groups
from tinyres.study.sweep import Examples, Task, held_back, seconds, sweep
from tinyres.view.numbers import number, strength

NETS: dict[str, Callable[[int], Callable[..., Any]]] = {
    "plain, He": lambda depth: partial(presets.plain, kernel_initializer="he_normal"),
    "plain + BN": lambda depth: variants.plain_he2015,
    "he2015": lambda depth: presets.he2015,
    "preact": lambda depth: presets.preact,
    "1/sqrt(L)": lambda depth: partial(presets.skipinit, depth=depth),
    "preact, F = 0": lambda depth: variants.zero_preact,
    "ReZero": lambda depth: presets.rezero,
}
PLAIN = ("plain, He", "plain + BN")
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
EXACT = 1e-9
SMALLER = 0.9  # of |F|/|x| before, which a branch that is pushed to 0 falls below


def build(block: Callable[..., Any], blocks: int, width: int) -> Model:
    """Blocks only, from `width` inputs to as many outputs; a ReLU at the very end is left out, so that all end linear.

    With it no net could get below a loss of 0.5 on inputs of both signs.
    """
    inputs = x = Input(shape=(width,))
    for i in range(blocks):
        with name_scope(f"block{i}"):
            x = block(x, width)
    if isinstance(x.producer.layer, ReLU):
        (x,) = x.producer.inputs()
    return Model(inputs, x)


def plan(
    blocks: int = 16,
    width: int = 32,
    samples: int = 1024,
    epochs: int = 30,
    seeds: int = 5,
    rates: tuple[float, ...] = RATES,
) -> list[Job]:
    """Learn y = x on standard-normal data: the loss of the best constant answer is 1.

    blocks: of two Dense. width: features. samples: to train on and choose by; as many others measure. epochs: of Adam,
    batches of 32. seeds: nets per row. rates: learning rates, of which each net takes the best on a validation part.
    """
    rng = Generator(0).numpy()
    x, x_test, noise = rng.standard_normal((3, samples, width)).astype("float32")
    task = Task(*held_back(x, x), Examples(x_test, x_test), "mse", _adam, epochs, batch_size=32, by_accuracy=False)

    def run(net: str) -> list[dict[str, Any]]:
        make = partial(build, NETS[net](blocks), blocks, width)
        found = sweep(make, task, rates, seeds)
        before, strengths = [], []
        for seed in range(seeds):
            manual_seed(seed)
            untrained = make()
            # Moving statistics say nothing before training, so the loss is that of the batch.
            before.append(untrained.graph(x_test, x_test, loss="mse").trace(audit=False).loss)
            strengths.append(_strength(untrained, x[:128], x[:128] + noise[:128]))
        after = [None if m is None else _strength(m, x[:128], x[:128]) for m in found.models]
        return [
            {
                "net": net,
                "before": Spread.of(before),
                **found.record(),
                "strength_before": None if strengths[0] is None else Spread.of(strengths),
                "strength_after": None if strengths[0] is None else Spread.of(after),
            }
        ]

    cost = seconds(2 * blocks, task, len(rates), seeds)
    return [Job(net, cost, partial(run, net)) for net in NETS]


def _adam(rate: float) -> Adam:
    return Adam(lr=rate)


def _strength(model: Model, x: Any, y: Any) -> float | None:
    """The mean |F| / |x| over all blocks."""
    blocks = model.graph(x, y, loss="mse").trace(audit=False).blocks
    found = [b.strength for b in blocks if b.strength is not None]
    return statistics.fmean(found) if found else None


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per net."""
    return [
        Field("net", "net", 14, str, words=True),
        Field("rate", "rate_text", 8, str),
        Field("loss before", "before", 14, _loss),
        Field("after, in test", "test", 18, _loss),
        Field("|F|/|x|", "strength_before", 13, _ratio),
        Field("after", "strength_after", 14, _ratio),
    ]


def _small(shown: Callable[[float], str], digits: int) -> Callable[[float], str]:
    """In few letters: 0 for what is exact, so many decimals of a power of ten for what is small."""
    return lambda x: "0" if abs(x) < EXACT else f"{x:.{digits}e}" if x < 1e-3 else shown(x)


def _loss(spread: Spread) -> str:
    return spread.text(_small(number, 1))


def _ratio(spread: Spread | None) -> str:
    return "-" if spread is None else spread.text(_small(strength, 0))


def claims(records: Sequence[Row]) -> list[str]:
    """Who reaches the identity, whose branches shrink on the way, and who starts there."""
    after = {r["net"]: r["test"] for r in records}
    skips = [net for net in after if net not in PLAIN]
    found = groups(after)
    said = []
    if len(found) > 1:
        order = " < ".join(map(", ".join, found))
        said.append(f"Test loss, in groups that lie apart by more than the spread: {order}.")
    if all(after[net].below(after[plain]) for net in skips for plain in PLAIN):
        said.append(
            f"Every net with skips comes nearer to the identity than the plain ones, which end at "
            f"{_loss(after[PLAIN[0]])} and {_loss(after[PLAIN[1]])}, where 1 is the best constant answer."
        )
    shrunk = [r for r in records if r["strength_before"] and _shrinks(r)]
    if shrunk:
        told = [f"{r['net']} {_ratio(r['strength_before'])} -> {_ratio(r['strength_after'])}" for r in shrunk]
        said.append(f"Branches are pushed towards 0, |F|/|x| in the mean over the blocks: {', '.join(told)}.")
    kept = [r["net"] for r in records if r["strength_before"] and _stays(r)]
    if kept:
        said.append(f"Not so in {', '.join(kept)}: there |F|/|x| does not fall by a tenth.")
    exact = [r["net"] for r in records if _exact(r["before"])]
    if exact:
        said.append(f"A branch that starts at 0 is the identity before any training: {', '.join(exact)}.")
    return [*said, *_notes(records)]


def _shrinks(row: Row) -> bool:
    before, after = row["strength_before"], row["strength_after"]
    return bool(after.below(before) and after.mean < SMALLER * before.mean)


def _stays(row: Row) -> bool:
    before, after = row["strength_before"], row["strength_after"]
    return bool(before.comparable and after.comparable and after.mean >= SMALLER * before.mean and not _exact(before))


def _exact(spread: Spread) -> bool:
    return bool(spread.known) and max(map(abs, spread.known)) < EXACT


def _notes(records: Sequence[Row]) -> list[str]:
    rates = sorted(float(rate) for rate in records[0]["validation"])
    told = f"{seeds_note(records[0]['test'])} Losses after training are with settled BatchNorm statistics. "
    if len(rates) > 1:
        told += f"Rates of Adam: of {', '.join(f'{r:g}' for r in rates)}, the best on a validation part. "
        if any(r["rate_text"].endswith("*") for r in records):
            told += "*: at the end of these; a rate beyond might do better. "
    moving = [f"{r['net']} {_loss(r['test_moving'])}" for r in records if r["test_moving"] is not None]
    return [f"{told}All nets end linear.", *([f"By moving statistics instead: {', '.join(moving)}."] if moving else [])]


def findings(records: Sequence[Row]) -> list[Finding]:
    """Plain, residual and exact nets."""
    at = {r["net"]: r for r in records}
    shows = "test loss of a net that learns y = x (1: a constant answer)"
    return [
        Finding(shows, "plain, He: hard to reach", _loss(at["plain, He"]["test"])),
        Finding(shows, "he2015: no theory", _loss(at["he2015"]["test"])),
        Finding(shows, "preact: goes to 0", _loss(at["preact"]["test"])),
        Finding(shows, "branch × 1/√L: goes to 0", _loss(at["1/sqrt(L)"]["test"])),
        Finding(shows, "zero branch (ReZero): exact at the start", _loss(at["ReZero"]["before"])),
    ]


def draw(records: Sequence[Row], ax: Any) -> None:
    """Loss before and after."""
    for shift, key, label in ((-0.2, "before", "before"), (0.2, "test", "after training, test")):
        places = [i + shift for i in range(len(records))]
        means = [r[key].mean if r[key].known and not _exact(r[key]) else float("nan") for r in records]
        errors = [r[key].sd or 0.0 for r in records]
        bar = ax.bar(places, means, 0.38, yerr=errors, label=label, error_kw={"elinewidth": 0.8})
        ax.bar_label(bar, ["" if m != m else number(m) for m in means], fontsize=7)
        for place, row in zip(places, records):
            if _exact(row[key]):
                ax.annotate("0", (place, 0.02), xycoords=("data", "axes fraction"), fontsize=7, ha="center")
    ax.axhline(1.0, color="0.6", linestyle=":", label="best constant answer")
    ax.set(yscale="log", ylabel="loss of y = x", xlim=(-0.6, len(records) - 0.4))
    ax.set_xticks(range(len(records)), [r["net"] for r in records], fontsize=8)
    ax.legend(fontsize=8)


identity = Experiment(
    "identity",
    "Learning the identity, with skips and without",
    "He et al. 2015, section 3.1; Bachlechner et al. 2020 (ReZero)",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"blocks": 6, "epochs": 5, "samples": 512, "seeds": 2, "rates": (0.001,)},
)
