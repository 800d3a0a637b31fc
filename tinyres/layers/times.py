"""Numbers as waves: what a net is told of a time, a noise level or a place between two pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.nn.layer import SingleInput

MOST = 2**16  # numbers per time: a file must not ask for more than there is memory


class TimeEmbedding(SingleInput):
    """Sines and cosines of a number at `dim` / 2 frequencies each: (n,) or (n, 1) gives (n, dim).

    dim: an even number, at most 65,536. max_wavelength: of the slowest, over 2π; the fastest has 1. The first half are
    the sines of t / max_wavelength^(i / (dim / 2)), the second half the cosines (Ho et al. 2020; Vaswani et al. 2017
    for places).
    Raises ArgumentError for an odd dim, ShapeError for more than one number per example.

    >>> import tinyres as tr
    >>> tr.layers.TimeEmbedding(2)(tr.tensor([0.0, 1.0]))
    Tensor([[0.    , 1.    ],
            [0.8415, 0.5403]], shape=(2, 2), dtype=float32)
    """

    def __init__(self, dim: int, max_wavelength: float = 10000, name: str | None = None) -> None:
        super().__init__(name)
        if isinstance(dim, bool) or not isinstance(dim, int) or not 2 <= dim <= MOST or dim % 2:
            raise ArgumentError(f"[TimeEmbedding] dim is an even count from 2 to {MOST}; got {dim!r}; give 32")
        if not max_wavelength > 1:
            raise ArgumentError(f"[TimeEmbedding] max_wavelength is above 1; got {max_wavelength!r}; give 10000")
        self.dim = dim
        self.max_wavelength = float(max_wavelength)

    def build(self, input_shape: Any) -> None:
        """Check that there is one number per example."""
        if not isinstance(input_shape, tuple) or len(input_shape) not in (1, 2) or input_shape[1:] not in ((), (1,)):
            raise ShapeError(
                f"[TimeEmbedding] {self.path} takes one number per example, (n,) or (n, 1); got shape {input_shape}; "
                "reshape it"
            )

    def call(self, inputs: Tensor) -> Tensor:
        """The waves at these numbers."""
        half = self.dim // 2
        rates = self.max_wavelength ** (-np.arange(half) / half)
        angles = ops.reshape(inputs, (-1, 1)) * tensor(rates[None], dtype=inputs.dtype)
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1)
