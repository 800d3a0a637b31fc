"""What benches of train steps share: a step of a model and an optimizer, and when a captured one may be timed."""

from __future__ import annotations

from collections.abc import Callable

import tinyres as tr
from tinyres.capture import pace

TRIAL = 3 * pace.ROUNDS * pace.SPAN  # runs in which a captured step for several workers tries its ways
Step = Callable[[tr.Tensor, tr.Tensor], tr.Tensor]


def train_step(model: tr.Model, optimizer: tr.optim.Optimizer) -> Step:
    """Forward, softmax cross-entropy of the model's logits, backward, update: (x, labels) to the loss, eager."""

    def step(x: tr.Tensor, labels: tr.Tensor) -> tr.Tensor:
        loss = tr.losses.softmax_cross_entropy(model(x, training=True), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def settle(step: Callable[[], object]) -> None:
    """Run a captured step until it has found the fastest of its ways: a median over its trial is of the slower ones."""
    for _ in range(TRIAL):
        step()
