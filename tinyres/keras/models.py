"""Keras' models, and `load_model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tinyres.errors import refuse_name
from tinyres.model import Model, Sequential
from tinyres.model import load as load_model

__all__ = [
    "Model",
    "Sequential",
    "load_model",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_name(__name__, name, __all__)
