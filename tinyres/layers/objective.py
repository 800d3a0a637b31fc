"""Objective: a loss as a model trains on it, from whatever the user named it by, and how the two are joined.

Keras' names speak of probabilities. Where a model ends in the softmax or sigmoid that a loss undoes with a logarithm,
`for_model` gives the loss of the logits instead: exact where a probability rounds to 0, and one op in the trace.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.state import Scope, entered, state
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.dense import Dense
from tinyres.nn.functional import Functional

LossFunction = Callable[[Any, Any], Tensor]
Chance = Callable[[np.ndarray, int], float]


@dataclass(frozen=True, eq=False)
class Objective:
    """A function of (prediction, target) that ends in one number: one node named "loss" in a trace.

    name: the op that the trace shows. values: gives a value per element or row, the batch first; not per_sample: one
    number for the batch. mean: the mean of the values, where there is a faster way to it. targets: "labels"
    (integers), "probabilities", "values" (both shaped like the prediction), or "any". on_logits: for an activation, the
    objective of what that is applied to. takes_logits: the activation that must not stand before it. total: add the
    values of all samples instead of taking their mean. chance(targets, outputs): the mean over these targets for the
    best answer that ignores the input, or any such answer where none is the best; None where that is not known.
    ignored: a label whose rows do not count: their values are 0, and means are over the others.
    """

    name: str
    values: LossFunction
    mean: LossFunction | None = None
    targets: str = "any"
    on_logits: dict[str, Objective] = field(default_factory=dict)
    takes_logits: str | None = None
    total: bool = False
    per_sample: bool = True
    chance: Chance | None = None
    ignored: int | None = None

    def __call__(self, prediction: Any, target: Any, weight: Tensor | None = None) -> Tensor:
        """The loss of a batch. weight: one number per sample, or per value of the loss: the mean of weight · value.

        Raises ArgumentError or ShapeError unless that is one number, as a Tensor.
        """
        target = self._read(prediction, target)
        with entered(Scope("loss", "", self.name, state.scope)):
            if weight is None and self.mean is not None:
                value = self.mean(prediction, target)
            else:
                value = self._reduced(self._values(prediction, target), prediction, target, weight)
            return value * self._counted(prediction, target) if self.total else value

    def rows(self, prediction: Any, target: Any) -> Tensor:
        """The values per sample, or per row of a sample: the last axis of the prediction is averaged over."""
        values = self._values(prediction, self._read(prediction, target))
        return ops.mean(values, axis=-1) if values.ndim and values.shape == prediction.shape else values

    def _read(self, prediction: Any, target: Any) -> Any:
        if self.targets in ("probabilities", "values") and isinstance(target, Tensor) and target.dtype not in FLOATS:
            return ops.astype(target, prediction.dtype)
        if self.targets == "any":
            return like_prediction(prediction, target)
        return target

    def _values(self, prediction: Any, target: Any) -> Tensor:
        values = self.values(prediction, target)
        if not isinstance(values, Tensor):
            got = type(values).__name__
            raise ArgumentError(f"[{self.name}] a loss must return a Tensor; got {got}; compute it with ops")
        return values

    def _reduced(self, values: Tensor, prediction: Any, target: Any, weight: Tensor | None) -> Tensor:
        if values.size == 1 and not (self.per_sample and values.ndim):
            if weight is not None:
                raise ShapeError(
                    f"[{self.name}] weights need a loss with one value per sample; got one number for the batch; "
                    "name its arguments (y_true, y_pred) and leave out the last .mean()"
                )
            return values
        if not self.per_sample or values.shape[:1] != prediction.shape[:1]:
            raise ShapeError(f"[{self.name}] a loss must be one number; got shape {values.shape}; end it with .mean()")
        values = values if weight is None else values * along(weight, values)
        return ops.mean(values) if self.ignored is None else ops.sum(values) / self._counted(prediction, target)

    def _counted(self, prediction: Any, target: Any) -> Any:
        """How many rows count; 1 if none does."""
        if self.ignored is None:
            return float(prediction.size // max(prediction.shape[-1], 1))
        return ops.maximum(ops.sum(ops.astype(ops.not_equal(target, self.ignored), prediction.dtype)), 1.0)

    def __repr__(self) -> str:
        return f"<Objective {self.name}>"


def like_prediction(prediction: Any, target: Any) -> Any:
    """The target with an axis of 1 at the end added or dropped where only that tells it from the prediction."""
    if isinstance(target, Tensor) and isinstance(prediction, Tensor) and target.shape != prediction.shape:
        if (*target.shape, 1) == prediction.shape or target.shape == (*prediction.shape, 1):
            return ops.reshape(target, prediction.shape)
    return target


def along(weight: Tensor, values: Tensor) -> Tensor:
    """Weights per sample, or per value, as a factor of the values."""
    if weight.dtype is not values.dtype:
        weight = ops.astype(weight, values.dtype)
    if weight.shape != values.shape[: weight.ndim]:
        raise ShapeError(
            f"[loss] a weight belongs to each sample, {values.shape[:1]}; got weights {weight.shape} for values "
            f"{values.shape}; give one per sample"
        )
    return ops.reshape(weight, (*weight.shape, *[1] * (values.ndim - weight.ndim)))


def spelling(name: str) -> str:
    """A name as all of Keras' spellings of it have in common: MeanSquaredError, mean_squared_error.

    >>> spelling("MeanSquaredError") == spelling("mean_squared_error")
    True
    """
    return name.replace("_", "").lower()


def of_function(function: LossFunction) -> Objective:
    """The objective around a function (prediction, target) of one number, or, as Keras has it, (y_true, y_pred) of one
    value per sample."""
    as_keras = names_targets_first(function)
    turned = (lambda prediction, target: function(target, prediction)) if as_keras else function
    return Objective(getattr(function, "__name__", "loss"), turned, per_sample=as_keras)


def names_targets_first(function: Callable[..., Any]) -> bool:
    """Whether the arguments of a loss or metric are named (y_true, y_pred), which is Keras' order."""
    try:
        return list(inspect.signature(function).parameters)[:2] == ["y_true", "y_pred"]
    except (TypeError, ValueError):
        return False


