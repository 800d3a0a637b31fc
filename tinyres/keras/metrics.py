"""Keras' metrics: those of `tinyres.metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyres.errors import closed
from tinyres.training.metrics import *  # noqa: F403
from tinyres.training.metrics import __all__ as _NAMES
from tinyres.training.metrics import get as _get

__all__ = [*_NAMES, "get"]

_INSTEAD = {
    "F1Score": "compute it of Precision and Recall: 2 · p · r / (p + r)",
    "Mean": "use np.mean over float(loss) of each step",
}


def get(identifier: Any) -> Any:
    """The metric of this name, in any of Keras' spellings, or of this function or object.

    Raises ArgumentError for an unknown one.

    >>> import tinyres as tf
    >>> tf.keras.metrics.get("mse")
    MeanSquaredError(name='mse')
    """
    return _get("metrics", identifier)


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
