"""What the two experiments on He et al. 2016 share: one trained net per kind of block, beside the published error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tinyres.study.experiment import Field, Job, Row
from tinyres.study.nets import stack
from tinyres.study.spread import Spread, groups
from tinyres.study.sweep import seconds, sweep
from tinyres.study.training import CHANCE, CLASSES, ERRORS, RATE, errors_note, noisy_digits
from tinyres.study.variants import Block

SOURCE = "He et al. 2016 (arXiv:1603.05027), ResNet-110 on CIFAR-10"
PUBLISHED = "publ.: test error of ResNet-110, of convolutions on CIFAR-10; to be compared in order, not in size."


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: training errors, and the test error beside the published one."""
    published = Field("publ.", "published", 7, lambda p: "fails" if p is None else f"{p:.2%}")
    return [Field("block", "block", 26, str, words=True), RATE, *[_narrow(f) for f in ERRORS], published]


def jobs(
    table: Mapping[str, tuple[Block, float | None]],
    blocks: int,
    width: int,
    epochs: int,
    noise: float,
    seeds: int,
    rates: tuple[float, ...],
) -> list[Job]:
    """One job per block: errors on the noisy digits, and what He et al. published, as a share."""
    task = noisy_digits(epochs, noise)

    def run(name: str) -> list[dict[str, Any]]:
        block, published = table[name]
        trained = sweep(partial(stack, block, blocks, width, 64, CLASSES), task, rates, seeds)
        share = None if published is None else published / 100
        return [{"block": name, "blocks": blocks, **trained.record(), "published": share}]

    cost = seconds(2 * blocks + 2, task, len(rates), seeds)
    return [Job(f"{name}, {blocks} blocks", cost, partial(run, name)) for name in table]


def ordered(records: Sequence[Row], key: str, what: str) -> list[str]:
    """In which groups the errors fall, if in more than one."""
    found = groups({r["block"]: r[key] for r in records})
    if len(found) < 2:
        return []
    return [f"{what}, in groups that lie apart by more than the spread: {' < '.join(map(', '.join, found))}."]


def notes(records: Sequence[Row]) -> list[str]:
    """How to read the numbers."""
    return [*errors_note(records), PUBLISHED]


def error_of(records: Sequence[Row], block: str, key: str = "train") -> Spread:
    """The error of one block."""
    found: Spread = next(r[key] for r in records if r["block"] == block)
    return found


def draw(records: Sequence[Row], ax: Any) -> None:
    """Training and test error on the digits; what was published is of another task and not drawn."""
    for shift, key, label in ((-0.12, "train", "training error"), (0.12, "test", "test error")):
        spreads = [r[key] for r in records]
        places = [i + shift for i in range(len(records))]
        there = [(s.mean, place, s.sd or 0.0) for s, place in zip(spreads, places) if not s.diverged]
        means, at, sd = zip(*there) if there else ((), (), ())
        ax.errorbar(means, at, xerr=sd, linestyle="", capsize=2, markersize=5, label=label)
        for spread, place in zip(spreads, places):
            if spread.diverged and key == "train":
                ax.annotate(spread.percent, (0.5, place), fontsize=7, va="center", ha="center")
    ax.axvline(CHANCE, color="0.6", linestyle=":", label="guessing")
    ax.set(xlim=(-0.02, 1.0), xlabel="error on the noisy digits (bars: sd of one seed)")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.set_yticks(range(len(records)), [r["block"] for r in records], fontsize=8)
    ax.invert_yaxis()
    ax.grid(axis="y", color="0.92")
    ax.legend(fontsize=8)


def _narrow(column: Field) -> Field:
    return Field(column.title, column.key, 13, column.text)
