"""Veit et al. 2016: delete blocks of trained nets; the residual one hardly notices, the plain one is ruined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.layers import blocks as presets
from tinyres.study import lesion as lesions
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, error_bars, seeds_note
from tinyres.study.nets import stack
from tinyres.study.spread import Spread, percent
from tinyres.study.sweep import Examples, Trained, seconds, sweep
from tinyres.study.training import CHANCE, CLASSES, RATES, axes_of_errors, noisy_digits, percent_or_none

NETS: dict[str, Callable[..., Any]] = {
    "preact": presets.preact,
    "he2015": presets.he2015,
    "plain + BN": variants.plain_he2015,
}
PLAIN = "plain + BN"
COUNTS = (1, 2, 3, 4, 6, 8, 10)
SECONDS_PER_CUT = 1.5e-3  # and block
LEARNED = 0.5  # an intact error up to which there is something to lose
HARDLY = 0.05  # of damage by one deletion
NEAR_CHANCE = 0.1


def plan(
    blocks: int = 12,
    width: int = 32,
    epochs: int = 20,
    noise: float = 1.0,
    repeats: int = 8,
    seeds: int = 5,
    rates: tuple[float, ...] = RATES,
) -> list[Job]:
    """Test error after deleting 1, 2, 3, ... blocks at random.

    blocks: of two Dense; a plain net gets a third of them, so that it can be trained at all. epochs, noise, rates: as
    in `degradation`. repeats: random choices per count and seed. seeds: nets per row. Raises ArgumentError
    for a single block.
    """
    if blocks < 2:
        raise ArgumentError(f"[experiment] a block is deleted from 2 or more; got blocks={blocks}; give more")
    task = noisy_digits(epochs, noise)

    def run(net: str, depth: int) -> list[dict[str, Any]]:
        found = sweep(partial(stack, NETS[net], depth, width, 64, CLASSES), task, rates, seeds)
        return deletions(net, depth, found, task.test, repeats)

    jobs = []
    for net in NETS:
        depth = max(3, blocks // 3) if net == PLAIN else blocks
        cuts = depth + repeats * len(COUNTS)
        cost = seconds(2 * depth + 2, task, len(rates), seeds) + SECONDS_PER_CUT * seeds * depth * cuts
        jobs.append(Job(f"{net}, {depth} blocks", cost, partial(run, net, depth)))
    return jobs


def deletions(net: str, blocks: int, found: Trained, test: Examples, repeats: int) -> list[dict[str, Any]]:
    """The rows of one net, of so many blocks that can be deleted: its error by how many are."""
    counts = [count for count in COUNTS if count < blocks]
    per_seed: dict[int, list[float]] = {count: [] for count in (0, *counts)}
    for seed, model in enumerate(m for m in found.models if m is not None):
        one = lesions.lesion(model, test.x, test.y)
        assert one.error is not None
        per_seed[0].append(one.error)
        per_seed[1].append(one.error + one.median_damage)
        for count in counts[1:]:
            several = lesions.lesion(model, test.x, test.y, random=count, repeats=repeats, seed=seed)
            error = several.mean_error(count)
            assert error is not None
            per_seed[count].append(error)
    return [
        {
            "net": net,
            "blocks": blocks,
            "deleted": count,
            "rate_text": found.rate_text,
            "error": Spread.of(errors),
            "damage": Spread.of(e - intact for e, intact in zip(errors, per_seed[0])) if count else None,
            "moving": found.record()["test_moving"],
        }
        for count, errors in per_seed.items()
        if errors
    ]


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per net and number of deletions."""
    return [
        Field("net", "net", 13, str, words=True),
        Field("blocks", "blocks", 8, str),
        Field("rate", "rate_text", 8, str),
        Field("deleted", "deleted", 9, str),
        Field("test error", "error", 16, percent_or_none),
        Field("damage, points", "damage", 16, _points),
    ]


