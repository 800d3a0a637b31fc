"""Keras' regularisers: those of `tinyres.regularizers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.nn.regularizers import *  # noqa: F403
from tinyres.nn.regularizers import __all__ as _NAMES

__all__ = [*_NAMES]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)
