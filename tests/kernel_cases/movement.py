"""Cases of kernels that move or convert: pairs of types, and random walks over six dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres.kernels.record import ACCUMULATE, FLUSH, ITEM_TYPES, TARGET_SHIFT

from .operands import (
    LARGE_COLUMNS,
    LARGE_ROWS,
    LARGE_SIZE,
    SIZES,
    SPECIAL,
    ULP,
    Array,
    Case,
    floats,
    poison,
    random_labels,
)


def _fill_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, value in itertools.product(SIZES, (0.0, -0.0, 1.5, np.inf, np.nan, 1e-45)):
        yield Case(name, [poison(n)], [], (n,), (value,), signed_zeros=True)


def _cast_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (s, source), (t, target) in itertools.product(enumerate(ITEM_TYPES), repeat=2):
        letter = target[0].replace("i", "l") if target != "float64" else "d"
        for n in (0, 1, 7, 16, 33, 500):
            x = rng.uniform(-1e6, 1e6, n) * (rng.random(n) < 0.7)
            yield Case(name, [poison(n, letter)], [x.astype(source)], (n,), (), s | t << TARGET_SHIFT)
        if source.startswith("float") and target != "int64":  # C leaves NaN and infinities as int64 undefined
            x = SPECIAL.astype(source)
            yield Case(name, [poison(x.size, letter)], [x], (x.size,), (), s | t << TARGET_SHIFT, signed_zeros=True)
    wide = np.array([2**53 + 1, -(2**62), 2**24 + 1, 2**63 - 1], np.int64)
    yield Case(name, [poison(4)], [wide], (4,), (), 2)


def _copy(
    out: Array, x: Array, shape: Any, ostrides: Any, istrides: Any, ooffset: int, ioffset: int, flags: int
) -> Case:
    def six(values: Any) -> list[int]:
        return [int(value) for value in values] + [0] * (6 - len(shape))

    args = (len(shape), *six(shape), *six(ostrides), *six(istrides), ooffset, ioffset)
    rtol = ULP if flags & ACCUMULATE else 0.0
    return Case("copy", [out], [x], args, (), flags, rtol=rtol, signed_zeros=True)


def _transpose_case(rng: np.random.Generator, rows: int, cols: int) -> Case:
    n = rows * cols
    return _copy(poison(n), floats(rng, n), (rows, cols), (cols, 1), (1, rows), 0, 0, 4)


def _copy_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for rows, cols in ((1, 1), (0, 4), (4, 0), (1, 33), (33, 1), (7, 9), (16, 16), (65, 31)):
        yield _transpose_case(rng, rows, cols)
    yield _copy(poison(1), floats(rng, 1), (), (), (), 0, 0, 4)
    for dtype in (np.bool_, np.float32, np.int64, np.float64):
        for ndim, _ in itertools.product(range(1, 7), range(6)):
            shape = rng.integers(1, 5 if ndim > 3 else 9, ndim)
            x, istrides, ioffset = _random_walk(rng, shape, dtype, may_repeat=True)
            out, ostrides, ooffset = _random_walk(rng, shape, dtype, may_repeat=False)
            sums = (0, ACCUMULATE, FLUSH, ACCUMULATE | FLUSH)[ndim % 4] if dtype == np.float32 else 0
            yield _copy(out, x, shape, ostrides, istrides, ooffset, ioffset, np.dtype(dtype).itemsize | sums)
    zeros = np.array([-0.0, 0.0, 1.0, -1.0] * 9, "f4")
    yield _copy(poison(36), zeros, (36,), (1,), (1,), 0, 0, 4 | FLUSH)
    yield _copy(poison(36), zeros, (4, 9), (9, 1), (1, 4), 0, 0, 4 | FLUSH)


def _random_walk(rng: np.random.Generator, shape: Array, dtype: Any, may_repeat: bool) -> tuple[Array, list[int], int]:
    """A buffer, and a walk over part of it: axes permuted, some backwards, with gaps, perhaps some repeated."""
    steps = rng.integers(1, 3, shape.size)
    extents = shape * steps
    strides = np.zeros(shape.size, np.int64)
    size = int(rng.integers(1, 4))
    for axis in rng.permutation(shape.size):
        strides[axis], size = size * steps[axis], size * int(extents[axis])
    repeated = (rng.random(shape.size) < 0.3) & may_repeat
    backwards = rng.random(shape.size) < 0.3
    strides[repeated] = 0
    offset = int(((shape - 1) * strides * backwards).sum())
    strides[backwards] *= -1
    values = rng.uniform(-9, 9, size)
    return (values > 0 if dtype == np.bool_ else values.astype(dtype)), list(strides), offset


def _one_hot_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for rows, cols in ((0, 3), (1, 1), (5, 10), (7, 16), (3, 17), (2, 65)):
        yield Case(name, [poison(rows * cols)], [random_labels(rng, rows, cols)], (rows, cols))


CASES: dict[str, Any] = {
    "fill": _fill_cases,
    "cast": _cast_cases,
    "copy": _copy_cases,
    "one_hot": _one_hot_cases,
}

_N, _ROWS, _COLS = LARGE_SIZE, LARGE_ROWS, LARGE_COLUMNS
LARGE: dict[str, Any] = {
    "fill": lambda name, rng: Case(name, [poison(_N)], [], (_N,), (1.5,)),
    "cast": lambda name, rng: Case(name, [poison(_N, "d")], [floats(rng, _N)], (_N,), (), 0 | 1 << TARGET_SHIFT),
    "copy": lambda name, rng: _transpose_case(rng, 700, 611),
    "one_hot": lambda name, rng: Case(
        name, [poison(_ROWS * _COLS)], [random_labels(rng, _ROWS, _COLS)], (_ROWS, _COLS)
    ),
}
