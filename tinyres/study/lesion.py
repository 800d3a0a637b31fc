"""Lesions: what a trained model loses when blocks of it are deleted.

Veit, Wilber and Belongie, "Residual networks behave like ensembles of relatively shallow networks" (2016), delete
single layers of trained nets: a residual net hardly notices, a plain one is ruined.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tinyres.errors import ArgumentError
from tinyres.layers import losses
from tinyres.model import Model
from tinyres.ops.random import Generator
from tinyres.structure.names import listed
from tinyres.study.cuts import Cut, LayerBlock, blocks_of, copied, cut_block, cut_skip, without
from tinyres.trace.html import preformatted
from tinyres.view.numbers import number
from tinyres.view.printable import shown
from tinyres.view.table import Column, lines_of

MOST_ROWS = 20

T = TypeVar("T")


@dataclass(frozen=True)
class Lesion:
    """One deletion. blocks: what was deleted. loss: over all samples. error: 1 - accuracy, None without labels.

    damage: how much the error (without labels: the loss) is above that of the intact model.
    """

    blocks: tuple[str, ...]
    loss: float
    error: float | None
    damage: float

    @property
    def name(self) -> str:
        """The deleted blocks in words: "block3", or "block3 + block5"."""
        return " + ".join(self.blocks)


class Lesions:
    """What `tr.lesion` measured.

    loss, error: of the intact model (error None without labels). cuts: every Lesion, the most damaging first.
    spared: blocks that cannot be deleted, and why. what: "block" or "skip". zeroed: the blocks with a skip into a
    Concatenate, whose channels were zeros then. Iterates over the cuts.
    """

    def __init__(
        self,
        loss: float,
        error: float | None,
        cuts: Iterable[Lesion],
        spared: dict[str, str],
        what: str,
        samples: int,
        zeroed: Sequence[str] = (),
    ) -> None:
        self.loss = loss
        self.error = error
        self.cuts = tuple(sorted(cuts, key=lambda cut: (-cut.damage, -cut.loss)))
        self.spared = spared
        self.what = what
        self.samples = samples
        self.zeroed = tuple(zeroed)

    @property
    def median_damage(self) -> float:
        """The median over all cuts."""
        return statistics.median(cut.damage for cut in self.cuts)

    def mean_error(self, count: int) -> float | None:
        """The mean error after deleting `count` blocks at once; None without labels."""
        errors = [cut.error for cut in self.cuts if len(cut.blocks) == count and cut.error is not None]
        return statistics.fmean(errors) if errors else None

    def rows(self) -> list[dict[str, Any]]:
        """Flat dicts, the most damaging first, ready for a DataFrame."""
        return [
            {"deleted": cut.name, "count": len(cut.blocks), "loss": cut.loss, "error": cut.error, "damage": cut.damage}
            for cut in self.cuts
        ]

    def table(self) -> str:
        """Every row as text in 80 columns; `print` folds long ones."""
        return "\n".join(self._lines(self.cuts))

    def __getitem__(self, name: str) -> Lesion:
        for cut in self.cuts:
            if cut.name == name:
                return cut
        raise ArgumentError(f"[lesion] {name!r} was not deleted; got {', '.join(cut.name for cut in self.cuts)}")

    def __iter__(self) -> Any:
        return iter(self.cuts)

    def __len__(self) -> int:
        return len(self.cuts)

    def __str__(self) -> str:
        lines = [self._head(), self._intact()]
        if len(self.cuts) <= MOST_ROWS:
            lines += self._lines(self.cuts)
        else:
            first, last = self.cuts[: MOST_ROWS // 2], self.cuts[-MOST_ROWS // 2 + 1 :]
            between = len(self.cuts) - len(first) - len(last)
            lines += [*self._lines(first), f"  ... {between} more: .table()", *self._lines(last)[1:]]
        lines.append(f"median damage {self._points(self.median_damage)}")
        if self.zeroed:
            lines.append(f"zeros stood in the channels of the skip of {listed(self.zeroed, most=3)}")
        if self.spared:
            lines.append(f"not deleted, since nothing would fit: {listed(list(self.spared), most=3)}")
        return shown("\n".join(lines))

    def __repr__(self) -> str:
        return f"<Lesions: {len(self.cuts)} cuts, median damage {self._points(self.median_damage)}; print it>"

    def _repr_html_(self) -> str:
        return preformatted(str(self))

    def _head(self) -> str:
        what = {"block": "blocks deleted", "skip": "skips deleted"}[self.what]
        return f"Lesion: {len(self.cuts)} times {what}, {self.samples} samples, BatchNorm statistics frozen"

    def _intact(self) -> str:
        error = "" if self.error is None else f", error {self.error:.1%}"
        return f"intact: loss {number(self.loss)}{error}"

    def _points(self, damage: float) -> str:
        if self.error is None:
            return f"{number(damage)} in loss"
        return f"{100 * damage:+.1f} points of error"

    def _lines(self, cuts: Sequence[Lesion]) -> list[str]:
        columns = [
            Column("deleted", 44, lambda cut: cut.name, words=True),
            Column("loss", 12, lambda cut: number(cut.loss)),
            Column("error", 10, lambda cut: "-" if cut.error is None else f"{cut.error:.1%}"),
            Column("damage", 12, lambda cut: number(cut.damage) if cut.error is None else f"{100 * cut.damage:+.1f}"),
        ]
        return lines_of(cuts, columns)


def lesion(
    model: Model,
    x: Any,
    y: Any,
    blocks: Any = None,
    *,
    random: int | Sequence[int] | None = None,
    repeats: int = 5,
    seed: int = 0,
    what: str = "block",
    loss: Any = None,
) -> Lesions:
    """Delete blocks of a trained model and measure what it loses on this data; the model itself is not touched.

    x, y: as for `evaluate`, (n, ...). blocks: None for each block in turn, else a block by name or index, or a list of
    them to delete in turn; a tuple within the list is deleted together. random: instead delete so many blocks at once,
    chosen at random among `blocks`, `repeats` times with this `seed`; a list of counts for several. what: "block"
    replaces the block by its shortcut (a plain block by its input), "skip" leaves only its branch, with zeros in
    the channels that a skip into a Concatenate had. loss: default is that of
    `compile`. Everything runs in inference: BatchNorm keeps its moving statistics.

    Raises ArgumentError for unknown blocks, for a block without which nothing fits, and if there are no blocks.
    Source: Veit et al. 2016, sections 4.1 and 4.2.

    >>> import tinyres as tr
    >>> x = h = tr.Input(shape=(4,))
    >>> for i in range(3):
    ...     with tr.name_scope(f"block{i}"):
    ...         h = tr.layers.blocks.preact(h, 4)
    >>> model = tr.Model(x, tr.layers.Dense(2, activation="softmax")(h))
    >>> data = np.ones((8, 4)), np.arange(8) % 2
    >>> sorted(cut.name for cut in tr.lesion(model, *data, loss="sparse_categorical_crossentropy"))
    ['block0', 'block1', 'block2']
    """
    chosen_loss = _checked(model, what, loss)
    patient = copied(model)
    all_blocks = blocks_of(patient)
    if what == "skip":
        all_blocks = {name: block for name, block in all_blocks.items() if block.joins}
    if not all_blocks:
        hint = "build each under tr.name_scope(...)" if what == "block" else "there is no skip to delete"
        raise ArgumentError(f"[lesion] the model must have {what}s to delete; got none; {hint}")
    groups = _groups(list(all_blocks), blocks)
    cuts, spared = _cuts(patient, all_blocks, groups, what, strict=blocks is not None)
    groups = [group for group in groups if all(name in cuts for name in group)]
    if random is not None:
        groups = _drawn(groups, random, repeats, seed)
    if not groups:
        raise ArgumentError(f"[lesion] some block must be left to delete; {'; '.join(spared.values())}")
    measure = _Measure(chosen_loss, x, y)
    intact_loss, intact_error = measure(patient)
    lesions = []
    for group in groups:
        cut_loss, cut_error = measure(without(patient, [cuts[name] for name in group]))
        damage = cut_loss - intact_loss
        if cut_error is not None and intact_error is not None:
            damage = cut_error - intact_error
        lesions.append(Lesion(group, cut_loss, cut_error, damage))
    zeroed = [name for name in cuts if what == "skip" and all_blocks[name].concatenates]
    return Lesions(intact_loss, intact_error, lesions, spared, what, measure.samples, zeroed)


class _Measure:
    """The loss and, for labels, the error of a model on the data."""

    def __init__(self, loss: Any, x: Any, y: Any) -> None:
        self.loss = loss
        self.x, self.y = x, y
        self.samples = len(y)
        self.metrics = ["accuracy"] if losses.get(loss).targets == "labels" else []

    def __call__(self, model: Model) -> tuple[float, float | None]:
        model.compile("sgd", self.loss, self.metrics)
        loss, *metrics = model.evaluate(self.x, self.y, capture=False)
        return loss, 1.0 - metrics[0] if metrics else None


def _checked(model: Model, what: str, loss: Any) -> Any:
    if what not in ("block", "skip"):
        raise ArgumentError(f'[lesion] what is deleted is "block" or "skip"; got {what!r}; choose one of them')
    if not isinstance(model, Model) or not model.steps:
        raise ArgumentError(
            f"[lesion] it cuts a model's graph of layers; got {type(model).__name__} without one; "
            "build it as tr.Model(inputs, outputs)"
        )
    chosen = model.loss if loss is None else loss
    if chosen is None:
        raise ArgumentError('[lesion] damage is measured by a loss; got none; compile the model, or give loss="mse"')
    return chosen


def _groups(names: list[str], blocks: Any) -> list[tuple[str, ...]]:
    """What to delete, one tuple of names per deletion."""
    if blocks is None:
        return [(name,) for name in names]
    asked = blocks if isinstance(blocks, list) else [blocks]
    groups = [group if isinstance(group, tuple) else (group,) for group in asked]
    return [tuple([_name(names, item) for item in group]) for group in groups]


def _name(names: list[str], item: Any) -> str:
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool) and -len(names) <= item < len(names):
        return names[item]
    if isinstance(item, str) and item in names:
        return item
    raise ArgumentError(f"[lesion] a block is one of {', '.join(names)}; got {item!r}; use its name or index")


def _cuts(
    model: Model, blocks: dict[str, LayerBlock], groups: list[tuple[str, ...]], what: str, strict: bool
) -> tuple[dict[str, Cut], dict[str, str]]:
    """The cut for each block that is asked for, and why others cannot be cut; strict: that is an error."""
    cut = cut_block if what == "block" else cut_skip
    cuts: dict[str, Cut] = {}
    spared: dict[str, str] = {}
    for name in dict.fromkeys(name for group in groups for name in group):
        try:
            cuts[name] = cut(model, blocks[name])
        except ArgumentError as error:
            if strict:
                raise
            spared[name] = str(error)
    return cuts, spared


def _drawn(groups: list[tuple[str, ...]], random: Any, repeats: int, seed: int) -> list[tuple[str, ...]]:
    """For each count, `repeats` random choices of so many blocks, in graph order."""
    names = [name for group in groups for name in group]
    rng = Generator(seed).numpy()
    counts = [random] if isinstance(random, (int, np.integer)) else list(random)
    if not counts or repeats < 1:
        raise ArgumentError(
            f"[lesion] random needs a count and a repeat; got {random!r}, {repeats} times; write random=2, repeats=5"
        )
    drawn = []
    for count in counts:
        if not 1 <= count <= len(names):
            raise ArgumentError(f"[lesion] random is 1 to {len(names)} blocks at once; got {count}; choose fewer")
        for _ in range(repeats):
            picked = sorted(rng.choice(len(names), count, replace=False).tolist())
            drawn.append(tuple([names[i] for i in picked]))
    return drawn
