"""x, y and weights as one model with one loss takes them, rehearsed on placeholders before anything changes."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from tinyres.engine.state import no_grad, preserving
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, CaptureError
from tinyres.launch import DryRecorder, recording
from tinyres.nn.hints import hint_at_raw_bytes
from tinyres.nn.layer import Layer
from tinyres.ops.random import preserving_generator
from tinyres.training.batches import Samples, placeholder
from tinyres.training.hints import hint_at_broadcasting, hint_at_one_class
from tinyres.training.plan import Goal, LossPlan
from tinyres.training.protocol import Trainable
from tinyres.training.reading import (
    Port,
    per_name,
    read_class_weight,
    read_inputs,
    read_numbers,
    read_targets,
    read_weights,
    weights_of_classes,
)

_DRY = DryRecorder("read values in a metric or callback instead")


class Reader:
    """Reads data for one model and one loss; calling it gives Samples that have passed all checks.

    op: how errors name the call. loss: as for `compile`; the compiled one is also measured by its metrics.
    class_weight: a dict of class: weight. A model that is not built yet is built by the first data.
    """

    def __init__(self, model: Trainable, op: str, loss: Any, class_weight: Any = None) -> None:
        self._model, self._op, self._loss, self._class_weight = model, op, loss, class_weight
        self._plan: LossPlan | None = None
        self._shapes: list[tuple[int | None, ...]] = []
        self._rehearsed: set[Hashable] = set()

    def __call__(self, x: Any, y: Any, weight: Any = None, rows: int | None = None) -> Samples:
        """The samples. rows: of the batches that they will come in; None for all at once."""
        op, model = self._op, self._model
        inputs = read_model_inputs(model, op, x)
        count = len(inputs[0])
        plan = self._settled(inputs)
        names = [goal.name for goal in plan.goals]
        given = per_name(op, "y", y, names)
        targets = [self._target(*each, count) for each in zip(plan.goals, given, self._shapes)]
        weights = self._weights(weight, targets, count, names)
        samples = Samples(inputs, targets, count, weights)
        self._rehearse(plan, samples, min(rows or count, count))
        return samples

    def look_at_labels(self, samples: Samples) -> None:
        """Hint at labels that are all one; for all that is trained on, as a small batch may well have one class."""
        assert self._plan is not None and samples.targets is not None
        for goal, target, shape in zip(self._plan.goals, samples.targets, self._shapes):
            hint_at_one_class(self._op, goal, target, shape[-1])

    def _settled(self, inputs: list[np.ndarray]) -> LossPlan:
        if self._plan is None:
            model = self._model
            if model.steps:
                self._shapes = [(None, *output.shape[1:]) for output in model.outputs]
            else:
                outputs = rehearse(model, inputs)
                several = isinstance(outputs, (list, tuple))
                self._shapes = [(None, *t.shape[1:]) for t in (outputs if several else [outputs])]
                model.note_outputs(len(self._shapes))
            self._class_weight = read_class_weight(self._op, self._class_weight, len(self._shapes))
            self._plan = model.loss_of(self._loss)
            if self._loss is model.loss:
                plan = model.plan(self._op)
                self._plan, self._rehearsed = plan.loss, plan.rehearsed
        return self._plan

    def _target(self, goal: Goal, y: Any, shape: tuple[int | None, ...], count: int) -> np.ndarray | None:
        if not goal.needs_target:
            return None
        what = "y" if len(self._shapes) == 1 else f"y[{goal.name!r}]"
        kind, ignored = ("any", None) if goal.loss is None else (goal.loss.targets, goal.loss.ignored)
        return read_targets(self._op, y, count, kind, shape, self._model.float_dtype, what, ignored)

    def _weights(
        self, weight: Any, targets: Sequence[np.ndarray | None], count: int, names: Sequence[str]
    ) -> list[np.ndarray | None] | None:
        dtype = self._model.float_dtype
        if self._class_weight is None:
            return read_weights(self._op, weight, count, self._shapes, names, dtype)
        if weight is not None:
            raise ArgumentError(
                f"[{self._op}] samples are weighted one way; got both sample_weight and class_weight; multiply "
                "sample_weight by the weight of each sample's class, and give that"
            )
        (target,), (shape,) = targets, self._shapes
        assert target is not None and self._plan is not None  # one output, and it is trained on
        kind = self._plan.goals[0].loss.targets
        return [weights_of_classes(self._op, self._class_weight, target, kind, shape[-1]).astype(dtype)]

    def _rehearse(self, plan: LossPlan, samples: Samples, rows: int) -> None:
        """Forward, losses and metrics on placeholders, once for each kind of batch: every shape is checked."""
        groups = [g for g in (samples.inputs, samples.targets, samples.weights) if g is not None]
        kinds = tuple([tuple([None if a is None else (a.shape[1:], a.dtype) for a in g]) for g in groups])
        if (rows, kinds) in self._rehearsed:
            return
        model = self._model
        x, *rest = (_held(group, rows) for group in groups)
        with recording(_DRY), preserving(), preserving_generator(), no_grad():
            with contextlib.suppress(CaptureError):  # a loss that reads values can only be checked by running it
                measured = plan.measured(model, x, rest[0], True, *rest[1:])
                targets = [rest[0]] if len(plan.goals) == 1 else rest[0]
                for each in zip(plan.goals, measured.predictions, targets):
                    hint_at_broadcasting(self._op, *each)
                if self._loss is model.loss:
                    model.plan(self._op).training.rehearse(measured, rest[0])
        self._rehearsed.add((rows, kinds))


def read(model: Trainable, op: str, x: Any, y: Any, loss: Any, weight: Any = None) -> Samples:
    """x and y as this model and this loss take them, all as one batch. Builds a model that is not built yet."""
    return Reader(model, op, loss)(x, y, weight)


def read_model_inputs(model: Trainable, op: str, x: Any) -> list[np.ndarray]:
    """One array per input of the model, checked."""
    if isinstance(model, Layer):
        hint_at_raw_bytes(op, model, x)
    ports = model.ports
    if ports is None:  # a subclassed model, or one that is not built: the data says what the inputs are
        several = isinstance(x, (list, tuple)) and bool(x) and all(isinstance(a, (np.ndarray, Tensor)) for a in x)
        arrays = [read_numbers(op, "x", a, "encode them as numbers first") for a in (x if several else [x])]
        ports = [Port(f"input {i}", (None, *a.shape[1:]), model.float_dtype) for i, a in enumerate(arrays)]
        x = arrays if several else arrays[0]
        if several and len(arrays) == 1:
            x = arrays[0]
    return read_inputs(op, x, ports)


def rehearse(model: Trainable, inputs: Sequence[np.ndarray], rows: int | None = None) -> Any:
    """Forward on placeholders: nothing runs. Builds the model if need be; returns its outputs."""
    with recording(_DRY), preserving(), preserving_generator(), no_grad():
        return model(_held(inputs, rows or len(inputs[0])), training=False)


def _held(arrays: Sequence[np.ndarray | None], rows: int) -> Any:
    """Placeholders as a step takes them: one Tensor, or a list for several arrays."""
    held = [None if array is None else placeholder(array, rows) for array in arrays]
    return held[0] if len(held) == 1 else held
