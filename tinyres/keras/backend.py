"""Keras' `backend`: what notebooks take from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tinyres.errors import refuse_name

__all__ = ["clear_session", "epsilon", "floatx"]

_INSTEAD = {
    "get_value": "use tensor.numpy()",
    "set_value": "set the attribute: optimizer.lr = 0.001, or parameter.assign(array)",
}


def clear_session() -> None:
    """Nothing: no state is kept between models. Names are counted per model; memory goes with the model."""


def epsilon() -> float:
    """Keras' smallest number to divide by."""
    return 1e-7


def floatx() -> str:
    """The dtype of weights unless a model is told otherwise."""
    return "float32"


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_name(__name__, name, __all__, _INSTEAD)
