"""Many Tensors as one flat run of floats, which is what goes from rank to rank."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinyres.backends.buffers import ALIGNMENT, Buffer, Window
from tinyres.engine.layout import strided_copy
from tinyres.engine.tensor import Tensor
from tinyres.kernels.record import ACCUMULATE


class Bucket:
    """Where Tensors of these shapes lie in a run of `size` floats: each begins on a cache line of its own."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> None:
        self.shapes, self.dtype = list(shapes), dtype
        line = ALIGNMENT // dtype.itemsize
        self._offsets: list[int] = []
        self.size = 0
        for shape in shapes:
            self._offsets.append(self.size)
            self.size += -(-math.prod(shape) // line) * line

    def place(self, run: Buffer, i: int, first: int = 0) -> Window:
        """The part of a run that Tensor number i has; first: where in it the bucket begins."""
        offset = (first + self._offsets[i]) * self.dtype.itemsize
        return Window(run, offset, math.prod(self.shapes[i]), self.dtype)

    def put(self, run: Buffer, i: int, source: Buffer, first: int = 0) -> None:
        """Copy what Tensor number i is to its part."""
        strided_copy(self.place(run, i, first), source, (source.size,), (1,), (1,))

    def add_to(self, target: Buffer, run: Buffer, i: int) -> None:
        """Add what stands in the part of Tensor number i."""
        strided_copy(target, self.place(run, i), (target.size,), (1,), (1,), flags=ACCUMULATE)

    def tensor(self, run: Buffer, i: int) -> Tensor:
        """Tensor number i, as a view."""
        return Tensor(self.place(run, i), self.shapes[i], self.dtype)

    def array(self, run: np.ndarray, i: int) -> np.ndarray:
        """The part of Tensor number i, of a run as an array."""
        return run[self._offsets[i] : self._offsets[i] + math.prod(self.shapes[i])]
