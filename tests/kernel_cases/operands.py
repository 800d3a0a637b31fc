"""What cases are made of: the record of a case, sizes and edge values, and operands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Around the lanes of every vector width from 4 to 16, and around two and four of the widest vectors.
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1000)
SHAPES = ((0, 3), (3, 0), (1, 1), (1, 17), (17, 1), (3, 5), (5, 16), (7, 33), (40, 15), (2, 259))

# For large cases: enough for every kernel to be worth more than one thread.
LARGE_SIZE, LARGE_ROWS, LARGE_COLUMNS = 400_003, 1501, 257

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-39, 1.1754944e-38, 3.4028235e38, -3.4028235e38]
    + [1e30, -1e30, 1e-30, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, 2.5, -0.5, 88.0, 88.8, 89.0, -87.0, -88.5, -103.0, -104.0]
    + [9.0, -9.0, 20.0, -20.0, 1e-4, -1e-4, 0.625, 16777217.0],
    np.float32,
)
ULP = 2.0**-23


@dataclass(frozen=True)
class Case:
    """One call of a kernel; `outs` are the operands before the call, None where absent."""

    kernel: str
    outs: list[Array | None]
    ins: list[Array | None]
    args: tuple[int, ...] = ()
    scalars: tuple[float, ...] = ()
    flags: int = 0
    rtol: float = 0.0  # of each value
    atol: float | tuple[float, ...] = 0.0  # of each value, or for each output
    signed_zeros: bool = False  # the sign of a zero is part of the result
    in_place: bool = False  # the output may be the first input of its type


def floats(rng: np.random.Generator, n: int, low: float = -3, high: float = 3) -> Array:
    return rng.uniform(low, high, n).astype(np.float32)


def poison(n: int, letter: str = "f") -> Array:
    dtype: type = {"f": np.float32, "d": np.float64, "l": np.int64, "b": np.bool_}[letter]
    return np.full(n, np.nan, dtype) if letter in "fd" else np.full(n, letter == "b" or -99, dtype)


def random_labels(rng: np.random.Generator, rows: int, classes: int) -> Array:
    return rng.integers(0, classes, rows)


def key(seed: int, counter: int) -> Array:
    return np.array([seed, counter], np.int64)
