"""What `compile` said, settled for a built model: the optimizer, and for each output its loss, weight and metrics.

The total that is trained on is the sum over the outputs of weight · loss.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.engine.state import entered, no_grad
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.layers import losses
from tinyres.nn.regularizers import penalties
from tinyres.ops import sigmoid, softmax
from tinyres.optim import Optimizer
from tinyres.training.metrics import Meter, Metric, both, resolve, settled
from tinyres.training.protocol import Trainable

_ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid}


@dataclass(frozen=True)
class Goal:
    """What one output is trained on and measured by.

    loss: None: it is not trained on. activation: the last thing that the output goes through, where the loss is
    computed on what comes before it; else None. weight: of the loss in the total.
    """

    name: str
    loss: Any
    activation: str | None
    weight: float
    metrics: list[tuple[str, Metric]]

    @property
    def needs_target(self) -> bool:
        """Whether anything is computed from a target."""
        return self.loss is not None or bool(self.metrics)

    def seen(self, prediction: Tensor) -> Tensor:
        """What metrics look at: the model's output, though the loss took its logits."""
        if self.activation is None or not self.metrics:
            return prediction
        # The largest logit stands where the largest probability does.
        if self.activation == "softmax" and all(metric.on_logits for _, metric in self.metrics):
            return prediction
        with no_grad():
            return _ACTIVATIONS[self.activation](prediction)


@dataclass(frozen=True)
class Measured:
    """One batch: what each loss was computed on, each loss, and the total."""

    predictions: Sequence[Tensor]
    losses: Sequence[Tensor | None]
    total: Tensor

    def times(self, factor: Tensor) -> Measured:
        """The same with every loss multiplied, to be looked at."""
        with no_grad():
            scaled = [None if loss is None else loss * factor for loss in self.losses]
            return Measured(self.predictions, scaled, self.total * factor)


class LossPlan:
    """The loss of a model: a Goal for each output, on its logits where that is the same and more exact."""

    def __init__(
        self, model: Trainable, loss: Any, weights: Any = None, metrics: Any = None, weighted: Any = None
    ) -> None:
        names = model.output_names
        chosen = per_output("compile", "loss", loss, names)
        if all(each is None for each in chosen):
            raise ArgumentError(f"[compile] an output must have a loss; got none for any of {names}; give one")
        factors = _read_weights(weights, names)
        plain, by_weight = read_metrics(metrics, names), read_metrics(weighted, names)
        measured = [both(*each) for each in zip(plain, by_weight)]
        self.goals: list[Goal] = []
        for i, name in enumerate(names):
            found, on_logits = (None, False) if chosen[i] is None else losses.for_model(chosen[i], model, i)  # type: ignore[arg-type]
            activation = model.final_activations[i] if on_logits else None
            ends = model.final_activations[i] if model.steps else None
            self.goals.append(Goal(name, found, activation, factors[i], settled(measured[i], ends, found)))
        short = tuple([i for i, goal in enumerate(self.goals) if goal.activation is not None])
        self._options: dict[str, Any] = {"logits": True if len(names) == 1 else short} if short else {}

    def __call__(self, model: Any, x: Any, y: Any, training: bool, weight: Any = None) -> tuple[Any, Tensor]:
        """(what the losses were computed on, the total)."""
        measured = self.measured(model, x, y, training, weight)
        return measured.predictions[0] if len(self.goals) == 1 else measured.predictions, measured.total

    def chance(self, y: Any, widths: Sequence[int]) -> float | None:
        """The total of an answer that ignores the input, over these targets; None where one loss does not tell.

        widths: per output the size of its last axis.
        """
        total = 0.0
        for goal, target, width in zip(self.goals, [y] if len(self.goals) == 1 else y, widths):
            if goal.loss is None:
                continue
            if goal.loss.chance is None or goal.loss.total:
                return None
            total += goal.weight * goal.loss.chance(target.numpy(), width)
        return total

    def measured(
        self, model: Any, x: Any, y: Any, training: bool, weight: Any = None, shares: Sequence[Tensor] | None = None
    ) -> Measured:
        """Forward and loss of a batch. y, weight: a Tensor, or with several outputs a list of Tensors and None.

        shares: of a part of a batch, what each loss and at last the penalties are multiplied by (`shares_of`).
        """
        prediction = model(x, training=training, **self._options)
        if len(self.goals) == 1:
            predictions, targets, weights = [prediction], [y], [weight]
        else:
            predictions, targets = list(prediction), y
            weights = [None] * len(self.goals) if weight is None else weight
        values = [_loss(*each) for each in zip(self.goals, predictions, targets, weights)]
        if shares is not None:
            values = [value if value is None else _share_of(value, share) for value, share in zip(values, shares)]
        terms = [
            value if goal.weight == 1.0 else value * goal.weight
            for goal, value in zip(self.goals, values)
            if value is not None
        ]
        total = terms[0]
        added = penalties(model) if shares is None else [term * shares[-1] for term in penalties(model)]
        for term in (*terms[1:], *added):
            total = total + term
        return Measured(predictions, values, total)

    def shares_of(self, y: Any, limits: Sequence[int]) -> np.ndarray:
        """What a part of a batch counts of the whole, (parts, outputs + 1): all parts together are the batch's loss.

        y: of the batch. limits: at which samples parts begin, and the number of samples. A mean counts by samples, or
        by labels that are not ignored; a sum as it is; the penalties, last, by samples.
        """
        sizes = np.diff(limits)
        shares = np.repeat(sizes[:, None] / limits[-1], len(self.goals) + 1, axis=1)
        for i, (goal, target) in enumerate(zip(self.goals, [y] if len(self.goals) == 1 else y)):
            if goal.loss is not None and goal.loss.total:
                shares[:, i] = 1.0
            elif goal.loss is not None and goal.loss.ignored is not None:
                counting = (target.numpy() != goal.loss.ignored).reshape(limits[-1], -1).sum(axis=1)
                counted = np.diff(np.concatenate([[0], np.cumsum(counting)])[limits])
                shares[:, i] = counted / max(counted.sum(), 1)
        return shares


