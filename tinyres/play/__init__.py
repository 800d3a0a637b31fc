"""The page: recorded nets, what replays them in a browser, and the server; and its views in a notebook, `widget`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.play.notebook import widget

__all__ = ["widget"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)
