"""He et al. 2016, table 2: where BatchNorm and ReLU stand around the Add."""

from __future__ import annotations

from typing import Any

from tinyres.study.experiment import Experiment, percent_or_diverged
from tinyres.study.experiments import he2016
from tinyres.study.variants import ACTIVATION_ORDERS


def run(blocks: int = 54, width: int = 32, epochs: int = 12, noise: float = 1.0, seeds: int = 3) -> tuple[Any, ...]:
    """Errors on the noisy digits for the five orders of BatchNorm, ReLU, Dense and Add.

    blocks: of two Dense, 54 as in ResNet-110. width: units. epochs, noise, seeds: as in `degradation`.
    """
    records = he2016.trained_blocks(ACTIVATION_ORDERS, blocks, width, epochs, noise, seeds)
    train = {r["block"]: r["train"] for r in records}
    sentences = [
        f"Full pre-activation reaches {percent_or_diverged(train['full pre-activation'])} in training, the original "
        f"order {percent_or_diverged(train['original (ReLU after Add)'])}, and BatchNorm after the Add, which stands "
        f"on the skip, {percent_or_diverged(train['BN after Add'])}.",
        "Published at 1001 layers: original 7.61%, full pre-activation 4.92%.",
    ]
    return he2016.FIELDS, records, sentences, he2016.bars(records)


activation_order = Experiment(
    "activation-order", "Where BatchNorm and ReLU stand: errors by order", f"{he2016.SOURCE}, table 2", run
)