def for_model(found: Objective, model: Functional, output: int = 0) -> tuple[Objective, bool]:
    """(the objective to call, whether it takes the logits of this output of the model instead of the output).

    Raises ArgumentError where the two do not fit: a loss of probabilities after a linear layer, a loss of logits after
    a softmax or sigmoid, a softmax over one unit.
    """
    end = model.ends[output] if model.steps else None
    activation = end.layer.final_activation if end is not None else None
    if activation is not None and found.takes_logits == activation:
        raise ArgumentError(
            f"[{found.name}] takes logits, and the model ends in a {activation}; got its output; leave the "
            f"{activation} out, or use the loss of probabilities, by name or with from_logits=False"
        )
    if activation == "softmax" and model.outputs[output].shape[-1] == 1:
        raise ArgumentError(
            f"[{found.name}] a softmax over one unit is always 1, whatever the weights; got an output of 1 unit; "
            'use activation="sigmoid" with "binary_crossentropy", or one unit per class'
        )
    if activation is not None and activation in found.on_logits:
        return replace(found.on_logits[activation], name=found.name, total=found.total), True
    if found.on_logits and end is not None and _ends_linear(end.layer):
        needed = " or ".join(found.on_logits)
        raise ArgumentError(
            f"[{found.name}] takes probabilities, and the model ends in {end.path}, which is linear; "
            f'give that layer activation="{needed}", or say from_logits=True'
        )
    return found, False


def _ends_linear(layer: Any) -> bool:
    if isinstance(layer, Functional) and layer.steps:
        return _ends_linear(layer.steps[-1].layer)
    return isinstance(layer, Dense) and layer.activation in (None, "linear")
