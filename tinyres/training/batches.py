"""Samples cut into batches: arrays that were read already, as Tensors, in order or shuffled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.dtypes import BOOL, FLOAT32, FLOAT64, INT64

_CANONICAL = {dtype: dtype for dtype in (FLOAT32, FLOAT64, INT64, BOOL)}  # the engine compares dtypes by identity


@dataclass(frozen=True)
class Samples:
    """`count` samples: one array per input of the model, and their targets (None for predict)."""

    inputs: list[np.ndarray]
    targets: np.ndarray | None
    count: int

    def part(self, start: int, stop: int) -> Samples:
        """Samples start to stop, without a copy."""
        targets = None if self.targets is None else self.targets[start:stop]
        return Samples([x[start:stop] for x in self.inputs], targets, stop - start)

    def batches(self, size: int, order: np.ndarray | None = None, first: int = 0) -> Iterator[tuple[Any, Any]]:
        """(x, y) Tensors of `size` samples, the last maybe smaller; in the given order, from batch `first` on.

        x is one Tensor, or a list of them for a model of several inputs.
        """
        for start in range(first * size, self.count, size):
            stop = min(start + size, self.count)
            chosen = slice(start, stop) if order is None else order[start:stop]
            inputs = [_gather(x, chosen, stop - start) for x in self.inputs]
            y = None if self.targets is None else _gather(self.targets, chosen, stop - start)
            yield (inputs[0] if len(inputs) == 1 else inputs), y


def placeholder(array: np.ndarray, count: int) -> Tensor:
    """A Tensor of `count` samples like these, without values."""
    shape, dtype = (count, *array.shape[1:]), _CANONICAL[array.dtype]
    return Tensor(Buffer(math.prod(shape), dtype), shape, dtype)


def _gather(array: np.ndarray, chosen: slice | np.ndarray, count: int) -> Tensor:
    shape = (count, *array.shape[1:])
    dtype = _CANONICAL[array.dtype]
    buffer = Buffer(count * (array.size // len(array)), dtype)
    out = buffer.array.reshape(shape)
    if isinstance(chosen, slice):
        out[...] = array[chosen]
    else:
        np.take(array, chosen, axis=0, out=out, mode="clip")  # any other mode goes through a copy
    return Tensor(buffer, shape, dtype)


def split_off(op: str, samples: Samples, fraction: float) -> tuple[Samples, Samples]:
    """All but the last `fraction` of the samples, and those: the validation split of Keras, before any shuffling."""
    train = int(samples.count * (1 - fraction))
    if not 0 < train < samples.count:
        raise ArgumentError(
            f"[{op}] validation_split={fraction} of {samples.count} sample(s) leaves {train} to train on and "
            f"{samples.count - train} to validate on; choose another fraction, or give validation_data"
        )
    return samples.part(0, train), samples.part(train, samples.count)
