"""Cases of kernels that reduce: sums and extrema over a middle axis, softmax over columns, measures and checks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres.kernels.record import ACCUMULATE, IGNORES

from .operands import (
    LARGE_COLUMNS,
    LARGE_ROWS,
    LARGE_SIZE,
    SHAPES,
    SIZES,
    SPECIAL,
    ULP,
    Array,
    Case,
    floats,
    poison,
    random_labels,
)

_REDUCTIONS = ((1, 1, 1), (1, 0, 3), (3, 0, 1), (0, 5, 2), (2, 5, 0), (1, 1000, 1), (7, 33, 1), (1, 40, 17))
_REDUCTIONS += ((1, 300, 64), (3, 5, 16), (4, 65, 31), (2, 1, 5), (5, 1, 1), (64, 15, 1), (1, 2, 129))


def _sum_case(rng: np.random.Generator, outer: int, n: int, inner: int, scale: float, flags: int) -> Case:
    x = floats(rng, outer * n * inner)
    out = floats(rng, outer * inner) if flags & ACCUMULATE else poison(outer * inner)
    # Pairwise summation loses log2(n) units of the sum of magnitudes, here 1.5 n at the mean.
    atol = 1.5 * n * abs(scale) * ULP * (2 + np.log2(n + 1)) / 2
    return Case("sum", [out], [x], (outer, n, inner), (scale,), flags, rtol=2 * ULP, atol=atol)


def _sum_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (outer, n, inner), scale, flags in itertools.product(_REDUCTIONS, (1.0, 1 / 3), (0, ACCUMULATE)):
        yield _sum_case(rng, outer, n, inner, scale, flags)
    # A running float32 sum of these loses every digit but three.
    for outer, n, inner in ((1, 2**17, 1), (1, 2**15, 4)):
        x = np.full(outer * n * inner, 0.1, np.float32)
        yield Case(name, [poison(outer * inner)], [x], (outer, n, inner), (1.0,), rtol=1e-6)


def _extremum_case(name: str, rng: np.random.Generator, outer: int, n: int, inner: int) -> Case:
    return Case(name, [poison(outer * inner)], [floats(rng, outer * n * inner)], (outer, n, inner))


def _extremum_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for outer, n, inner in _REDUCTIONS:
        if n:
            yield _extremum_case(name, rng, outer, n, inner)
    for outer, n, inner in ((37, 37, 1), (1, 37, 37)):  # each special value, alone among ordinary ones
        x = np.ones((37, 37), np.float32)
        np.fill_diagonal(x, SPECIAL)
        yield Case(name, [poison(37)], [x.reshape(-1)], (outer, n, inner))
    yield Case(name, [poison(1)], [np.full(40, -np.inf if name == "max" else np.inf, np.float32)], (1, 40, 1))


def _argmax_cases(name: str, rng: np.random.Generator, shapes: Any = SHAPES) -> Iterator[Case]:
    with_ties = [np.round(floats(rng, rows * cols), 1).reshape(rows, cols) for rows, cols in shapes if rows and cols]
    with_special = [np.where(rng.random((40, 37)) < 0.1, np.float32(np.nan), SPECIAL), np.full((3, 19), -np.inf)]
    for x in [*with_ties, *with_special]:
        rows, cols = x.shape
        x = x.reshape(-1).astype(np.float32)
        if name == "argmax":
            yield Case(name, [poison(rows, "l")], [x], (rows, cols))
        else:
            yield Case(name, [poison(1)], [x, random_labels(rng, rows, min(cols, 3))], (rows, cols), rtol=ULP)


def _measure(name: str, rng: np.random.Generator, sizes: Any = SIZES) -> Iterator[Case]:
    """Kernels that measure n values: sums in float64, or a check."""
    samples = [floats(rng, n) for n in sizes]
    samples += [np.where(rng.random(65) < 0.2, x, np.float32(0.5)) for x in SPECIAL]
    samples += [np.array([3e38, 3e38, -0.0, 0.0], np.float32), np.array([1e-45, 1e-40], np.float32)]
    for x in samples:
        y = floats(rng, x.size)
        magnitude = float(np.abs(np.nan_to_num(x, posinf=0, neginf=0)).astype(np.float64).sum())
        if name == "check_finite":
            yield Case(name, [], [x], (x.size,))
        elif name == "stats":
            yield Case(name, [poison(8, "d")], [x], (x.size,), rtol=1e-12, atol=1e-14 * magnitude)
        elif name == "dot":
            yield Case(name, [poison(1, "d")], [x, y], (x.size,), rtol=1e-12, atol=3e-14 * magnitude)
        else:
            yield Case(name, [np.array([2.5])], [x], (x.size,), rtol=1e-12)


def _check_labels_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        yield Case(name, [], [random_labels(rng, n, 10)], (n, 10, 0))
    for n, wrong in itertools.product((1, 8, 33), (-1, 10, 2**40, -(2**63))):
        for position in (0, n - 1):
            labels = random_labels(rng, n, 10)
            labels[position] = wrong
            for flags, ignored in ((0, wrong), (IGNORES, wrong), (IGNORES, -7)):
                yield Case(name, [], [labels], (n, 10, ignored), flags=flags)


def _logits(rng: np.random.Generator, shapes: Any) -> Iterator[Array]:
    for rows, cols in shapes:
        yield floats(rng, rows * cols, -8, 8).reshape(rows, cols)
    if shapes is SHAPES:
        yield np.array([[1000, -1000, 999], [-1e30, 0, 1], [-np.inf, 0, 1], [3e38, -3e38, 0]], np.float32)
        yield np.array([[np.nan, 0, 1], [np.inf, 0, 1], [-np.inf, -np.inf, -np.inf], [2, 2, 2]], np.float32)


def _softmax_cases(name: str, rng: np.random.Generator, shapes: Any = SHAPES) -> Iterator[Case]:
    for x in _logits(rng, shapes):
        yield Case(name, [poison(x.size)], [x.reshape(-1)], x.shape, rtol=4 * ULP, atol=2 * ULP, in_place=True)


def _cross_entropy_cases(name: str, rng: np.random.Generator, shapes: Any = SHAPES) -> Iterator[Case]:
    for x in _logits(rng, shapes):
        if x.size:
            for labels, ignored, flags, smoothing in _targets(rng, *x.shape):
                outs = [poison(1), poison(x.size)]
                args = (*x.shape, ignored)
                bound = (2 * ULP if not smoothing else 16 * ULP, 2 * ULP)  # its mean of the logits may cancel the rest
                yield Case(name, outs, [x.reshape(-1), labels], args, (smoothing,), flags, 4 * ULP, bound)


def _targets(rng: np.random.Generator, rows: int, cols: int) -> Iterator[tuple[Array, int, int, float]]:
    """Labels, the one that is ignored, whether it is, and how much is smoothed."""
    labels = random_labels(rng, rows, max(cols, 1))
    yield labels, 0, 0, 0.0
    yield labels, 0, 0, 0.1
    yield labels, int(labels[0]) if rows else 0, IGNORES, 0.0
    beyond = np.where(rng.random(rows) < 0.5, -100, labels)
    yield beyond, -100, IGNORES, 0.25
    yield np.full(rows, -100), -100, IGNORES, 0.0


def _cross_entropy_grad_cases(name: str, rng: np.random.Generator, shapes: Any = SHAPES) -> Iterator[Case]:
    for rows, cols in shapes:
        p, g = floats(rng, rows * cols, 0, 1), np.array([-1.5], np.float32)
        for labels, ignored, flags, smoothing in _targets(rng, rows, cols):
            ins, args = [p, labels, g], (rows, cols, ignored)
            yield Case(name, [poison(p.size)], ins, args, (smoothing,), flags, 4 * ULP, 2 * ULP)


CASES: dict[str, Any] = {
    "sum": _sum_cases,
    "check_labels": _check_labels_cases,
    **dict.fromkeys(("max", "min"), _extremum_cases),
    **dict.fromkeys(("argmax", "accuracy"), _argmax_cases),
    **dict.fromkeys(("stats", "dot", "sum_squares", "check_finite"), _measure),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax_cases),
    "softmax_cross_entropy": _cross_entropy_cases,
    "softmax_cross_entropy_grad": _cross_entropy_grad_cases,
}

LARGE: dict[str, Any] = {
    "sum": lambda name, rng: _sum_case(rng, 3, 1201, 129, 1.0, 0),
    "max": lambda name, rng: _extremum_case(name, rng, 3, 1201, 129),
    "min": lambda name, rng: _extremum_case(name, rng, 1, LARGE_SIZE, 1),
    "check_labels": lambda name, rng: Case(name, [], [random_labels(rng, LARGE_SIZE, 10)], (LARGE_SIZE, 10, 0)),
    **dict.fromkeys(
        ("stats", "dot", "sum_squares", "check_finite"), lambda name, rng: next(_measure(name, rng, [LARGE_SIZE]))
    ),
    **dict.fromkeys(
        ("softmax", "log_softmax", "softmax_cross_entropy", "softmax_cross_entropy_grad", "argmax", "accuracy"),
        lambda name, rng: next(CASES[name](name, rng, [(LARGE_ROWS, LARGE_COLUMNS)])),
    ),
}