class Plan:
    """A compiled model's optimizer, loss and meters; rehearsed: the kinds of batches that are known to fit."""

    def __init__(self, optimizer: Optimizer, loss: LossPlan, dtype: np.dtype) -> None:
        self.optimizer = optimizer
        self.loss = loss
        self.training = Meters(loss.goals, dtype)
        self.testing = Meters(loss.goals, dtype)
        self.rehearsed: set[Hashable] = set()


class Meters:
    """Means over the samples seen so far: of the total, and of each output's loss and metrics, by Keras' names."""

    def __init__(self, goals: Sequence[Goal], dtype: np.dtype) -> None:
        self._goals = list(goals)
        single = len(self._goals) == 1
        self._total = Meter(self._goals[0].metrics if single else [], dtype)
        self._parts = [] if single else [Meter(goal.metrics, dtype) for goal in self._goals]
        self._all = [self._total, *self._parts]

    def reset(self) -> None:
        """Start again from nothing."""
        for meter in self._all:
            meter.reset()

    def add(self, measured: Measured, y: Any, weight: Any = None) -> None:
        """Add one batch, by kernels; the caller counts its samples, which no capture would do."""
        if not self._parts:
            (goal,), (prediction,) = self._goals, measured.predictions
            self._total.add(measured.total, goal.seen(prediction), y, weight)
            return
        self._total.add(measured.total, None, next(target for target in y if target is not None))
        weights = [None] * len(self._goals) if weight is None else weight
        for goal, meter, prediction, loss, target, each in zip(
            self._goals, self._parts, measured.predictions, measured.losses, y, weights
        ):
            if goal.needs_target:
                meter.add(measured.total if loss is None else loss, goal.seen(prediction), target, each)

    def rehearse(self, measured: Measured, y: Any) -> None:
        """Run the metrics on placeholders."""
        meters, targets = (self._parts, y) if self._parts else ([self._total], [y])
        for goal, meter, prediction, target in zip(self._goals, meters, measured.predictions, targets):
            if goal.metrics:
                meter.rehearse(goal.seen(prediction), target)

    def counted(self, samples: int) -> None:
        """So many samples were added."""
        for meter in self._all:
            meter.count += samples

    def read(self) -> dict[str, float]:
        """The means: loss, then each output's loss, then each output's metrics."""
        total = self._total.read()
        if not self._parts:
            return total
        read = [(goal, meter.read()) for goal, meter in zip(self._goals, self._parts)]
        parts = {f"{goal.name}_loss": values["loss"] for goal, values in read if goal.loss is not None}
        for goal, values in read:
            parts.update({f"{goal.name}_{name}": value for name, value in values.items() if name != "loss"})
        return {**total, **parts}

    @property
    def sums(self) -> np.ndarray:
        """All sums, one behind the other, as float64; may be set."""
        return np.concatenate([total.array for meter in self._all for total in meter.totals], dtype=np.float64)

    @sums.setter
    def sums(self, values: np.ndarray) -> None:
        first = 0
        for total in [total for meter in self._all for total in meter.totals]:
            total.array[...] = values[first : first + total.size]
            first += total.size

    def state(self) -> tuple[list[list[float]], int]:
        """(the sums, over how many samples), for `restore`."""
        return [total for meter in self._all for total in meter.state()], self._total.count

    def restore(self, totals: Sequence[Any], count: int) -> None:
        """Go on from these sums."""
        rest = list(totals)
        for meter in self._all:
            own, rest = rest[: len(meter.totals)], rest[len(meter.totals) :]
            meter.restore(own, count)


