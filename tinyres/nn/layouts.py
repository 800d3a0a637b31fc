"""Layouts: how a weight stands in the same layer of PyTorch and of Keras. Each layer's class declares its own.

What is not declared has the same name and shape there. Keras numbers a layer's weights in its order of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """name: in PyTorch's module, "" for the name here. axes: per axis there, which of ours it is, one after the other.

    () for axes: the same ones; an axis there that is none of ours is (). part: (i, n): it is the i-th of n weights that
    stand below one another in one. keras: its path in the layer's group, "" for its number among the layer's own.

    >>> Layout("weight", ((1,), (0,))).there(np.array([[1, 2, 3]])).tolist()
    [[1], [2], [3]]
    """

    name: str = ""
    axes: tuple[tuple[int, ...], ...] = ()
    part: tuple[int, int] = (0, 1)
    keras: str = ""

    def shape_there(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the whole weight there, of ours."""
        sizes = tuple([math.prod(shape[i] for i in group) for group in self.axes]) if self.axes else shape
        return sizes if self.part[1] == 1 else (self.part[1] * sizes[0], *sizes[1:])

    def there(self, array: np.ndarray) -> np.ndarray:
        """Our array as it stands there, or as its part of what does."""
        if not self.axes:
            return array
        order = [i for group in self.axes for i in group]
        sizes = [math.prod(array.shape[i] for i in group) for group in self.axes]
        return np.ascontiguousarray(array.transpose(order).reshape(sizes))

    def here(self, whole: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Our array, of this shape, out of the whole that stands there."""
        part, parts = self.part
        own = whole if parts == 1 else whole[part * (len(whole) // parts) : (part + 1) * (len(whole) // parts)]
        if not self.axes:
            return own
        order = [i for group in self.axes for i in group]
        return np.ascontiguousarray(own.reshape([shape[i] for i in order]).transpose(np.argsort(order)))


SAME = Layout()
MATRIX = Layout("weight", ((1,), (0,)))  # (inputs, outputs) here, (outputs, inputs) there
IMAGE_KERNEL = Layout("weight", ((3,), (2,), (0,), (1,)))  # taps first here, last there
NORM = {"gamma": Layout("weight"), "beta": Layout("bias")}
