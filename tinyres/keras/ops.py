"""Keras 3's `keras.ops`: those of tinyres, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.ops import *  # noqa: F403
from tinyres.ops import __all__ as _NAMES
from tinyres.ops import abs as absolute

__all__ = [*_NAMES, "absolute"]

_INSTEAD = {
    "cast": "use tensor.astype",
    "convert_to_numpy": "use tensor.numpy()",
    "convert_to_tensor": "use tinyres.tensor",
    "shape": "use tensor.shape",
    "stop_gradient": "use tensor.detach()",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
