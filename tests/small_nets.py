"""Small nets of bare ops for the tests of Graph and Trace: each loss comes with its parameters by name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import tinyres as tr
from tinyres.engine.tensor import Parameter


class Weights:
    """Draws Parameters from one seed."""

    def __init__(self, seed: int = 0, dtype: str = "float32") -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.made: dict[str, Parameter] = {}

    def __call__(self, name: str, *shape: int, scale: float | None = None) -> Parameter:
        scale = shape[0] ** -0.5 if scale is None else scale
        p = Parameter(self.rng.normal(size=shape) * scale, name, dtype=self.dtype)
        self.made[name] = p
        return p

    def data(self, *shape: int) -> tr.Tensor:
        return tr.tensor(self.rng.normal(size=shape), name="input", dtype=self.dtype)


def residual(blocks: int = 3, units: int = 8, batch: int = 4, skip: bool = True, seed: int = 0, gain: float = 1.0,
             dtype: str = "float32", scopes: bool = True) -> tuple[tr.Tensor, Weights]:
    """Blocks of dense+relu, dense, add, relu; the loss is the mean square."""
    w = Weights(seed, dtype)
    x = w.data(batch, units)
    for i in range(blocks):
        with _scope(f"block{i}" if scopes else None):
            h = tr.dense(x, w(f"block{i}/kernel", units, units) * gain, None, "relu")
            h = tr.dense(h, w(f"block{i}/kernel_2", units, units) * gain)
            x = tr.relu(h + x if skip else h)
    return tr.mean(tr.square(x)), w


def _scope(name: str | None) -> tr.name_scope:
    import contextlib

    return tr.name_scope(name) if name is not None else contextlib.nullcontext()


def numpy_values(records: Iterator[tr.Tensor]) -> list[np.ndarray]:
    return [r.numpy() for r in records]
