"""A train step of a model and an optimizer, for the benches that hold one beside others."""

from __future__ import annotations

from collections.abc import Callable

import tinyres as tr

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
