"""Dropout: in training, elements are left out at random."""

from __future__ import annotations

from tinyres import ops
from tinyres.engine.tensor import Tensor
from tinyres.layers.drawing import Drawing, checked_rate
from tinyres.nn.layer import SingleInput


class Dropout(Drawing, SingleInput):
    """In training every element is 0 with probability `rate`, the others are scaled by 1 / (1 - rate); else x.

    rate: from 0 up to, not including, 1. seed: for a generator of its own; default: the library's, `tr.manual_seed`.
    Source: Srivastava et al. 2014. Raises ArgumentError for a rate outside of its range.

    >>> import tinyres as tr
    >>> layer = tr.layers.Dropout(0.5)
    >>> layer(tr.tensor([1.0, 2.0]))
    Tensor([1., 2.], shape=(2,), dtype=float32)
    """

    by_token = True
    passes_values = True

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(seed, name)
        self.rate = checked_rate("Dropout", rate)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """x, in training with elements left out."""
        if not training or self.rate == 0.0:
            return x
        return ops.dropout(x, self.rate, self._source)
