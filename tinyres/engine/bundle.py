"""An object that stands for Tensors, so that a captured step can return it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Bundle:
    """What holds Tensors, and can be made of others in their place: at each replay those of that run."""

    def tensors(self) -> Sequence[Any]:
        """The Tensors, always as many."""
        raise NotImplementedError

    def made_of(self, tensors: Sequence[Any]) -> Any:
        """The same with these."""
        raise NotImplementedError