def claims(records: Sequence[Row]) -> list[str]:
    """What one deletion costs, and how more of them add up."""
    if not records:
        return ["Every training diverged."]
    by = {(r["net"], r["deleted"]): r for r in records}
    nets = [net for net in _nets(records) if (net, 1) in by]
    said = []
    learned = [net for net in nets if by[net, 0]["error"].mean < LEARNED]
    unhurt = [net for net in learned if not _is_plain(net) and _hardly(by[net, 1]["damage"])]
    if unhurt:
        told = [f"{net} {_change(by, net)}" for net in unhurt]
        said.append(f"Without one block, in the median, a residual net errs hardly more in test: {', '.join(told)}.")
    plains = [net for net in learned if _is_plain(net)]
    hurt = [net for net in learned if not _is_plain(net) and net not in unhurt]
    less = [net for net in hurt if all(by[net, 1]["damage"].below(by[plain, 1]["damage"]) for plain in plains)]
    if plains and less:
        told = [f"{net} {_change(by, net)}" for net in less]
        said.append(f"Without one block, in the median, a residual net loses less than a plain one: {', '.join(told)}.")
    for plain in plains:
        ruined = by[plain, 1]["error"]
        if ruined.mean is not None and ruined.mean > CHANCE - NEAR_CHANCE:
            said.append(f"A plain net falls to guessing, which errs in {percent(CHANCE)}: {_change(by, plain)}.")
        elif all(by[net, 1]["damage"].below(by[plain, 1]["damage"]) for net in unhurt) and unhurt:
            said.append(f"A plain net loses more: {_change(by, plain)}.")
    smooth = [net for net in unhurt if _grows([r["error"] for r in records if r["net"] == net])]
    if smooth:
        grown = ", ".join(smooth)
        said.append(f"The error grows with every further deletion, step by step: {grown} (published: smoothly).")
    moving = [f"{net} {percent_or_none(by[net, 1]['moving'])}" for net in nets]
    return [
        *said,
        f"{seeds_note(records[0]['error'])} One deletion: the median over all blocks; several: the mean over random "
        "choices. BatchNorm keeps the statistics of the whole net, settled on the training part; intact nets by the "
        f"moving ones: {', '.join(moving)}. Rates: the best on a validation part; *: at the end of those tried.",
    ]


def _nets(records: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(r["net"] for r in records))


def _is_plain(net: str) -> bool:
    return net.startswith("plain")


def _points(share: Spread | None) -> str:
    return "-" if share is None else Spread.of(100 * value for value in share.known).text(lambda x: f"{x:.1f}")


def _hardly(damage: Spread) -> bool:
    return damage.mean is not None and damage.sd is not None and damage.mean + damage.sd < HARDLY


def _grows(errors: Sequence[Spread]) -> bool:
    """Whether the mean rises at each step and no step makes up half of the whole rise."""
    means = [e.mean for e in errors if e.mean is not None]
    steps = [after - before for before, after in zip(means, means[1:])]
    return len(steps) > 2 and min(steps) > 0 and max(steps) < sum(steps) / 2


def _change(by: dict[tuple[str, int], Row], net: str) -> str:
    return f"{by[net, 0]['error'].percent} -> {by[net, 1]['error'].percent}"


def findings(records: Sequence[Row]) -> list[Finding]:
    """One deletion in each net."""
    told = {"preact": "residual (preact): hardly any change", "he2015": "residual (he2015): hardly any change"}
    return one_deletion(records, {**told, PLAIN: "plain: chance, 90%"})


def one_deletion(records: Sequence[Row], told: dict[str, str]) -> list[Finding]:
    """What one deletion does to each net. told: what is published of it."""
    by = {(r["net"], r["deleted"]): r for r in records}
    shows = "test error after deleting one block (median over the blocks)"
    return [Finding(shows, told[net], _change(by, net).replace("->", "→")) for net in _nets(records) if (net, 1) in by]


def draw(records: Sequence[Row], ax: Any) -> None:
    """Test error over the number of deleted blocks."""
    for net in _nets(records):
        rows = [r for r in records if r["net"] == net]
        label = f"{net}, {rows[0]['blocks']} blocks"
        error_bars(ax, [r["deleted"] for r in rows], [r["error"] for r in rows], label)
    axes_of_errors(ax, "blocks deleted", "test error")


lesion = Experiment(
    "lesion",
    "Deleting blocks of trained nets",
    "Veit et al. 2016 (arXiv:1605.06431), figures 3 and 5",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"blocks": 6, "epochs": 5, "repeats": 2, "seeds": 2, "rates": (0.03,)},
)
