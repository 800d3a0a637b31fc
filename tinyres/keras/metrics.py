"""Keras' metrics: those of `tinyres.metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tinyres.errors import refuse_name
from tinyres.training.metrics import *  # noqa: F403
from tinyres.training.metrics import __all__ as _NAMES
from tinyres.training.metrics import get as _get

__all__ = [*_NAMES, "get"]

_INSTEAD = {
    "F1Score": "compute it of Precision and Recall: 2 · p · r / (p + r)",
    "Mean": "use np.mean over float(loss) of each step",
    "MeanIoU": "use model.predict and NumPy",
}


def get(identifier: Any) -> Any:
    """The metric of this name, in any of Keras' spellings, or of this function or object."""
    return _get("metrics", identifier)


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_name(__name__, name, __all__, _INSTEAD)
