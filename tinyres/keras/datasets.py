"""Keras' `datasets`: none, for tinyres downloads nothing. Some are bundled, others come from your own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed

__all__: list[str] = []

_HINT = "use tinyres.data.load_digits() or load_table(path): nothing is downloaded"
_INSTEAD = {
    **dict.fromkeys(("boston_housing", "california_housing", "cifar100", "imdb", "reuters"), _HINT),
    "cifar10": "use tinyres.data.load_cifar10(folder), with its files there: nothing is downloaded",
    "fashion_mnist": "use tinyres.data.load_fashion(), a part of it, or load_mnist(folder) with its files there",
    "mnist": "use tinyres.data.load_digits(), or load_mnist(folder) with its files there: nothing is downloaded",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
