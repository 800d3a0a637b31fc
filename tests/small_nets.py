"""Small nets of bare ops for the tests of Graph and Trace."""

from __future__ import annotations

import contextlib

import numpy as np

import tinyres as tr
from tinyres import Parameter, Tensor


class Weights:
    """Draws Parameters from one seed and keeps them by name."""

    def __init__(self, seed: int = 0, dtype: str = "float32") -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.made: dict[str, Parameter] = {}

    def __call__(self, name: str, *shape: int) -> Parameter:
        values = self.rng.normal(size=shape) * shape[0] ** -0.5
        self.made[name] = Parameter(values, name, dtype=self.dtype)
        return self.made[name]

    def data(self, *shape: int, name: str = "input") -> Tensor:
        return tr.tensor(self.rng.normal(size=shape), name=name, dtype=self.dtype)


def residual(
    blocks: int = 3,
    units: int = 8,
    batch: int = 4,
    skip: bool = True,
    seed: int = 0,
    scale: float = 1.0,
    dtype: str = "float32",
    scopes: bool = True,
) -> tuple[Tensor, Weights]:
    """Blocks of dense + relu, dense, add, relu; the loss is `scale` times the mean square of the last output."""
    w = Weights(seed, dtype)
    x = w.data(batch, units)
    for i in range(blocks):
        with tr.name_scope(f"block{i}") if scopes else contextlib.nullcontext():
            h = tr.dense(x, w(f"block{i}/kernel_1", units, units), None, "relu")
            h = tr.dense(h, w(f"block{i}/kernel_2", units, units))
            x = tr.relu(h + x if skip else h)
    loss = tr.mean(tr.square(x))
    return (loss if scale == 1.0 else loss * scale), w
