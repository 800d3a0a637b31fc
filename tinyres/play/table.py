"""A table of one's own, read as the page reads it (play/static/own.mjs): the same rows and numbers, to the bit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyres.errors import ArgumentError, FileError
from tinyres.play.data import Data

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_LARGEST = 2.0**128 - 2.0**103  # what rounds to infinity in float32
_MISSING = re.compile(r"|\?|nan|na|n/a|null|none|[+-]?inf(inity)?", re.IGNORECASE)


def read(path: str) -> Data:
    """The table in this file: numbers and, in the last column, the class; every column of mean 0 and variance 1.

    Raises FileError for a file that cannot be read, ArgumentError where rows are no numbers with a class. The page's
    bounds on rows and classes are not repeated here.

    >>> with open("points.csv", "w") as file:
    ...     _ = file.write("x;y;kind\\n" + "1;2;a\\n3;5;b\\n" * 4)
    >>> data = read("points.csv")
    >>> data.x.shape, data.trained, data.classes
    ((8, 2), 7, 2)
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise FileError(f"[play] a table is a file that can be read; got {path}: {error.strerror}; name it") from None
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    by = next((mark for mark in ";\t" if lines and mark in lines[0]), ",")
    rows = [[cell.strip() for cell in line.split(by)] for line in lines]
    if rows and any(not _NUMBER.fullmatch(cell) and not _MISSING.fullmatch(cell) for cell in rows[0][:-1]):
        rows = rows[1:]
    x = _numbers(path, rows)
    found = {row[-1] for row in rows}
    counted = all(map(_NUMBER.fullmatch, found))
    names = sorted(found, key=lambda name: (float(name) if counted else 0.0, name))
    order = _shuffled(len(rows))
    y = np.array([names.index(rows[i][-1]) for i in order], np.int64)
    return Data(_standardised(x)[order], y, -(-len(rows) * 4 // 5), len(names))


def _numbers(path: str, rows: list[list[str]]) -> npt.NDArray[np.float32]:
    features = len(rows[0]) - 1 if rows else 0
    if features < 1:
        raise ArgumentError(f"[play] a table has numbers and a class in each row; got none in {path}; name another")
    for i, row in enumerate(rows, 1):
        if len(row) != features + 1 or not row[-1] or not all(map(_fits, row[:-1])):
            raise ArgumentError(f"[play] row {i} must have {features} numbers and a class; got {row!r:.60}; correct it")
    return np.array([[float(cell) for cell in row[:-1]] for row in rows]).astype(np.float32)


def _fits(cell: str) -> bool:
    """Whether it is a number that float32 holds."""
    return _NUMBER.fullmatch(cell) is not None and abs(float(cell)) < _LARGEST


def _standardised(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each column to mean 0 and variance 1, summed row by row; a column that does not vary to 0."""
    wide = x.astype(np.float64)
    mean = np.cumsum(wide, axis=0)[-1] / len(x)
    deviation = np.sqrt(np.cumsum((wide - mean) * (wide - mean), axis=0)[-1] / len(x))
    return ((wide - mean) / np.where(deviation == 0, 1.0, deviation)).astype(np.float32)


def _shuffled(count: int) -> list[int]:
    """The same order for the same number of rows."""
    seed, order = 1, list(range(count))
    for i in range(count - 1, 0, -1):
        seed = (seed * 1664525 + 1013904223) % 2**32
        j = seed * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order
