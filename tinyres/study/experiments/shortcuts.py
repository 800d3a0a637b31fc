"""He et al. 2016, table 1: everything on the skip but the identity makes training harder."""

from __future__ import annotations

from typing import Any

from tinyres.study.experiment import Experiment, percent_or_diverged
from tinyres.study.experiments import he2016
from tinyres.study.variants import SHORTCUTS


def run(blocks: int = 54, width: int = 32, epochs: int = 12, noise: float = 1.0, seeds: int = 3) -> tuple[Any, ...]:
    """Errors on the noisy digits for scaled, gated, projected and dropped skips.

    blocks: of two Dense, 54 as in ResNet-110. width: units. epochs, noise, seeds: as in `degradation`.
    """
    records = he2016.trained_blocks(SHORTCUTS, blocks, width, epochs, noise, seeds)
    reached = records[0]["train"]  # by the identity
    found = [r["block"] for r in records[1:] if None not in (r["train"], reached) and r["train"] <= reached]
    others = f"only {' and '.join(found)} gets there too" if found else "no other skip gets there"
    sentences = [
        f"With the identity the training error is {percent_or_diverged(reached)}; {others}.",
        f"A factor on the skip is a factor per block in the gradient: over {blocks} blocks 0.5 becomes "
        f"{0.5**blocks:.0e}. A gate that starts closed is nearly the identity at first, which is why it does best "
        "among the others. Where a ResNet of convolutions only loses some percent, this net of Dense layers fails.",
    ]
    return he2016.FIELDS, records, sentences, he2016.bars(records)


shortcuts = Experiment(
    "shortcuts", "What stands on the skip: errors by kind of shortcut", f"{he2016.SOURCE}, table 1", run
)
