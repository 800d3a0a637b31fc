"""Numbers of tensors, in float64, a piece at a time, so that no copy of a whole tensor is made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.torch.library import torch
from tinyres.trace.building import Statistics

_PIECE = 1 << 15  # elements: they stay in the cache, and are too few for libraries to wake threads for


@dataclass(slots=True)
class Sums:
    """What statistics are made of; those of several arrays add up to those of all."""

    count: int = 0
    sum: float = 0.0
    squares: float = 0.0
    zeros: int = 0
    nans: int = 0
    infs: int = 0

    def add(self, tensor: Any) -> None:
        """Count one more tensor in."""
        for piece in _pieces(tensor):
            self.count += piece.size
            self.zeros += piece.size - int(np.count_nonzero(piece))
            with np.errstate(all="ignore"):
                self.sum += float(piece.sum())
                squares = _product(piece, piece)
            self.squares += squares
            if not math.isfinite(squares):
                self.nans += int(np.isnan(piece).sum())
                self.infs += int(np.isinf(piece).sum())

    def join(self, other: Sums) -> None:
        """Count in what other arrays add up to."""
        self.count += other.count
        self.sum += other.sum
        self.squares += other.squares
        self.zeros += other.zeros
        self.nans += other.nans
        self.infs += other.infs

    @property
    def statistics(self) -> Statistics:
        """Norm, mean, standard deviation and counts."""
        n = max(self.count, 1)
        mean = self.sum / n
        variance = self.squares / n - mean * mean
        std = math.sqrt(variance) if variance > 0 else 0.0 if variance <= 0 else variance
        norm = math.sqrt(self.squares) if self.squares >= 0 else self.squares
        return Statistics(norm, mean, std, self.zeros, self.nans, self.infs)


def sums_of(tensors: Iterable[Any]) -> Sums:
    """Of several tensors together."""
    sums = Sums()
    for tensor in tensors:
        sums.add(tensor)
    return sums


def dot(a: Any, b: Any) -> float:
    """⟨a, b⟩ of two tensors with equally many elements, accumulated in float64."""
    with np.errstate(all="ignore"):
        return sum(_product(x, y) for x, y in zip(_pieces(a), _pieces(b)))


def norms_by_position(tensor: Any) -> tuple[float, ...]:
    """The norms of (batch, tokens, features) along axis 1."""
    with torch.no_grad():
        squares = torch.zeros(tensor.shape[1], dtype=torch.float64, device=tensor.device)
        for sample in tensor:
            squares += sample.to(torch.float64).square().sum(dim=1)
        return tuple(squares.sqrt().tolist())


def dead_channels(tensor: Any, axis: int) -> int:
    """How many channels are 0 throughout."""
    with torch.no_grad():
        others = [i for i in range(tensor.dim()) if i != axis % tensor.dim()]
        alive = (tensor != 0).any(dim=others) if others else tensor != 0
        return int(alive.numel() - int(alive.sum()))


def _pieces(tensor: Any) -> Iterator[np.ndarray]:
    flat = (tensor.to_dense() if tensor.is_sparse else tensor).detach().reshape(-1)
    for start in range(0, flat.numel(), _PIECE):
        yield flat[start : start + _PIECE].to("cpu", torch.float64).numpy()


def _product(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.einsum("i,i->", a, b))
