"""Keras' `datasets`: none, for tinyres downloads nothing. Digits are bundled, other data comes from your own files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tinyres.errors import refuse_name

__all__: list[str] = []

_HINT = "use tinyres.data.load_digits() or load_table(path): nothing is downloaded"
_INSTEAD = dict.fromkeys(
    ("boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist", "reuters"), _HINT
)


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_name(__name__, name, __all__, _INSTEAD)
