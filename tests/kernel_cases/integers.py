"""Cases of kernels on int64 and bool, and of rows by number, running sums and sorting."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres.kernels.record import KERNELS, OPERATIONS, RELATION_SHIFT, RELATIONS, REVERSE

from .operands import LARGE_COLUMNS, LARGE_ROWS, SHAPES, SPECIAL, ULP, Array, Case, floats, poison

_EXTREMES = np.array([0, 1, -1, 2, -3, 7, 63, 2**53 + 1, -(2**62), 2**63 - 1, -(2**63)], np.int64)


def _values(name: str, rng: np.random.Generator, size: int) -> Array:
    return rng.random(size) < 0.5 if KERNELS[name].ins[0] == "b" else rng.integers(-9, 10, size)


def _codes(name: str) -> range:
    if name == "compare_integers":
        return range(len(RELATIONS))
    first = OPERATIONS.index("and") if name == "logic" else 0
    return range(first, OPERATIONS.index("xor") + 1 if name == "logic" else len(OPERATIONS))


def _pair_case(name: str, rng: np.random.Generator, rows: int, cols: int, modes: int, code: int) -> Case:
    sizes = [(rows * cols, cols, rows, 1)[modes >> 2 * i & 3] for i in range(2)]
    ins: list[Array | None] = [_values(name, rng, size) for size in sizes]
    out, flags = poison(rows * cols, KERNELS[name].outs), modes | code << RELATION_SHIFT
    return Case(name, [out], ins, (rows, cols), (), flags, in_place=KERNELS[name].in_place and modes & 3 == 0)


def _pair_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    codes = itertools.cycle(_codes(name))
    for (rows, cols), modes in itertools.product(SHAPES, range(16)):
        yield _pair_case(name, rng, rows, cols, modes, next(codes))
    if name == "logic":
        return
    a, b = (grid.reshape(-1) for grid in np.meshgrid(_EXTREMES, _EXTREMES))
    for code in _codes(name):
        keep = b < 64 if code == OPERATIONS.index("pow") else np.ones(b.size, bool)
        out = poison(int(keep.sum()), KERNELS[name].outs)
        yield Case(name, [out], [a[keep], b[keep]], (1, out.size), (), code << RELATION_SHIFT)


_FOLDS = [OPERATIONS.index(operation) for operation in ("add", "mul", "maximum", "minimum")]


def _reduce_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (outer, n, inner), code in itertools.product(((1, 7, 1), (2, 3, 4), (5, 1, 3), (0, 3, 2), (40, 9, 5)), _FOLDS):
        x = rng.integers(-(2**62), 2**62, outer * n * inner)
        yield Case(name, [poison(outer * inner, "l")], [x], (outer, n, inner), (), code << RELATION_SHIFT)
    for code in _FOLDS[:2]:
        yield Case(name, [poison(6, "l")], [np.zeros(0, np.int64)], (2, 0, 3), (), code << RELATION_SHIFT)


_WALKS = ((1, 5, 1, 3), (1, 4, 7, 9), (3, 6, 1, 4), (2, 3, 17, 5), (4, 0, 3, 2), (0, 3, 2, 5), (2, 40, 33, 8))


def _gather_case(rng: np.random.Generator, outer: int, n: int, inner: int, classes: int, dtype: Any) -> Case:
    x = rng.integers(0, 100, outer * classes * inner).astype(dtype)
    letter = {"f": "f", "d": "d", "l": "l", "?": "b"}[np.dtype(dtype).char]
    args = (outer, n, inner, classes)
    flags = x.itemsize
    return Case("gather_rows", [poison(outer * n * inner, letter)], [x, rng.integers(0, classes, n)], args, (), flags)


def _gather_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for walk, dtype in itertools.product(_WALKS, (np.float32, np.float64, np.int64, np.bool_)):
        yield _gather_case(rng, *walk, dtype)
    out_of_range = np.array([-1, 0, 3, 2**40, 2], np.int64)
    yield Case(name, [poison(10)], [floats(rng, 6), out_of_range], (1, 5, 2, 3), (), 4)


def _scatter_case(rng: np.random.Generator, outer: int, n: int, inner: int, classes: int) -> Case:
    ins: list[Array | None] = [floats(rng, outer * n * inner), rng.integers(0, classes, n)]
    args = (outer, n, inner, classes)
    return Case("scatter_rows", [poison(outer * classes * inner)], ins, args, (), 0, 0.0, 4e-6)


def _scatter_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for walk in _WALKS:
        yield _scatter_case(rng, *walk)
    out_of_range = np.array([-1, 0, 3, 2**40, 2], np.int64)
    yield Case(name, [poison(6)], [floats(rng, 10), out_of_range], (1, 5, 2, 3))


def _cumsum_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for outer, n, inner in ((1, 9, 1), (3, 7, 1), (2, 5, 3), (1, 4, 300), (0, 3, 2), (2, 0, 3), (5, 1, 17), (1, 99, 1)):
        for flags in (0, REVERSE):
            x = floats(rng, outer * n * inner)
            yield Case(name, [poison(x.size)], [x], (outer, n, inner), (), flags, ULP, 1e-12, in_place=True)


def _argsort_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), flags in itertools.product((*SHAPES, (3, 1000)), (0, REVERSE)):
        x = np.round(floats(rng, rows * cols), 1)  # with equal values
        x[rng.random(x.size) < 0.05] = np.nan
        yield Case(name, [poison(x.size, "l"), None], [x], (rows, cols), (), flags)
    yield Case(name, [poison(SPECIAL.size, "l"), None], [SPECIAL], (1, SPECIAL.size))


CASES: dict[str, Any] = {
    **dict.fromkeys(("integers", "compare_integers", "logic"), _pair_cases),
    "reduce_integers": _reduce_cases,
    "gather_rows": _gather_cases,
    "scatter_rows": _scatter_cases,
    "cumsum": _cumsum_cases,
    "argsort": _argsort_cases,
}

_ROWS, _COLS = LARGE_ROWS, LARGE_COLUMNS
LARGE: dict[str, Any] = {
    **dict.fromkeys(
        ("integers", "compare_integers", "logic"),
        lambda name, rng: _pair_case(name, rng, _ROWS, _COLS, 0, _codes(name)[0]),
    ),
    "reduce_integers": lambda name, rng: Case(
        name, [poison(_COLS, "l")], [rng.integers(-99, 99, _ROWS * _COLS)], (1, _ROWS, _COLS)
    ),
    "gather_rows": lambda name, rng: _gather_case(rng, 1, _ROWS, _COLS, 40, np.float32),
    "scatter_rows": lambda name, rng: _scatter_case(rng, 1, _ROWS, _COLS, 40),
    "cumsum": lambda name, rng: Case(
        name, [poison(_ROWS * _COLS)], [floats(rng, _ROWS * _COLS)], (1, _ROWS, _COLS), (), REVERSE
    ),
    "argsort": lambda name, rng: Case(
        name, [poison(_ROWS * _COLS, "l"), None], [floats(rng, _ROWS * _COLS)], (_ROWS, _COLS)
    ),
}