def per_output(op: str, what: str, value: Any, names: Sequence[str]) -> list[Any]:
    """The value for each output: the same for all, one each in a list, or by name in a dict, None where it has none."""
    if isinstance(value, Mapping):
        unknown = [key for key in value if key not in names]
        if unknown:
            raise ArgumentError(
                f"[{op}] a dict for {what} has names of outputs, {list(names)}; got {unknown[0]!r}; rename it"
            )
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise ArgumentError(
                f"[{op}] a list for {what} has an entry for each output, {list(names)}; got {len(value)}; "
                "give None for an output without, or a dict by name"
            )
        return list(value)
    return [value] * len(names)


def read_metrics(metrics: Any, names: Sequence[str]) -> list[list[tuple[str, Metric]]]:
    """(name, function) of every metric, for each output."""
    if len(names) == 1 and not isinstance(metrics, Mapping):
        nested = isinstance(metrics, (list, tuple)) and len(metrics) == 1 and isinstance(metrics[0], (list, tuple))
        return [resolve("compile", metrics[0] if nested else metrics)]
    if metrics is not None and not isinstance(metrics, (list, tuple, Mapping)):
        resolve("compile", metrics)  # says that they come as a list
    found = [None] * len(names) if not metrics else per_output("compile", "metrics", metrics, names)
    return [resolve("compile", [m] if isinstance(m, str) or callable(m) else m) for m in found]


def check_compiled(loss: Any, metrics: Any) -> None:
    """Refuse unknown losses and metrics before it is known what the outputs are."""
    if isinstance(loss, Mapping):
        loss = list(loss.values())
    for each in loss if isinstance(loss, (list, tuple)) else [loss]:
        if each is not None:
            losses.get(each)
    if isinstance(metrics, Mapping):
        metrics = list(metrics.values())
    if metrics is not None and not isinstance(metrics, (list, tuple)):
        resolve("compile", metrics)
    for each in metrics or ():
        if each is not None:
            resolve("compile", each if isinstance(each, (list, tuple)) else [each])


def _loss(goal: Goal, prediction: Tensor, target: Any, weight: Any) -> Tensor | None:
    if goal.loss is None:
        return None
    return goal.loss(prediction, target) if weight is None else goal.loss(prediction, target, weight)


def _share_of(loss: Tensor, share: Tensor) -> Tensor:
    """The product belongs to the loss: what watches layers takes it for none."""
    with entered(loss.node.scope if loss.node is not None else None):
        return loss * share


def _read_weights(weights: Any, names: Sequence[str]) -> list[float]:
    found = [1.0 if weight is None else weight for weight in per_output("compile", "loss_weights", weights, names)]
    for weight in found:
        number = isinstance(weight, (int, float, np.number)) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight):
            raise ArgumentError(f"[compile] a loss weight is a finite number; got {weight!r}; choose another")
    return [float(weight) for weight in found]
