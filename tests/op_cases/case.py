"""What a row of the table of op cases is made of: the record of a case, and shapes."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinyres as tr

Shape = tuple[int, ...]
KINK_MARGIN = 0.05


@dataclass(frozen=True)
class Case:
    """One op with the inputs to try it on.

    op: the name in its record. run: on Tensors. oracle: the same on float64 arrays in NumPy. shapes: one entry per
    test, each with a shape per input. low, high: the range of values. kinks: values to stay away from, where the
    function is not smooth. bench: shapes of about the size at which speed matters.
    """

    op: str
    run: Callable[..., tr.Tensor]
    oracle: Callable[..., Any]
    shapes: tuple[tuple[Shape, ...], ...]
    low: float = -2.0
    high: float = 2.0
    kinks: tuple[float, ...] = ()
    bench: tuple[Shape, ...] = ()

    def inputs(self, shapes: tuple[Shape, ...], dtype: str = "float64") -> list[np.ndarray]:
        """The same random values every time."""
        random = np.random.default_rng(zlib.crc32(f"{self.op}{shapes}".encode()))
        return [self._away_from_kinks(random.uniform(self.low, self.high, s)).astype(dtype) for s in shapes]

    def _away_from_kinks(self, x: np.ndarray) -> np.ndarray:
        for kink in self.kinks:
            near = np.abs(x - kink) < KINK_MARGIN
            x = np.where(near, kink + np.where(x < kink, -1, 1) * 2 * KINK_MARGIN, x)
        return x

    @property
    def differentiable(self) -> bool:
        return tr.engine.op.OPS[self.op].vjp is not None


def each(*shapes: Shape) -> tuple[tuple[Shape, ...], ...]:
    """One test per shape, for ops of one input."""
    return tuple((shape,) for shape in shapes)


ELEMENTWISE = each((), (1,), (7,), (2, 3), (33,), (0,), (2, 0, 3))
BROADCAST = (
    ((), ()),
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (3, 1)),
    ((2, 1, 4), (3, 1)),
    ((), (2, 3)),
    ((17,), (1,)),
    ((0, 3), (3,)),
    ((1, 3), (0, 1)),
)
BIG = (256, 1024)
REDUCED = each((7,), (3, 4), (2, 3, 4), (3, 1, 2), (40, 3))


def mask_of(shape: Shape) -> np.ndarray:
    return (np.arange(int(np.prod(shape))) % 3 == 0).reshape(shape)
