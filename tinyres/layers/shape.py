"""Layers that change the shape and keep the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinyres import ops
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.nn.layer import SingleInput
from tinyres.nn.symbolic import METHODS, Symbolic


class Flatten(SingleInput):
    """All axes but the batch in one: (n, a, b) gives (n, a · b).

    >>> import tinyres as tr
    >>> tr.layers.Flatten()(tr.tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """

    passes_values = True

    def call(self, x: Tensor) -> Tensor:
        """x with one axis after the batch."""
        return ops.reshape(x, (_batch("Flatten", x), math.prod(x.shape[1:])))


class Reshape(SingleInput):
    """Each sample in another shape of the same size; one size may be -1.

    target_shape: without the batch. Raises ShapeError if the sizes do not fit.

    >>> import tinyres as tr
    >>> tr.layers.Reshape((2, -1))(tr.tensor([[1.0, 2.0, 3.0, 4.0]])).shape
    (1, 2, 2)
    """

    passes_values = True

    def __init__(self, target_shape: Sequence[int], name: str | None = None) -> None:
        super().__init__(name)
        self.target_shape = tuple(int(n) for n in target_shape)

    def call(self, x: Tensor) -> Tensor:
        """x with its samples reshaped."""
        batch = _batch("Reshape", x)
        size, known = math.prod(x.shape[1:]), math.prod(n for n in self.target_shape if n != -1)
        free = self.target_shape.count(-1)
        if free > 1 or (size != known if not free else not known or size % known):
            raise ShapeError(
                f"[Reshape] {self.path} keeps the size of a sample; got samples of shape {x.shape[1:]} for "
                f"{self.target_shape}; give sizes whose product is {size}"
            )
        return ops.reshape(x, (batch, *[size // known if n == -1 else n for n in self.target_shape]))


class Permute(SingleInput):
    """The axes of each sample in another order. dims: counted from 1, the axis after the batch: (2, 1) swaps two.

    Raises ArgumentError unless dims has every axis of a sample once.

    >>> import tinyres as tr
    >>> tr.layers.Permute((2, 1))(tr.tensor([[[1.0, 2.0, 3.0]]])).shape
    (1, 3, 1)
    """

    passes_values = True

    def __init__(self, dims: Sequence[int], name: str | None = None) -> None:
        super().__init__(name)
        self.dims = tuple(int(n) for n in dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                f"[Permute] dims has each axis of a sample once, counted from 1; got {dims!r}; write (2, 1)"
            )

    def call(self, x: Tensor) -> Tensor:
        """x with its axes permuted."""
        if len(self.dims) != x.ndim - 1:
            raise ShapeError(
                f"[Permute] {self.path} permutes samples of {len(self.dims)} axes; got shape {x.shape}; give other dims"
            )
        return ops.transpose(x, (0, *self.dims))


class RepeatVector(SingleInput):
    """Each sample n times, along a new axis: (batch, features) gives (batch, n, features).

    Raises ArgumentError for n below 1, ShapeError for samples that are no vectors.

    >>> import tinyres as tr
    >>> tr.layers.RepeatVector(3)(tr.tensor([[1.0, 2.0]])).shape
    (1, 3, 2)
    """

    passes_values = True

    def __init__(self, n: int, name: str | None = None) -> None:
        super().__init__(name)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ArgumentError(f"[RepeatVector] n is how often, an integer of at least 1; got {n!r}; choose one")
        self.n = n

    def call(self, x: Tensor) -> Tensor:
        """x repeated."""
        if x.ndim != 2:
            raise ShapeError(f"[RepeatVector] it takes (batch, features); got shape {x.shape}; flatten the samples")
        batch, features = x.shape
        return ops.broadcast_to(ops.reshape(x, (batch, 1, features)), (batch, self.n, features))


def _batch(owner: str, x: Tensor) -> int:
    if not x.shape:
        raise ShapeError(f"[{owner}] it takes a batch, whose first axis stays; got shape (); reshape the value first")
    return x.shape[0]


def _reshape(self: Symbolic, *shape: Any) -> Symbolic:
    """Recorded as layers.Reshape: the first size must be -1 and stands for the batch."""
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    if not sizes or sizes[0] not in (-1, None):
        raise ShapeError(
            f"[reshape] a symbolic tensor keeps its batch axis; got {sizes} for shape {self.shape}; begin with -1"
        )
    return Reshape(sizes[1:])(self)


def _flatten(self: Symbolic) -> Symbolic:
    """Recorded as layers.Flatten: the batch stays."""
    return Flatten()(self)


METHODS.update(reshape=_reshape, flatten=_flatten)
