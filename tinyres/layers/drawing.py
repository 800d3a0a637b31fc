"""What all layers that draw have in common: where their chance comes from."""

from __future__ import annotations

from typing import Any

from tinyres.errors import ArgumentError
from tinyres.nn.layer import Layer
from tinyres.ops.random import Generator, default_generator


class Drawing(Layer):
    """A layer that draws: by a generator of its own where it has a seed, else by the library's, `tr.manual_seed`."""

    def __init__(self, seed: int | None, name: str | None) -> None:
        super().__init__(name)
        self.seed = seed
        self.generator = None if seed is None else Generator(seed)

    @property
    def _source(self) -> Generator:
        return self.generator or default_generator()


def checked_rate(owner: str, rate: Any) -> float:
    """The rate of a dropout, if it is one; else ArgumentError."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < 1.0:
        raise ArgumentError(f"[{owner}] the rate is the share to drop, 0 <= rate < 1; got {rate!r}; choose one")
    return float(rate)
