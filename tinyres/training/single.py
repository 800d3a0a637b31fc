"""One batch at a time: train_on_batch, test_on_batch and predict_on_batch, captured like the steps of `fit`."""

from __future__ import annotations

from typing import Any

from tinyres.errors import NonFiniteError
from tinyres.training.batches import Samples
from tinyres.training.plan import Meters
from tinyres.training.protocol import Trainable
from tinyres.training.reading import non_finite_inputs
from tinyres.training.rehearsal import Reader, read_model_inputs, rehearse


def train_on_batch(model: Trainable, x: Any, y: Any, weight: Any, class_weight: Any) -> dict[str, float]:
    """See Model.train_on_batch."""
    model.require_compiled("train_on_batch")
    samples = Reader(model, "train_on_batch", model.loss, class_weight)(x, y, weight)
    return _measured(model, "train_step", samples, model.plan("train_on_batch").training)


def test_on_batch(model: Trainable, x: Any, y: Any, weight: Any) -> dict[str, float]:
    """See Model.test_on_batch."""
    model.require_compiled("test_on_batch")
    samples = Reader(model, "test_on_batch", model.loss)(x, y, weight)
    return _measured(model, "test_step", samples, model.plan("test_on_batch").testing)


def predict_on_batch(model: Trainable, x: Any) -> Any:
    """See Model.predict_on_batch."""
    inputs = read_model_inputs(model, "predict_on_batch", x)
    if not model.built:
        rehearse(model, inputs)
    outputs = model.runner("predict_step", True)(*Samples(inputs, None, len(inputs[0])).whole())
    return [t.numpy() for t in outputs] if isinstance(outputs, (list, tuple)) else outputs.numpy()


def as_keras(values: dict[str, float], return_dict: bool) -> Any:
    """A dict by name; else the values in a list, or the only one as it is."""
    if return_dict:
        return values
    listed = list(values.values())
    return listed[0] if len(listed) == 1 else listed


def _measured(model: Trainable, step: str, samples: Samples, meters: Meters) -> dict[str, float]:
    """Run the step and read this batch's values; the means of a `fit` that is under way stay as they are."""
    held = meters.state()
    meters.reset()
    try:
        try:
            model.runner(step, True)(*samples.whole())
        except NonFiniteError as error:
            raise NonFiniteError(str(error) + non_finite_inputs(samples.inputs)) from None
        meters.counted(samples.count)
        return meters.read()
    finally:
        meters.reset()
        meters.restore(*held)
