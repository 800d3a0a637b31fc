"""x and y as one model and one loss take them, rehearsed on placeholders, so that what does not fit changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.engine.state import no_grad, preserving
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, CaptureError
from tinyres.launch import DryRecorder, recording
from tinyres.layers import losses
from tinyres.ops.random import preserving_generator
from tinyres.training.batches import Samples, placeholder
from tinyres.training.protocol import Trainable
from tinyres.training.reading import Port, read_inputs, read_numbers, read_targets

_DRY = DryRecorder("read values in a metric or callback instead")


def read(model: Trainable, op: str, x: Any, y: Any, loss: Any, batch_size: int | None = None) -> Samples:
    """x and y as this model and this loss take them, all checks passed. Builds a model that is not built yet.

    batch_size: of the batches that they will come in; None for all at once.
    """
    inputs = read_model_inputs(model, op, x)
    count = len(inputs[0])
    if not model.steps:
        output = _output_shape(op, rehearse(model, inputs, None, batch_size))
    else:
        output = _output_shape(op, model.outputs if len(model.outputs) > 1 else model.outputs[0])
    targets = read_targets(op, y, count, losses.get(loss).targets, output, model.float_dtype)
    rehearse(model, inputs, (targets, loss), batch_size)
    return Samples(inputs, targets, count)


def read_model_inputs(model: Trainable, op: str, x: Any) -> list[np.ndarray]:
    ports = model.ports
    if ports is None:  # a subclassed model, or one that is not built: the data says what the inputs are
        several = isinstance(x, (list, tuple)) and bool(x) and all(isinstance(a, (np.ndarray, Tensor)) for a in x)
        arrays = [read_numbers(op, "x", a, "encode them as numbers first") for a in (x if several else [x])]
        ports = [Port(f"input {i}", (None, *a.shape[1:]), model.float_dtype) for i, a in enumerate(arrays)]
        x = arrays if several else arrays[0]
        if several and len(arrays) == 1:
            x = arrays[0]
    return read_inputs(op, x, ports)


def _output_shape(op: str, output: Any) -> tuple[int | None, ...]:
    if isinstance(output, (list, tuple)):
        raise ArgumentError(
            f"[{op}] fit and evaluate take models with one output; this one has {len(output)}; "
            "write the loop yourself, with a loss for each output"
        )
    return (None, *output.shape[1:])


def rehearse(
    model: Trainable, inputs: Sequence[np.ndarray], target: tuple[np.ndarray, Any] | None, batch_size: int | None
) -> Any:
    """Forward, and with targets loss and metrics, on placeholders: every shape is checked and nothing runs.

    Builds the model if need be. Returns the output.
    """
    rows = min(batch_size or len(inputs[0]), len(inputs[0]))
    held = [placeholder(array, rows) for array in inputs]
    x = held[0] if len(held) == 1 else held
    with recording(_DRY), preserving(), preserving_generator(), no_grad():
        if target is None:
            return model(x, training=False)
        measure = model.loss_of(target[1])
        with contextlib.suppress(CaptureError):  # a loss that reads values can only be checked by running it
            y = placeholder(target[0], rows)
            prediction, _ = measure(model, x, y, training=True)
            if target[1] is model.loss:
                plan = model.plan("fit")
                plan.training.rehearse(plan.seen(prediction), y)
            return prediction
    return None
