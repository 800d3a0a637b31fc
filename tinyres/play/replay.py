"""A training of the page, in Python: the same rows, the same changes at the same steps, and so the same losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tinyres.play.data import rows
from tinyres.play.nets import Net
from tinyres.play.record import Recorded

Event = tuple[int, str, float]


def replayed(
    net: Net,
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.int64],
    steps: int,
    seed: int = 0,
    lr: float = 0.001,
    skip: float = 1.0,
    branch: float = 1.0,
    events: Sequence[Event] = (),
    recorded: Recorded | None = None,
) -> list[float]:
    """The loss of each step. With TINYRES_ISA=generic they are those of the page to the last bit.

    skip, branch: what all skips and branches are multiplied by. events: (step, name, value), what was changed before
    that step, counted from 0: "lr", "skip" and "branch" of all blocks, or "skip:3" and "branch:3" of one. recorded: the
    net to train, which is then as it stands before the next step; a new one if left out.

    >>> from tinyres.play.data import load
    >>> data = load("xor")
    >>> net = Net(blocks=2, units=8, features=2, classes=2)
    >>> losses = replayed(net, data.x, data.y, steps=3, events=[(2, "skip:1", 0.5)])
    >>> len(losses)
    3
    """
    recorded = started(Recorded(net) if recorded is None else recorded, seed, lr, skip, branch)
    losses = []
    for step in range(steps + 1):
        for at, name, value in events:
            if at == step:
                _change(recorded, name, value)
        if step < steps:
            chosen = rows(step, net.batch, len(x))
            losses.append(float(recorded.step(x[chosen], y[chosen])["loss"]))
    return losses


def started(recorded: Recorded, seed: int = 0, lr: float = 0.001, skip: float = 1.0, branch: float = 1.0) -> Recorded:
    """A fresh net at its first weights."""
    recorded.generator.manual_seed(seed)
    for name, value in (("lr", lr), ("skip", skip), ("branch", branch)):
        _change(recorded, name, value)
    recorded.initialise()
    return recorded


def _change(recorded: Recorded, name: str, value: float) -> None:
    kind, _, one = name.partition(":")
    if kind == "lr":
        recorded.optimizer.lr = value
    for place, strength in recorded.strengths.items():
        block, _, of = place.rpartition("/")
        if of == kind and (not one or block == f"block{one}"):
            strength.assign([value])
