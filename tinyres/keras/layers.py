"""Keras' layers: those of `tinyres.layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tinyres.errors import refuse_name
from tinyres.layers import *  # noqa: F403
from tinyres.layers import __all__ as _NAMES

__all__ = [*_NAMES]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_name(__name__, name, __all__)
