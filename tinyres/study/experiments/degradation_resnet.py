"""Degradation on images: a plain net of 56 convolutions errs far more than one of 20, a residual one does not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tinyres.applications import resnet
from tinyres.applications.resnet import CIFAR_DEPTHS
from tinyres.errors import ArgumentError
from tinyres.model import Model
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, error_bars
from tinyres.study.sweep import sweep, trainings
from tinyres.study.training import ERRORS, RATE, axes_of_errors, clothes, errors_note, image_seconds

NETS = ("plain", "residual")
IMAGE_RATES = (0.01, 0.03, 0.1, 0.3)
ALIKE = 0.03  # a difference of errors that is hardly one
PUBLISHED = "Published: test errors on CIFAR-10, residual 8.75% at 20 layers, 6.97% at 56; plain nets get worse."


def build(net: str, layers: int, width: int) -> Model:
    """The ResNet for CIFAR of so many layers on 28 x 28 grey pixels, or the same net without its skips."""
    return resnet(layers, input_shape=(28, 28, 1), width=width, residual=net == "residual")


def check_depths(depths: tuple[int, ...]) -> None:
    """Raise ArgumentError for depths that there is no such ResNet of, or that come twice."""
    wrong = [depth for depth in depths if depth not in CIFAR_DEPTHS]
    if wrong or len(set(depths)) < len(depths):
        got = f"{wrong[0]}" if wrong else ",".join(map(str, depths))
        raise ArgumentError(
            f"[experiment] a depth is one of {', '.join(map(str, CIFAR_DEPTHS))}, each once; got {got}; choose of these"
        )


def plan(
    depths: tuple[int, ...] = (20, 56),
    width: int = 8,
    steps: int = 300,
    seeds: int = 5,
    rates: tuple[float, ...] = IMAGE_RATES,
) -> list[Job]:
    """Errors on the bundled clothes, by number of layers, with skips and without.

    depths: layers with weights. width: filters of the first of three stages. steps: of SGD with momentum 0.9 and
    batches of 60, at a rate that rises and falls. seeds: nets per entry. rates: learning rates of which each entry
    takes the best on a validation part. Raises ArgumentError for depths that no such net has, and for one given twice.
    """
    check_depths(depths)
    task = clothes(steps)

    def run(net: str, layers: int) -> list[dict[str, Any]]:
        trained = sweep(partial(build, net, layers, width), task, rates, seeds)
        return [{"net": net, "layers": layers, **trained.record()}]

    return [
        Job(
            f"{net}, {layers} layers",
            image_seconds(layers, width, task, trainings(len(rates), seeds)),
            partial(run, net, layers),
        )
        for layers in depths
        for net in NETS
    ]


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per net and depth."""
    return [Field("net", "net", 10, str, words=True), Field("layers", "layers", 8, str), RATE, *ERRORS]


def claims(records: Sequence[Row]) -> list[str]:
    """Where the two err alike, where the plain one errs more, and what that rules out."""
    by = {(r["net"], r["layers"]): r for r in records}
    depths = sorted({r["layers"] for r in records})
    said = []
    for layers in depths:
        plain, residual = by["plain", layers]["test"], by["residual", layers]["test"]
        told = f"{plain.percent} plain, {residual.percent} residual"
        if residual.below(plain) and plain.comparable:
            gap = 100 * (plain.mean - residual.mean)
            said.append(f"At {layers} layers the skips save {gap:.0f} points of test error: {told}.")
        elif plain.comparable and residual.comparable and abs(plain.mean - residual.mean) < ALIKE:
            said.append(f"At {layers} layers both err alike in test: {told}.")
    shallow, deep = depths[0], depths[-1]
    if shallow < deep:
        changes = {net: (by[net, shallow]["train"], by[net, deep]["train"]) for net in NETS}
        before, after = changes["plain"]
        if before.below(after):
            told = ", ".join(f"{net} {a.percent} -> {b.percent}" for net, (a, b) in changes.items())
            said.append(f"On the training images themselves, from {shallow} to {deep} layers: {told}.")
            if after.comparable:
                said.append("So the deep plain net does not overfit: it fails to learn what the shallow one learns.")
    return [*said, *errors_note(records), PUBLISHED]


def findings(records: Sequence[Row]) -> list[Finding]:
    """From the shallowest to the deepest net."""
    by = {(r["net"], r["layers"]): r["test"].percent for r in records}
    depths = sorted({r["layers"] for r in records})
    shows = f"test error on clothes, ResNets of {' and '.join(map(str, depths))} layers (published: CIFAR-10)"
    told = {"plain": "plain: worse with depth", "residual": "residual: 8.75% at 20, 6.97% at 56 layers"}
    return [Finding(shows, told[net], " → ".join(by[net, layers] for layers in depths)) for net in NETS]


def draw(records: Sequence[Row], ax: Any) -> None:
    """Test error, and training error dashed, over depth."""
    for net in NETS:
        rows = [r for r in records if r["net"] == net]
        places = [r["layers"] for r in rows]
        line = error_bars(ax, places, [r["test"] for r in rows], f"{net}, test")
        colour = line.lines[0].get_color()
        error_bars(ax, places, [r["train"] for r in rows], f"{net}, training", linestyle="--", color=colour)
    axes_of_errors(ax, "layers", "error, best rate of each")


degradation_resnet = Experiment(
    "degradation-resnet",
    "Errors of nets of convolutions by number of layers, with skips and without",
    "He et al. 2015 (arXiv:1512.03385), figure 6 and table 6",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"depths": (20,), "width": 4, "steps": 60, "seeds": 2, "rates": (0.03,)},
)
