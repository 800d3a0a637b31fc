"""A model's steps, ready to run: captured, or in Python with the same promise that a failed step changes nothing."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from tinyres.capture import capture
from tinyres.errors import ArgumentError, CaptureError, NonFiniteError, ValueCheckFailed
from tinyres.training.protocol import Stepped, Trainable


class Runners:
    """A model's steps, ready to run."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, bool], Callable[..., Any]] = {}

    def get(self, model: Trainable, step: str, captured: bool) -> Callable[..., Any]:
        """The model's method of this name, captured or not."""
        key = step, captured
        if key not in self._made:
            made: Callable[..., Any] = getattr(model, step)
            if step == "train_step" and "watch" not in inspect.signature(made).parameters:
                raise ArgumentError(
                    f"[fit] a train_step of one's own is train_step(self, x, y, sample_weight=None, watch=False) and "
                    f"returns what Model.train_step does; got train_step{inspect.signature(made)}; write the step as a "
                    "function under tinyres.capture, and the loop around it"
                )
            if captured:
                made = capture(made)
            elif step == "train_step":
                made = EagerStep(model)
            self._made[key] = made
        return self._made[key]


class EagerStep:
    """A training step in Python that leaves all state as it was if the loss is not finite, as a captured one does."""

    def __init__(self, model: Trainable) -> None:
        self._model = model
        trained = {id(p) for p in model.parameters()}
        self._kept = [w.buffer for w in model.weights if id(w) not in trained]
        self._kept += [generator.state for generator in model.generators()]

    def __call__(self, x: Any, y: Any, sample_weight: Any = None, watch: bool | str = False) -> Stepped:
        before = [buffer.array.copy() for buffer in self._kept]
        try:
            return self._model.train_step(x, y, sample_weight, watch)
        except ValueCheckFailed:
            for buffer, values in zip(self._kept, before):
                buffer.array[...] = values
        with contextlib.suppress(CaptureError):
            capture(self._model.train_step)(x, y, sample_weight)  # fails the same way, and names the node
        raise NonFiniteError(
            "[check_finite] the loss must be finite; it is not; all state is as before this step; lower the rate"
        )
