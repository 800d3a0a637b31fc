"""He et al. 2016, table 2: where BatchNorm and ReLU stand around the Add."""

from __future__ import annotations

from collections.abc import Sequence

from tinyres.study.experiment import Experiment, Finding, Job, Row
from tinyres.study.experiments import he2016
from tinyres.study.training import RATES
from tinyres.study.variants import ACTIVATION_ORDERS

ORIGINAL, FULL, AFTER = "original (ReLU after Add)", "full pre-activation", "BN after Add"


def plan(
    blocks: int = 54,
    width: int = 32,
    epochs: int = 12,
    noise: float = 1.0,
    seeds: int = 5,
    rates: tuple[float, ...] = RATES,
) -> list[Job]:
    """Errors on the noisy digits for the five orders of BatchNorm, ReLU, Dense and Add.

    blocks: of two Dense, 54 as in ResNet-110. width: units. epochs, noise, seeds, rates: as in `degradation`.
    """
    return he2016.jobs(ACTIVATION_ORDERS, blocks, width, epochs, noise, seeds, rates)


def claims(records: Sequence[Row]) -> list[str]:
    """The groups, and the two orders that the paper is about."""
    said = he2016.ordered(records, "train", "Training errors")
    test = {r["block"]: r["test"] for r in records}
    if all(test[name].below(test[AFTER]) for name in test if name != AFTER):
        said.append(
            "As published, BatchNorm after the Add, where it stands on the skip, does worst: "
            f"{test[AFTER].percent} in test."
        )
    published = "published at 110 layers: 6.37% against 6.61%, at 1001: 4.92% against 7.61%"
    if test[FULL].below(test[ORIGINAL]):
        said.append(
            f"Full pre-activation has a lower test error than the original order, {test[FULL].percent} against "
            f"{test[ORIGINAL].percent} ({published})."
        )
    elif test[FULL].comparable and test[ORIGINAL].comparable and not test[ORIGINAL].below(test[FULL]):
        said.append(
            f"Full pre-activation and the original order are not apart by more than the spread, {test[FULL].percent} "
            f"and {test[ORIGINAL].percent} in test ({published})."
        )
    return said + he2016.notes(records)


def findings(records: Sequence[Row]) -> list[Finding]:
    """The original order, full pre-activation, and what stands on the skip."""
    shows = f"test error by the place of BatchNorm and ReLU, {records[0]['blocks']} blocks"
    told = {ORIGINAL: "ReLU after Add 6.61%", FULL: "full preact 6.37%", AFTER: "BN after Add 8.17%"}
    return [Finding(shows, words, he2016.error_of(records, name, "test").percent) for name, words in told.items()]


activation_order = Experiment(
    "activation-order",
    "Where BatchNorm and ReLU stand: errors by order",
    f"{he2016.SOURCE}, table 2",
    plan,
    he2016.fields,
    claims,
    findings,
    he2016.draw,
    quick={"blocks": 9, "epochs": 3, "seeds": 2, "rates": (0.03,)},
)
