"""Cases of the kernels of layers and optimizers: matmul, batch normalisation, random numbers, parameter updates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres.kernels.record import (
    ACCUMULATE,
    ALIKE,
    DECOUPLED,
    DUE,
    FLIP_COLUMNS,
    HALF_OF_K,
    NESTEROV,
    RELU,
    RMS,
    TRANSPOSE_A,
    TRANSPOSE_B,
    UNDECAYED,
)

from .operands import LARGE_COLUMNS, LARGE_ROWS, LARGE_SIZE, SHAPES, SIZES, ULP, Array, Case, floats, key, poison

_EPSILON = 1e-3
_WIDE_TOO = (*SHAPES, (40, 96))  # columns that several workers can share
_TABLES = tuple((rows, cols) for rows, cols in SHAPES if rows) + ((300, 64), (1, 40))


def _affine(rng: np.random.Generator, cols: int, present: bool) -> list[Array | None]:
    return [floats(rng, cols, 0.5, 2), floats(rng, cols)] if present else [None, None]


def _batchnorm_case(
    rng: np.random.Generator, rows: int, cols: int, flags: int, affine: bool, offset: float = 0.0
) -> Case:
    x = (floats(rng, rows * cols) + np.float32(offset)).astype(np.float32)
    # The mean is off by a rounding (5e-4 at 1e4), which a variance near 0 scales by up to 1 / sqrt(epsilon).
    atol = (1e-5 + 3 * ULP * abs(offset), 1e-6, 1e-6)
    ins = [x, *_affine(rng, cols, affine)]
    outs = [poison(x.size), poison(cols), poison(cols)]
    return Case("batchnorm", outs, ins, (rows, cols), (_EPSILON,), flags, 1e-6, atol)


def _batchnorm_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), flags, affine in itertools.product(_TABLES, (0, RELU), (False, True)):
        yield _batchnorm_case(rng, rows, cols, flags, affine)
    for offset in (1e4, -1e4):
        yield _batchnorm_case(rng, 500, 19, 0, False, offset)


def _inference_case(rng: np.random.Generator, rows: int, cols: int, flags: int, affine: bool) -> Case:
    gamma, beta = _affine(rng, cols, affine)
    ins = [floats(rng, rows * cols), floats(rng, cols), floats(rng, cols, 0, 2), gamma, beta]
    return Case("batchnorm_inference", [poison(rows * cols)], ins, (rows, cols), (_EPSILON,), flags, 1e-6, 1e-5)


def _inference_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), flags, affine in itertools.product(_WIDE_TOO, (0, RELU), (False, True)):
        yield _inference_case(rng, rows, cols, flags, affine)


def _batchnorm_grad_case(
    rng: np.random.Generator, rows: int, cols: int, wanted: tuple[bool, ...], with_gamma: bool, flags: int = 0
) -> Case:
    x = floats(rng, rows * cols)
    g = floats(rng, rows * cols)
    if flags & RELU:
        x = np.maximum(x, 0)
    mean, var = x.reshape(rows, cols).mean(axis=0), x.reshape(rows, cols).var(axis=0)
    outs = [poison(size) if want else None for size, want in zip((x.size, cols, cols), wanted, strict=True)]
    gamma = floats(rng, cols, 0.5, 2) if with_gamma else None
    # One row has variance 0: the gradient is 0, what is left is rounding scaled by 1 / sqrt(epsilon).
    atol = (1e-5 if rows > 2 else 1e-4, 1e-6 * rows, 1e-6 * rows)
    return Case("batchnorm_grad", outs, [g, x, mean, var, gamma], (rows, cols), (_EPSILON,), flags, 2e-6, atol)


def _batchnorm_grad_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for rows, cols in _TABLES:
        for wanted in itertools.product((False, True), repeat=3):
            yield _batchnorm_grad_case(rng, rows, cols, wanted, with_gamma=sum(wanted) % 2 == 1)
        yield _batchnorm_grad_case(rng, rows, cols, (True, True, True), True, RELU)


# samples, positions, channels, groups: rows as they lie, rows of groups, and channels over positions
_ROWS_ALONE = tuple((rows, 1, cols, 1) for rows, cols in _TABLES if cols) + ((5, 1, 1100, 1), (3, 1, 70_000, 1))
_GROUPED = ((1, 1, 6, 2), (3, 4, 6, 3), (2, 33, 40, 1), (3, 5, 17, 17), (70, 3, 24, 8), (2, 1500, 10, 5), (2, 2, 1, 1))


def _groupnorm_case(
    rng: np.random.Generator, sizes: tuple[int, ...], flags: int, gamma: bool, beta: bool, offset: float = 0.0
) -> Case:
    samples, positions, channels, groups = sizes
    x = (floats(rng, samples * positions * channels) + np.float32(offset)).astype(np.float32)
    count = samples * groups
    ins = [x, floats(rng, channels, 0.5, 2) if gamma else None, floats(rng, channels) if beta else None]
    outs = [poison(x.size), None if flags & RMS else poison(count), poison(count)]
    # One value alone has variance 0: what the mean lost is scaled by 1 / sqrt(epsilon).
    atol = (1e-5 + 3 * ULP * abs(offset), 1e-6, 0.0)
    return Case("groupnorm", outs, ins, sizes, (_EPSILON,), flags, 2e-6, atol)


def _groupnorm_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for sizes, flags in itertools.product(_ROWS_ALONE + _GROUPED, (0, RMS, RELU)):
        for gamma, beta in itertools.product((False, True), repeat=2):
            yield _groupnorm_case(rng, sizes, flags, gamma, beta)
    for sizes, offset in itertools.product(((19, 1, 500, 1), (2, 500, 6, 2)), (1e4, -1e4)):
        yield _groupnorm_case(rng, sizes, 0, False, False, offset)


def _groupnorm_grad_case(
    rng: np.random.Generator, sizes: tuple[int, ...], wanted: tuple[bool, ...], with_gamma: bool, flags: int = 0
) -> Case:
    samples, positions, channels, groups = sizes
    x, g = floats(rng, samples * positions * channels), floats(rng, samples * positions * channels)
    split = x.reshape(samples, positions, groups, channels // groups).astype(np.float64)
    mean = split.mean(axis=(1, 3)) * (not flags & RMS)
    square = np.square(split - mean[:, None, :, None]).mean(axis=(1, 3))
    mean, rstd = (v.astype(np.float32).reshape(-1) for v in (mean, 1 / np.sqrt(square + _EPSILON)))
    outs = [poison(size) if want else None for size, want in zip((x.size, channels, channels), wanted, strict=True)]
    gamma = floats(rng, channels, 0.5, 2) if with_gamma else None
    # As in batchnorm_grad: the gradient of one or two values is rounding scaled by 1 / sqrt(epsilon).
    items = positions * channels // groups
    atol = (1e-5 if items > 2 else 1e-4, 2e-6 * samples * positions, 2e-6 * samples * positions)
    ins = [g, x, None if flags & RMS else mean, rstd, gamma]
    return Case("groupnorm_grad", outs, ins, sizes, (), flags, 2e-6, atol)


def _groupnorm_grad_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for sizes in (*_ROWS_ALONE, *_GROUPED, (0, 1, 5, 1), (0, 2, 6, 3), (4000, 1, 33, 1)):
        for wanted in itertools.product((False, True), repeat=3):
            yield _groupnorm_grad_case(rng, sizes, wanted, with_gamma=sum(wanted) % 2 == 1)
        yield _groupnorm_grad_case(rng, sizes, (True, True, False), True, RMS)


def _moving_case(rng: np.random.Generator, n: int) -> Case:
    state = [floats(rng, n), floats(rng, n)]
    return Case("moving_statistics", state, [floats(rng, n), floats(rng, n)], (n,), (0.99,), 0, 4 * ULP, 4 * ULP)


def _moving_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        yield _moving_case(rng, n)


def _matmul_case(
    rng: np.random.Generator, m: int, n: int, k: int, flags: int, with_bias: bool, with_mask: bool = False
) -> Case:
    out = floats(rng, m * n) if flags & ACCUMULATE else poison(m * n)
    bias = floats(rng, n) if with_bias else None
    mask = np.maximum(floats(rng, m * n), 0) if with_mask else None
    if mask is not None and m * n > 5:
        mask[3] = np.nan  # lets through, as in relu_grad
    # A dot product of k loses at most k/2 units of the sum of magnitudes, 2.25 k at the mean; in truth about sqrt(k).
    atol = 2.25 * (k + 1) * ULP * (1 + np.sqrt(k)) / 2
    ins = [floats(rng, m * k), floats(rng, k * n), bias, mask]
    return Case("matmul", [out], ins, (m, n, k), (), flags, 4 * ULP, atol)


def _matmul_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    transposes = (0, TRANSPOSE_A, TRANSPOSE_B, TRANSPOSE_A | TRANSPOSE_B)
    shapes = [(1, 1, 1), (0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 17, 5), (17, 1, 33), (5, 16, 1), (6, 64, 8), (7, 65, 9)]
    shapes += [(12, 32, 40), (13, 33, 31), (32, 10, 64), (64, 64, 32), (3, 5, 300), (31, 100, 17), (70, 129, 260)]
    for (m, n, k), flags in itertools.product(shapes, transposes):
        yield _matmul_case(rng, m, n, k, flags, False)
        yield _matmul_case(rng, m, n, k, flags, True)
        yield _matmul_case(rng, m, n, k, flags | RELU, True)
        yield _matmul_case(rng, m, n, k, flags | ACCUMULATE, False)
        yield _matmul_case(rng, m, n, k, flags | ACCUMULATE, False, with_mask=True)
    # a in parts and packed where it is turned, b in two packings, one row of whole rows of b in halves and in blocks,
    # an outer product
    large = ((530, 270, 520), (70, 900, 130), (1, 1110, 300), (1, 513, 600), (401, 515, 1))
    for (m, n, k), flags in itertools.product(large, transposes):
        yield _matmul_case(rng, m, n, k, flags, False)
        yield _matmul_case(rng, m, n, k, flags | ACCUMULATE, True, with_mask=True)
    for m, n, k in ((5, 32, 128), (33, 48, 144), (3, 70, 512), (3000, 64, 512)):
        ins = [floats(rng, m * k), floats(rng, k * n), None, None]
        yield Case(name, [poison(2 * m * n)], ins, (m, n, k), (), HALF_OF_K, 4 * ULP, 2 * k * ULP)
    a, b = np.ones((5, 6), np.float32), np.ones((6, 20), np.float32)
    a[1, 2], a[3, 0], b[0, 7] = np.nan, np.inf, 0  # NaN, inf and inf * 0 stay in their rows and columns
    yield Case(name, [poison(100)], [a.reshape(-1), b.reshape(-1), None, None], (5, 20, 6), rtol=4 * ULP)


def _join_case(rng: np.random.Generator, rows: int, cols: int, flags: int, with_bias: bool) -> Case:
    ins = [floats(rng, rows * cols), floats(rng, rows * cols), floats(rng, cols) if with_bias else None]
    return Case("join_halves", [poison(rows * cols)], ins, (rows, cols), (), flags, 2 * ULP, 2 * ULP)


def _join_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), flags, with_bias in itertools.product(_WIDE_TOO, (0, RELU), (False, True)):
        yield _join_case(rng, rows, cols, flags, with_bias)


def _random_key_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in (0, 1, 3, 4, 5, 1000):
        yield Case(name, [key(-99, -99), key(2**63 - 1, 12)], [], (n,))


def _uniform_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, (seed, counter) in itertools.product(SIZES, ((0, 0), (-7, 2**34), (2**62 + 5, 2**40 - 8))):
        yield Case(name, [poison(n)], [key(seed, counter)], (n,))


def _dropout_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, rate in itertools.product(SIZES, (0.0, 0.1, 0.5, 0.9)):
        for seed, counter in ((0, 0), (12345, 4 * 77), (-7, 2**34), (2**62 + 5, 2**40 - 8)):
            ins = [floats(rng, n), key(seed, counter)]
            yield Case(name, [poison(n)], ins, (n,), (rate,), rtol=2 * ULP, in_place=True)


_PLACES = ((1, 1, 1, 1, 1, 1), (3, 5, 4, 2, 3, 4), (70, 3, 3, 1, 2, 2), (2, 9, 8, 17, 9, 8), (0, 3, 3, 2, 2, 2))


def _window_case(name: str, rng: np.random.Generator, sizes: tuple[int, ...], flags: int, at: Array) -> Case:
    n, h, w, c, oh, ow = sizes
    counts = [n * oh * ow * c, n * h * w * c]
    out, of = counts if name == "random_window" else counts[::-1]
    return Case(name, [poison(out)], [floats(rng, of), at], sizes, (), flags)


def _window_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for sizes, flags in itertools.product(_PLACES, range(2 * ALIKE)):
        for at in (key(0, 0), key(-7, 2**34), key(2**62 + 5, 2**40 - 8)):
            yield _window_case(name, rng, sizes, flags, at)


def _hyper(a: float, b: float = 0.999, step: float = 1.0, scale: float = 1.0, turn: float | None = None) -> Array:
    """turn: which of 3 steps, whose gradients are added up, this is."""
    return np.array([0.05, a, b, 1e-7, 0.01, scale, step, 1.0, *([] if turn is None else [turn, 3.0])])


def _tick_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    yield Case(name, [_hyper(0.9, step=41.0)], [])
    for turn in (0.0, 1.0, 2.0, 3.0):
        yield Case(name, [_hyper(0.9, step=41.0, turn=turn)], [], flags=DUE)


def _accumulate_case(rng: np.random.Generator, n: int) -> Case:
    ins = [floats(rng, n), _hyper(0.9, turn=2.0)]
    return Case("accumulate", [floats(rng, n)], ins, (n,), (), 0, 2 * ULP, 2 * ULP)


def _accumulate_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        yield _accumulate_case(rng, n)


def _clear_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, turn in itertools.product(SIZES, (1.0, 3.0)):
        yield Case(name, [floats(rng, n)], [_hyper(0.9, turn=turn)], (n,))


def _clip_scale_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for squared in (0.0, 0.25, 1.0, 4.0, 1e300, np.inf, np.nan):
        yield Case(name, [_hyper(0.9, scale=-5.0)], [np.array([squared])], rtol=1e-15)


def _sgd_case(rng: np.random.Generator, n: int, with_velocity: bool, flags: int) -> Case:
    velocity = floats(rng, n) if with_velocity else None
    ins = [floats(rng, n), _hyper(0.9, scale=0.25)]
    return Case("sgd", [floats(rng, n), velocity], ins, (n,), (), flags, 4 * ULP, 8 * ULP)


def _sgd_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, (with_velocity, flags) in itertools.product(SIZES, ((False, 0), (True, 0), (True, NESTEROV))):
        yield _sgd_case(rng, n, with_velocity, flags)
        yield _sgd_case(rng, n, with_velocity, flags | UNDECAYED)
    for turn in (2.0, 3.0):
        outs, ins = [floats(rng, 40), floats(rng, 40)], [floats(rng, 40), _hyper(0.9, turn=turn)]
        yield Case(name, outs, ins, (40,), (), DUE, 4 * ULP, 8 * ULP)


def _adam_case(rng: np.random.Generator, n: int, flags: int, step: float) -> Case:
    state = [floats(rng, n), floats(rng, n), floats(rng, n, 0.1, 3)]
    ins = [floats(rng, n), _hyper(0.9, step=step, scale=0.25)]
    return Case("adam", state, ins, (n,), (), flags, 4 * ULP, 4 * ULP)


def _adam_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, flags, step in itertools.product(SIZES, (0, DECOUPLED), (1.0, 2.0, 1e6)):
        yield _adam_case(rng, n, flags, step)
        yield _adam_case(rng, n, flags | UNDECAYED, step)
    for turn in (2.0, 3.0):
        state = [floats(rng, 40), floats(rng, 40), floats(rng, 40, 0.1, 3)]
        yield Case(name, state, [floats(rng, 40), _hyper(0.9, turn=turn)], (40,), (), DUE, 4 * ULP, 4 * ULP)
    still = [np.zeros(9, np.float32) for _ in range(4)]  # no gradient yet: 0 / (0 + epsilon), not 0 / 0
    yield Case(name, [still[0], still[1], still[2]], [still[3], _hyper(0.9)], (9,))


CASES: dict[str, Any] = {
    "batchnorm": _batchnorm_cases,
    "batchnorm_inference": _inference_cases,
    "batchnorm_grad": _batchnorm_grad_cases,
    "groupnorm": _groupnorm_cases,
    "groupnorm_grad": _groupnorm_grad_cases,
    "moving_statistics": _moving_cases,
    "matmul": _matmul_cases,
    "join_halves": _join_cases,
    "random_key": _random_key_cases,
    "random_uniform": _uniform_cases,
    "dropout": _dropout_cases,
    "random_window": _window_cases,
    "random_window_grad": _window_cases,
    "optimizer_tick": _tick_cases,
    "accumulate": _accumulate_cases,
    "clear_when_due": _clear_cases,
    "clip_scale": _clip_scale_cases,
    "sgd": _sgd_cases,
    "adam": _adam_cases,
}

_N, _ROWS, _COLS = LARGE_SIZE, LARGE_ROWS, LARGE_COLUMNS
LARGE: dict[str, Any] = {
    "batchnorm": lambda name, rng: _batchnorm_case(rng, _ROWS, _COLS, 0, True),
    "batchnorm_inference": lambda name, rng: _inference_case(rng, _ROWS, _COLS, RELU, True),
    "batchnorm_grad": lambda name, rng: _batchnorm_grad_case(rng, _ROWS, _COLS, (True, True, True), True),
    "groupnorm": lambda name, rng: _groupnorm_case(rng, (101, 40, 96, 8), RELU, True, True),
    "groupnorm_grad": lambda name, rng: _groupnorm_grad_case(rng, (_ROWS, 1, _COLS, 1), (True, True, True), True),
    "moving_statistics": lambda name, rng: _moving_case(rng, _N),
    "matmul": lambda name, rng: _matmul_case(rng, 301, 257, 333, TRANSPOSE_A, True, True),
    "join_halves": lambda name, rng: _join_case(rng, _ROWS, _COLS, RELU, True),
    "random_uniform": lambda name, rng: Case(name, [poison(_N)], [key(3, 8)], (_N,)),
    "dropout": lambda name, rng: Case(name, [poison(_N)], [floats(rng, _N), key(3, 8)], (_N,), (0.3,)),
    **dict.fromkeys(
        ("random_window", "random_window_grad"),
        lambda name, rng: _window_case(name, rng, (101, 40, 38, 3, 36, 32), FLIP_COLUMNS, key(3, 8)),
    ),
    "accumulate": lambda name, rng: _accumulate_case(rng, _N),
    "clear_when_due": lambda name, rng: Case(name, [floats(rng, _N)], [_hyper(0.9, turn=3.0)], (_N,)),
    "sgd": lambda name, rng: _sgd_case(rng, _N, True, 0),
    "adam": lambda name, rng: _adam_case(rng, _N, 0, 3.0),
}
