"""Keras' `datasets`: none, for tinyres downloads nothing. Digits are bundled, other data comes from your own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed

__all__: list[str] = []

_HINT = "use tinyres.data.load_digits() or load_table(path): nothing is downloaded"
_INSTEAD = dict.fromkeys(
    ("boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist", "reuters"), _HINT
)

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
