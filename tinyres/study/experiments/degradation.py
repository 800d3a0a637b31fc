"""Degradation: plain nets get worse with depth even on the training data, residual nets do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.layers import blocks as presets
from tinyres.model import Model
from tinyres.ops.random import manual_seed
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, error_bars
from tinyres.study.nets import stack
from tinyres.study.spread import Factor, Spread, percent
from tinyres.study.sweep import seconds, sweep
from tinyres.study.training import CLASSES, ERRORS, LOSS, RATE, RATES, axes_of_errors, errors_note, noisy_digits
from tinyres.view.numbers import number

# net -> (block, initialiser or None for the preset's own)
NETS: dict[str, tuple[Callable[..., Any], str | None]] = {
    "plain, Glorot": (presets.plain, None),
    "plain, He": (presets.plain, "he_normal"),
    "plain + BN": (variants.plain_he2015, None),
    "residual, no BN": (presets.preact_plain, None),
    "tutorial": (presets.tutorial, None),
    "he2015": (presets.he2015, None),
    "preact": (presets.preact, None),
    "1/sqrt(L)": (presets.skipinit, None),
    "ReZero": (presets.rezero, None),
}
PLAIN = ("plain, Glorot", "plain, He", "plain + BN")
LEARNED = 0.01  # a training error up to which a net has learned its examples
FAILED = 0.2  # one from which it has not
PUBLISHED = (
    "Published: test errors of ResNets of convolutions on CIFAR-10, 20 layers 8.75%, 110 layers 6.43% (he2015) and "
    "6.37% (preact); a plain net of 110 layers with BatchNorm over 60%."
)


def build(net: str, layers: int, width: int) -> Model:
    """A net of so many Dense layers: stem, blocks of two, head."""
    block, initializer = NETS[net]
    depth = (layers - 2) // 2
    options: dict[str, Any] = {} if initializer is None else {"kernel_initializer": initializer}
    if block is presets.skipinit:
        options["depth"] = depth
    return stack(block, depth, width, 64, CLASSES, **options)


def plan(
    depths: tuple[int, ...] = (6, 18, 34, 66),
    width: int = 32,
    epochs: int = 48,
    noise: float = 1.0,
    seeds: int = 3,
    rates: tuple[float, ...] = RATES,
) -> list[Job]:
    """Errors on the noisy digits, by kind of block and number of Dense layers.

    depths: Dense layers: a stem, blocks of two, a head. width: units. epochs: of SGD with momentum 0.9 and batches of
    50; residual nets still degrade after 12. noise: its standard deviation. seeds: nets per entry. rates: learning
    rates of which each entry takes the best on a validation part. Raises ArgumentError for depths that no net has, and
    for one given twice.
    """
    wrong = [depth for depth in depths if depth < 4 or depth % 2]
    if wrong or len(set(depths)) < len(depths):
        got = f"{wrong[0]}" if wrong else ",".join(map(str, depths))
        raise ArgumentError(
            "[experiment] a depth is a stem, blocks of two Dense and a head, so 4, 6, 8, ..., each once; "
            f"got {got}; choose even ones"
        )
    task = noisy_digits(epochs, noise)

    def run(net: str, layers: int) -> list[dict[str, Any]]:
        trained = sweep(partial(build, net, layers, width), task, rates, seeds)
        ratios = Factor.of(_first_over_last(net, layers, width, task.training, seed) for seed in range(seeds))
        return [{"net": net, "layers": layers, **trained.record(), "gradient": ratios}]

    return [
        Job(f"{net}, {layers} layers", seconds(layers, task, len(rates), seeds), partial(run, net, layers))
        for net in NETS
        for layers in depths
    ]


def _first_over_last(net: str, layers: int, width: int, examples: Any, seed: int) -> float | None:
    """|g| at the first block over |g| at the last, before training; None where one of them is 0."""
    manual_seed(seed)
    model = build(net, layers, width)
    blocks = model.graph(examples.x[:128], examples.y[:128], loss=LOSS).trace(audit=False).blocks
    first, last = blocks[0].grad_norm, blocks[-1].grad_norm
    return first / last if first and last else None


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per net and depth."""
    return [Field("net", "net", 17, str, words=True), Field("layers", "layers", 8, str), RATE, *ERRORS]


