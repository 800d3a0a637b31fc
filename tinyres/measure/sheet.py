"""Sheet: the numbers of one measurement, written row by row by kernels and read all at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer, Window
from tinyres.kernels.dtypes import FLOAT64
from tinyres.launch import launch
from tinyres.trace.building import Statistics

WIDTH = 8  # what the kernel `stats` writes
ROWS = 256


class Sheet:
    """Rows of statistics and inner products; each method queues one kernel and gives the number of its row.

    pages: the memory of the rows, ROWS to a page. sizes: by row of how many elements it tells.
    """

    def __init__(self) -> None:
        self.pages: list[Buffer] = []
        self.sizes: list[int] = []

    def statistics(self, buffer: Buffer, size: int) -> int:
        """Sum, squares, zeros, NaNs and infinities of an array."""
        launch(kernels.stats, (self._next(size),), (buffer,), (size,))
        return len(self.sizes) - 1

    def dot(self, a: Buffer, b: Buffer, size: int) -> int:
        """⟨a, b⟩, accumulated in float64."""
        launch(kernels.dot, (self._next(size),), (a, b), (size,))
        return len(self.sizes) - 1

    def _next(self, size: int) -> Buffer:
        row = len(self.sizes) % ROWS
        if row == 0:
            self.pages.append(Buffer(ROWS * WIDTH, FLOAT64))
        self.sizes.append(size)
        return Window(self.pages[-1], row * WIDTH * FLOAT64.itemsize, WIDTH, FLOAT64)

    def read(self, pages: Sequence[Buffer] | None = None) -> tuple[list[Statistics], list[float]]:
        """All rows as Statistics, and all rows as inner products; each row makes sense as one of the two.

        pages: what the same kernels wrote at another time.
        """
        if not self.pages:
            return [], []
        numbers = np.concatenate([page.array for page in pages or self.pages]).reshape(-1, WIDTH)[: len(self.sizes)]
        n = np.maximum(self.sizes, 1)
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
