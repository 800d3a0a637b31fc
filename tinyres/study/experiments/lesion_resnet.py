"""Veit et al. 2016 on images: blocks of trained ResNets of convolutions are deleted, and of plain nets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tinyres.study.experiment import Experiment, Finding, Job, Row
from tinyres.study.experiments.degradation_resnet import IMAGE_RATES, build, check_depths
from tinyres.study.experiments.lesion import COUNTS, claims, deletions, draw, fields, one_deletion
from tinyres.study.sweep import sweep, trainings
from tinyres.study.training import clothes, image_seconds

SECONDS_PER_CUT = 1.2e-2  # and layer, on the test images
DEPTHS = {"residual": 56, "plain": 20}


def plan(
    depth: int = 56,
    width: int = 8,
    steps: int = 300,
    repeats: int = 4,
    seeds: int = 3,
    rates: tuple[float, ...] = IMAGE_RATES,
) -> list[Job]:
    """Test error on the bundled clothes after deleting 1, 2, 3, ... blocks at random.

    depth: of the residual net; the plain one has 20 layers, so that it can be trained. width, steps: as in
    `degradation`. repeats: random choices per count and seed. seeds: nets per row. Raises ArgumentError for another
    depth.
    """
    check_depths((depth,))
    task = clothes(steps)

    def run(net: str, layers: int) -> list[dict[str, Any]]:
        found = sweep(partial(build, net, layers, width), task, rates, seeds)
        # Where a plain net changes the shape no block can go.
        blocks = (layers - 2) // 2 - (2 if net == "plain" else 0)
        return deletions(f"{net}-{layers}", blocks, found, task.test, repeats)

    jobs = []
    for net, layers in (("residual", depth), ("plain", DEPTHS["plain"])):
        cuts = layers // 2 + repeats * len(COUNTS)
        cost = image_seconds(layers, width, task, trainings(len(rates), seeds))
        cost += SECONDS_PER_CUT * seeds * layers * cuts
        jobs.append(Job(f"{net}, {layers} layers", cost, partial(run, net, layers)))
    return jobs


def findings(records: Sequence[Row]) -> list[Finding]:
    """One deletion in each net."""
    told = {True: "plain: chance, 90%", False: "residual: hardly any change"}
    return one_deletion(records, {r["net"]: told[r["net"].startswith("plain")] for r in records})


lesion_resnet = Experiment(
    "lesion-resnet",
    "Deleting blocks of trained nets of convolutions",
    "Veit et al. 2016 (arXiv:1605.06431), figures 3 and 5",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"depth": 20, "width": 4, "steps": 60, "repeats": 1, "seeds": 1, "rates": (0.03,)},
)