def claims(records: Sequence[Row]) -> list[str]:
    """Which nets learn their examples at every depth, which get worse with depth, and what that rules out."""
    by_net = {net: [r for r in records if r["net"] == net] for net in dict.fromkeys(r["net"] for r in records)}
    shallow, deep = min(r["layers"] for r in records), max(r["layers"] for r in records)
    said = []
    if shallow < deep:
        degraded = {net: rows for net, rows in by_net.items() if _at(rows, shallow).below(_at(rows, deep))}
        gone = [net for net in degraded if _failed(_at(by_net[net], deep))]
        if gone:
            changes = [f"{net} {_change(by_net[net], shallow, deep)}" for net in gone]
            said.append(
                f"Training error from {shallow} to {deep} layers, at the best rate for each: {', '.join(changes)}."
            )
        kept = [net for net, rows in by_net.items() if all(_learned(r["train"]) for r in rows)]
        if kept:
            worst = percent(max(r["train"].mean for net in kept for r in by_net[net]))
            said.append(f"Do not degrade, {worst} in the mean at most, at any of these depths: {', '.join(kept)}.")
        plain = [net for net in PLAIN if net in gone and not _at(by_net[net], deep).diverged]
        if plain:
            said.append("The deep plain nets fail on their own training examples, so it is not overfitting.")
        if "plain + BN" in plain:
            said += _not_vanishing(by_net["plain + BN"], deep)
    return [*said, *errors_note(records), PUBLISHED]


def _not_vanishing(rows: list[Row], deep: int) -> list[str]:
    ratio = next(r["gradient"] for r in rows if r["layers"] == deep)
    if ratio.diverged or min(ratio.known) < 1:
        return []
    return [
        "With BatchNorm they fail although the gradient does not vanish: before training it is "
        f"{number(ratio.mean)} times as large at the first block as at the last."
    ]


def _at(rows: Sequence[Row], layers: int) -> Spread:
    found: Spread = next(r["train"] for r in rows if r["layers"] == layers)
    return found


def _learned(spread: Spread) -> bool:
    return not spread.diverged and spread.mean is not None and spread.mean <= LEARNED


def _failed(spread: Spread) -> bool:
    return bool(spread.diverged) or (spread.mean is not None and spread.mean - (spread.sd or 0.0) > FAILED)


def _change(rows: Sequence[Row], shallow: int, deep: int) -> str:
    return f"{_at(rows, shallow).percent} -> {_at(rows, deep).percent}"


def findings(records: Sequence[Row]) -> list[Finding]:
    """From the shallowest to the deepest net."""
    shallow, deep = min(r["layers"] for r in records), max(r["layers"] for r in records)
    published = {
        "plain + BN": "plain + BatchNorm at 110 layers: over 60%",
        "he2015": "residual (he2015) at 110 layers: 6.43%",
        "preact": "preact at 110 layers: 6.37%",
    }
    shows = f"training error from {shallow} to {deep} Dense layers (published: test error)"
    return [
        Finding(shows, told, _change([r for r in records if r["net"] == net], shallow, deep).replace("->", "→"))
        for net, told in published.items()
    ]


def draw(records: Sequence[Row], ax: Any) -> None:
    """Training error over depth."""
    for net in dict.fromkeys(r["net"] for r in records):
        rows = [r for r in records if r["net"] == net and not r["train"].diverged]
        error_bars(ax, [r["layers"] for r in rows], [r["train"] for r in rows], net)
    axes_of_errors(ax, "Dense layers", "training error, best rate of each")


degradation = Experiment(
    "degradation",
    "Training error by number of layers and kind of block",
    "He et al. 2015 (arXiv:1512.03385), figures 1 and 6, table 6; He et al. 2016, table 2",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"depths": (6, 18), "epochs": 12, "seeds": 2, "rates": (0.01, 0.03)},
)
