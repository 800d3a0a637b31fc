"""The steps of a training: launches only, so that each can be captured and replayed in one call."""

from __future__ import annotations

import contextlib
from typing import Any

from tinyres import kernels
from tinyres.capture.finite import FiniteGradients
from tinyres.engine.backward import backward
from tinyres.engine.state import no_grad, recording_all
from tinyres.engine.tensor import Tensor
from tinyres.launch import launch
from tinyres.training.protocol import Stepped, Trainable
from tinyres.training.watching import LayerNorms


def train_step(model: Trainable, x: Any, y: Any, weight: Any, watch: bool | str) -> Stepped:
    """See Model.train_step."""
    plan = model.plan("train_step")
    edges = watch == "edges"
    with recording_all() if edges else contextlib.nullcontext():
        measured = plan.loss.measured(model, x, y, True, weight)
    loss = measured.total
    look = _look(loss, x, y, weight) if edges else None
    launch(kernels.check_finite, (), (loss.buffer,), (1,))
    plan.training.add(measured, y, weight)
    plan.optimizer.zero_grad()
    observer = LayerNorms([loss, *measured.losses]) if watch else None
    backward(loss, on_node=FiniteGradients(observer))
    plan.optimizer.step()
    if observer is None:
        return loss, (), []
    return loss, tuple(zip(observer.names, observer.places)), observer.squares, *([] if look is None else [look])


def _look(loss: Tensor, x: Any, y: Any, weight: Any) -> Any:
    from tinyres.measure.graph import watched  # loads when a gradient is first looked at

    return watched(loss, [x, y, weight])


def test_step(model: Trainable, x: Any, y: Any, weight: Any) -> Tensor:
    """See Model.test_step."""
    plan = model.plan("test_step")
    with no_grad():
        measured = plan.loss.measured(model, x, y, False, weight)
        plan.testing.add(measured, y, weight)
    return measured.total


def predict_step(model: Trainable, x: Any) -> Any:
    """See Model.predict_step."""
    with no_grad():
        return model(x, training=False)
