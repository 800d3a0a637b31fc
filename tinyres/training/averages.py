"""A mean of the weights over the steps of a training: steadier than the weights of the last step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError
from tinyres.training.callback import Callback, Logs


class WeightAverage(Callback):
    """Keep the exponential moving average of all weights; at the end of `fit` the model has it.

    decay: how much of the average stays in a step; the first steps count more, as min(decay, (1 + step) / (10 + step)).
    swap_at_end: whether the model gets the average at the end of `fit`. `applied()` gives it for a while, `average` is
    it, in the order of model.weights. It goes on where a saved model's training goes on.
    Raises ArgumentError for a decay outside 0 … 1.

    >>> import tinyres as tr
    >>> tr.callbacks.WeightAverage(0.99).decay
    0.99
    """

    def __init__(self, decay: float = 0.999, swap_at_end: bool = True) -> None:
        if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0.0 <= decay < 1.0:
            raise ArgumentError(f"[WeightAverage] decay is a share, 0 <= decay < 1; got {decay!r}; give 0.999")
        self.decay = float(decay)
        self.swap_at_end = bool(swap_at_end)
        self.average: list[np.ndarray] = []
        self.step = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin with the weights as they are, unless it goes on."""
        weights = self.model.get_weights()
        if [a.shape for a in self.average] != [w.shape for w in weights]:
            self.average, self.step = weights, 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Move the average towards the weights."""
        kept = min(self.decay, (1.0 + self.step) / (10.0 + self.step))
        self.step += 1
        for average, weight in zip(self.average, self.model.get_weights()):
            average += (1.0 - kept) * (weight - average)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """The model gets the average."""
        if self.swap_at_end:
            self.model.set_weights(self.average)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the average, then its own weights again."""
        if not self.average:
            raise ArgumentError("[WeightAverage] an average begins with a fit; got none yet; fit the model first")
        own = self.model.get_weights()
        self.model.set_weights(self.average)
        try:
            yield
        finally:
            self.model.set_weights(own)

    def state(self) -> dict[str, Any]:
        """The average and how many steps are in it."""
        return {"average": [a.copy() for a in self.average], "step": self.step}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from it."""
        self.average, self.step = [np.array(a) for a in state["average"]], int(state["step"])
