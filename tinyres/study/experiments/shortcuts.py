"""He et al. 2016, table 1: everything on the skip but the identity makes training harder."""

from __future__ import annotations

from collections.abc import Sequence

from tinyres.study.experiment import Experiment, Finding, Job, Row
from tinyres.study.experiments import he2016
from tinyres.study.training import RATES
from tinyres.study.variants import SHORTCUTS

PUBLISHED_DEPTH = 54  # blocks of ResNet-110
CLEAN = ("identity", "exclusive gate")  # the gate starts closed, nearly as the identity
DAMAGED = ("0.5 skip, full branch", "0.5 skip, 0.5 branch", "shortcut-only gate", "1x1 projection")
NONE, DROPOUT = "no skip", "dropout 0.5"


def plan(
    blocks: int = 9,
    width: int = 32,
    epochs: int = 12,
    noise: float = 1.0,
    seeds: int = 5,
    rates: tuple[float, ...] = RATES,
) -> list[Job]:
    """Errors on the noisy digits for scaled, gated, projected and dropped skips.

    blocks: of two Dense; at 54, as in ResNet-110, six of the eight sit at chance. width: units. epochs, noise, seeds,
    rates: as in `degradation`.
    """
    return he2016.jobs(SHORTCUTS, blocks, width, epochs, noise, seeds, rates)


def claims(records: Sequence[Row]) -> list[str]:
    """The groups, and which of the published orders they keep."""
    train = {r["block"]: r["train"] for r in records}
    said = he2016.ordered(records, "train", "Training errors")
    others = [name for name in train if name not in CLEAN]
    if all(train[clean].below(train[other]) for clean in CLEAN for other in others):
        said.append(
            "As published, the identity and an exclusive gate that starts closed, which makes it nearly the identity, "
            "train better than all other skips of this table."
        )
    if all(train[damaged].below(train[NONE]) for damaged in DAMAGED):
        said.append("A skip that is scaled, gated or projected still trains better than none.")
    if train[NONE].below(train[DROPOUT]):
        said.append("Dropout on the skip trains worse than no skip.")
    blocks = records[0]["blocks"]
    half = train["0.5 skip, full branch"]
    if blocks < PUBLISHED_DEPTH and half.mean is not None and not half.diverged and half.mean < 0.5:
        said.append(
            f"The 0.5 skip with a full branch, which fails in ResNet-110, trains at {blocks} blocks: what comes back "
            f"over the skips alone is {0.5**blocks:.1g} of the gradient there, {0.5**PUBLISHED_DEPTH:.0e} over "
            f"{PUBLISHED_DEPTH} blocks."
        )
    return said + he2016.notes(records)


def findings(records: Sequence[Row]) -> list[Finding]:
    """One line per group of the published table."""
    shows = f"training error by what stands on the skip, {records[0]['blocks']} blocks (published: test error)"
    lines = {
        "identity": "identity 6.61%",
        "exclusive gate": "exclusive gate 8.70%",
        "0.5 skip, 0.5 branch": "skip and branch halved 12.35%",
        "1x1 projection": "1×1 projection 12.22%",
        NONE: "no skip: fails",
        DROPOUT: "dropout on the skip: fails",
    }
    return [Finding(shows, told, he2016.error_of(records, block).percent) for block, told in lines.items()]


shortcuts = Experiment(
    "shortcuts",
    "What stands on the skip: errors by kind of shortcut",
    f"{he2016.SOURCE}, table 1",
    plan,
    he2016.fields,
    claims,
    findings,
    he2016.draw,
    quick={"blocks": 3, "epochs": 3, "seeds": 2, "rates": (0.03,)},
)
