"""What the two experiments on He et al. 2016 share: one training error per kind of block, beside the published one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tinyres.study.experiment import Field, percent, percent_or_diverged
from tinyres.study.nets import stack
from tinyres.study.training import mean_errors, noisy_digits
from tinyres.study.variants import Block

SOURCE = "He et al. 2016 (arXiv:1603.05027), ResNet-110 on CIFAR-10, test error"

FIELDS = [
    Field("block", "block", 29, str, words=True),
    Field("train error", "train", 14, percent_or_diverged),
    Field("test error", "test", 14, percent_or_diverged),
    Field("published", "published", 16, lambda p: "fails (> 20%)" if p is None else percent(p)),
]


def trained_blocks(
    table: Mapping[str, tuple[Block, float | None]], blocks: int, width: int, epochs: int, noise: float, seeds: int
) -> list[dict[str, Any]]:
    """One row per block: mean errors on the noisy digits, and what He et al. published, as shares."""
    data = noisy_digits(noise)
    records = []
    for name, (block, published) in table.items():
        errors = mean_errors(partial(stack, block, blocks, width, 64, 10), data, epochs, seeds)
        share = None if published is None else published / 100
        records.append({"block": name, "train": errors.train, "test": errors.test, "published": share})
    return records


def bars(records: list[dict[str, Any]]) -> Callable[[Any], None]:
    """Training error beside the published test error; a full bar where there is none."""

    def draw(ax: Any) -> None:
        places = range(len(records))
        labels = {"train": "digits, training error", "published": "published test error"}
        for shift, (key, label) in zip((-0.2, 0.2), labels.items()):
            values = [1.0 if r[key] is None else r[key] for r in records]
            bar = ax.barh([i + shift for i in places], values, 0.38, label=label)
            texts = ["fails" if r[key] is None else percent(r[key]) for r in records]
            ax.bar_label(bar, texts, fontsize=7, padding=2)
        ax.set(xlim=(0, 1.15), xlabel="error")
        ax.set_yticks(list(places), [r["block"] for r in records], fontsize=8)
        ax.invert_yaxis()
        ax.legend(fontsize=8)

    return draw
