"""Sheet: the numbers of one measurement, written row by row by kernels and read all at once."""

from __future__ import annotations

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.kernels.dtypes import FLOAT64
from tinyres.launch import launch
from tinyres.trace.building import Statistics

_WIDTH = 8  # what the kernel `stats` writes
_ROWS = 256


class _Row(Buffer):
    """One row of a page: it owns no memory."""

    __slots__ = ("_page", "_start")

    def __init__(self, page: Buffer, row: int) -> None:
        self.address = page.address + row * _WIDTH * FLOAT64.itemsize
        self.dtype = FLOAT64
        self._page = page
        self._start = row * _WIDTH

    @property
    def array(self) -> np.ndarray:
        return self._page.array[self._start : self._start + _WIDTH]

    def __del__(self) -> None:
        pass


class Sheet:
    """Rows of statistics and inner products; each method queues one kernel and gives the number of its row."""

    def __init__(self) -> None:
        self._pages: list[Buffer] = []
        self._sizes: list[int] = []

    def statistics(self, buffer: Buffer, size: int) -> int:
        """Sum, squares, zeros, NaNs and infinities of an array."""
        launch(kernels.stats, (self._next(size),), (buffer,), (size,))
        return len(self._sizes) - 1

    def dot(self, a: Buffer, b: Buffer, size: int) -> int:
        """⟨a, b⟩, accumulated in float64."""
        launch(kernels.dot, (self._next(size),), (a, b), (size,))
        return len(self._sizes) - 1

    def _next(self, size: int) -> Buffer:
        row = len(self._sizes) % _ROWS
        if row == 0:
            self._pages.append(Buffer(_ROWS * _WIDTH, FLOAT64))
        self._sizes.append(size)
        return _Row(self._pages[-1], row)

    def read(self) -> tuple[list[Statistics], list[float]]:
        """All rows as Statistics, and all rows as inner products; each row makes sense as one of the two."""
        if not self._pages:
            return [], []
        numbers = np.concatenate([page.array for page in self._pages]).reshape(-1, _WIDTH)[: len(self._sizes)]
        n = np.maximum(self._sizes, 1)
        with np.errstate(all="ignore"):
            mean = numbers[:, 0] / n
            variance = numbers[:, 1] / n - mean * mean
            columns = (
                np.sqrt(numbers[:, 1]),
                mean,
                np.sqrt(np.where(variance < 0, 0.0, variance)),
                *(np.nan_to_num(numbers[:, k]).astype(np.int64) for k in (3, 4, 5)),
            )
        return list(map(Statistics, *(c.tolist() for c in columns))), numbers[:, 0].tolist()
