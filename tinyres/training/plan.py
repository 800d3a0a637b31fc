"""What `compile` said, settled for a built model: the optimizer, the loss on the output, the meters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor
from tinyres.layers import losses
from tinyres.nn.functional import Functional
from tinyres.ops import sigmoid, softmax
from tinyres.optim import Optimizer
from tinyres.training.metrics import Meter, accuracy

_ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid}


class LossOf:
    """A loss as this model computes it: on its output, or on its logits where that is the same and more exact."""

    def __init__(self, loss: Any, model: Functional) -> None:
        self._function, self._on_logits = losses.for_model(loss, model)
        self.activation = model.final_activation if self._on_logits else None

    def __call__(self, model: Functional, x: Any, y: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """(what the loss was computed on, the loss)."""
        options = {"logits": True} if self._on_logits else {}
        prediction = model(x, training=training, **options)
        return prediction, self._function(prediction, y)


class Plan:
    """A compiled model's loss, optimizer and meters."""

    def __init__(self, optimizer: Optimizer, loss: LossOf, metrics: Sequence[tuple[str, Any]], dtype: np.dtype) -> None:
        self.optimizer = optimizer
        self.loss = loss
        self.training = Meter(metrics, dtype)
        self.testing = Meter(metrics, dtype)
        # The largest logit stands where the largest probability does.
        self._as_they_are = loss.activation is None or (
            loss.activation == "softmax" and all(metric is accuracy for _, metric in metrics)
        )

    def seen(self, prediction: Tensor) -> Tensor:
        """What metrics look at: the model's output, though the loss took its logits."""
        if self._as_they_are:
            return prediction
        with no_grad():
            return _ACTIVATIONS[self.loss.activation](prediction)  # type: ignore[index]
