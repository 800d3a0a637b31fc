"""Layers that change the shape and keep the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinyres import ops
from tinyres.engine.tensor import Tensor
from tinyres.errors import ShapeError
from tinyres.nn.layer import SingleInput
from tinyres.nn.symbolic import METHODS, Symbolic


class Flatten(SingleInput):
    """All axes but the batch in one: (n, a, b) gives (n, a · b).

    >>> import tinyres as tr
    >>> tr.layers.Flatten()(tr.tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """

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
