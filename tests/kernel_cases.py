"""Cases for every kernel: operands, sizes, flags, and how close float32 must come to the reference in float64.

`cases(name)` covers shapes, lanes, edge values and flags; `large_case(name)` is one call wide enough to be split over
threads. Operands hold float32 for the letter f; outputs that are only written start as NaN or another value that no
kernel gives, so that reading them shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from tinyres.backends.kernels import (
    ACCUMULATE,
    DECOUPLED,
    ITEM_TYPES,
    KERNELS,
    NESTEROV,
    RELATION_SHIFT,
    RELATIONS,
    RELU,
    TARGET_SHIFT,
    TRANSPOSE_A,
    TRANSPOSE_B,
)

Array = np.ndarray[Any, Any]

# Around the lanes of every vector width from 4 to 16, and around two and four of the widest vectors.
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1000)
SHAPES = ((0, 3), (3, 0), (1, 1), (1, 17), (17, 1), (3, 5), (5, 16), (7, 33), (40, 15), (2, 259))

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
    atol: float = 0.0  # of each value, in the units of the output
    signed_zeros: bool = False  # the sign of a zero is part of the result
    in_place: bool = False  # the output may be the first input


def cases(name: str) -> Iterator[Case]:
    """Every case of one kernel, always the same ones."""
    return _GROUPS[name](name, np.random.default_rng(crc32(name.encode())))


def large_case(name: str) -> Case:
    """One call of a kernel that is worth more than one thread, or its usual size where it never is."""
    rng = np.random.default_rng(1)
    n, rows, cols = 400_003, 1501, 257
    if name in _UNARY or name in _WITH_OUTPUT:
        return next(_elementwise_of(name, rng, [_floats(rng, n) for _ in KERNELS[name].ins]))
    if name in _BINARY or name == "where":
        return _broadcast_case(name, rng, rows, cols, 0)
    if name == "compare":
        return _broadcast_case(name, rng, rows, cols, 0, relation=2)
    special = {
        "fill": lambda: Case(name, [_poison(n)], [], (n,), (1.5,)),
        "cast": lambda: Case(name, [_poison(n, "d")], [_floats(rng, n)], (n,), (), 0 | 1 << TARGET_SHIFT),
        "copy": lambda: _transpose_case(rng, 700, 611),
        "one_hot": lambda: Case(name, [_poison(rows * cols)], [_labels(rng, rows, cols)], (rows, cols)),
        "matmul": lambda: _matmul_case(rng, 301, 257, 333, TRANSPOSE_A, True),
        "dropout": lambda: Case(name, [_poison(n)], [_floats(rng, n), _key(3, 8)], (n,), (0.3,)),
        "batchnorm": lambda: _batchnorm_case(rng, rows, cols, 0, True),
        "batchnorm_inference": lambda: _inference_case(rng, rows, cols, RELU, True),
        "batchnorm_grad": lambda: _batchnorm_grad_case(rng, rows, cols, (True, True, True), True),
        "moving_statistics": lambda: _moving_case(rng, n),
        "sgd": lambda: _sgd_case(rng, n, True, 0),
        "adam": lambda: _adam_case(rng, n, 0, 3.0),
        "check_labels": lambda: Case(name, [], [_labels(rng, n, 10)], (n, 10)),
        "sum": lambda: _sum_case(rng, 3, 1201, 129, 1.0, 0),
        "max": lambda: _extremum_case(name, rng, 3, 1201, 129),
        "min": lambda: _extremum_case(name, rng, 1, n, 1),
    }
    if name in special:
        return special[name]()
    if name in ("sum_squares", "stats", "dot", "check_finite"):
        return next(_measure(name, rng, [n]))
    if name in ("softmax", "log_softmax", "softmax_cross_entropy", "softmax_cross_entropy_grad", "argmax", "accuracy"):
        return next(_GROUPS[name](name, rng, [(rows, cols)]))
    return next(cases(name))  # random_key, optimizer_tick, clip_scale: a few numbers


def _floats(rng: np.random.Generator, n: int, low: float = -3, high: float = 3) -> Array:
    return rng.uniform(low, high, n).astype(np.float32)


def _poison(n: int, letter: str = "f") -> Array:
    dtype: type = {"f": np.float32, "d": np.float64, "l": np.int64, "b": np.bool_}[letter]
    return np.full(n, np.nan, dtype) if letter in "fd" else np.full(n, letter == "b" or -99, dtype)


def _labels(rng: np.random.Generator, rows: int, classes: int) -> Array:
    return rng.integers(0, classes, rows)


def _key(seed: int, counter: int) -> Array:
    return np.array([seed, counter], np.int64)


# --- elementwise -------------------------------------------------------------------------------------------------

_UNARY = "neg exp log sqrt abs sign tanh sigmoid relu softplus square reciprocal clip".split()
_WITH_OUTPUT = "clip_grad relu_grad tanh_grad sigmoid_grad".split()
_BINARY = "add sub mul div pow maximum minimum".split()
_SIGNED_ZEROS = set("neg abs sqrt tanh reciprocal add sub mul div".split())
_INEXACT = set("exp log tanh sigmoid softplus tanh_grad sigmoid_grad pow".split())


def _elementwise_of(name: str, rng: np.random.Generator, ins: list[Array]) -> Iterator[Case]:
    n = len(ins[0])
    yield Case(
        name,
        [_poison(n)],
        list(ins),
        (n,),
        (-0.75, 1.25) if name.startswith("clip") else (),
        rtol=4 * ULP if name in _INEXACT else ULP,
        # 1 - y * y near y = 1 keeps what y * y lost; below the smallest normal number a few units in the last place.
        atol=8 * ULP if name.endswith("h_grad") else 6e-45,
        signed_zeros=name in _SIGNED_ZEROS,
        in_place=True,
    )


def _unary_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        yield from _elementwise_of(name, rng, [_floats(rng, n, -10, 10)])
    yield from _elementwise_of(name, rng, [SPECIAL])
    # Every binade of float32, both signs.
    bits = rng.integers(0, 2**32, 4000, dtype=np.uint32).view(np.float32)
    yield from _elementwise_of(name, rng, [bits[np.isfinite(bits)]])


def _with_output_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    low, high = (-2, 2) if name == "clip_grad" else (0, 1) if name == "sigmoid_grad" else (-1, 1)
    for n in SIZES:
        yield from _elementwise_of(name, rng, [_floats(rng, n), _floats(rng, n, low, high)])
    edges = np.array([np.nan, 0.0, -0.0, 1.0, 1e-45, 0.5, -0.75, 1.25], np.float32)
    edges = edges[np.isnan(edges) | (edges >= low) & (edges <= high)]
    g, y = (grid.reshape(-1) for grid in np.meshgrid(SPECIAL[np.isfinite(SPECIAL)], edges))
    yield from _elementwise_of(name, rng, [g, y])


def _mode_size(mode: int, rows: int, cols: int) -> int:
    return (rows * cols, cols, rows, 1)[mode]


def _broadcast_case(
    name: str, rng: np.random.Generator, rows: int, cols: int, modes: int, relation: int = 0
) -> Case:
    letters = KERNELS[name].ins
    sizes = [_mode_size(modes >> 2 * i & 3, rows, cols) for i in range(len(letters))]
    ins: list[Array | None] = [
        rng.random(size) < 0.5 if letter == "b" else np.round(_floats(rng, size), 1 if name == "compare" else 7)
        for letter, size in zip(letters, sizes, strict=True)
    ]
    if name == "pow":
        ins[0] = np.abs(ins[0])
    return Case(
        name,
        [_poison(rows * cols, KERNELS[name].outs)],
        ins,
        (rows, cols),
        (),
        modes | relation << RELATION_SHIFT,
        rtol=8 * ULP if name == "pow" else ULP if name in _BINARY else 0,
        atol=6e-45,
        signed_zeros=name in _SIGNED_ZEROS,
        in_place=modes & 3 == 0 and letters[0] == "f" and name != "compare",
    )


def _binary_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), modes in itertools.product(SHAPES, range(16)):
        yield _broadcast_case(name, rng, rows, cols, modes)
    a, b = (grid.reshape(-1) for grid in np.meshgrid(SPECIAL, SPECIAL))
    # Numbers around 1 to large powers lose digits in proportion to the exponent, so pow takes what it must be right at.
    rtol = 16 * ULP if name == "pow" else ULP
    signed = name in _SIGNED_ZEROS
    full = Case(name, [_poison(a.size)], [a, b], (1, a.size), rtol=rtol, atol=6e-45, signed_zeros=signed)
    yield full
    if name == "pow":
        for exponent in (2, 1, 0.5, -1, 0, 3, -2, 2.5, np.nan):
            scalar = np.array([exponent], np.float32)
            out = [_poison(SPECIAL.size)]
            yield Case(name, out, [SPECIAL, scalar], (1, SPECIAL.size), flags=3 << 2, rtol=rtol, atol=6e-45)
    if name == "add":
        yield Case(name, [_poison(a.size)], [a, b], (1, a.size), flags=RELU, rtol=rtol, atol=6e-45)


def _compare_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), modes in itertools.product(SHAPES, (0, 1, 2, 3, 4, 8, 12)):
        yield _broadcast_case(name, rng, rows, cols, modes, relation=(rows + modes) % len(RELATIONS))
    a, b = (grid.reshape(-1) for grid in np.meshgrid(SPECIAL, SPECIAL))
    for relation in range(len(RELATIONS)):
        yield Case(name, [_poison(a.size, "b")], [a, b], (1, a.size), flags=relation << RELATION_SHIFT)


def _where_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), modes in itertools.product(SHAPES, range(64)):
        yield _broadcast_case(name, rng, rows, cols, modes)
    n = SPECIAL.size
    condition = np.arange(n) % 2 == 0
    yield Case(name, [_poison(n)], [condition, SPECIAL, SPECIAL[::-1].copy()], (1, n), signed_zeros=True)


# --- movement ----------------------------------------------------------------------------------------------------


def _fill_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, value in itertools.product(SIZES, (0.0, -0.0, 1.5, np.inf, np.nan, 1e-45)):
        yield Case(name, [_poison(n)], [], (n,), (value,), signed_zeros=True)


def _cast_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (s, source), (t, target) in itertools.product(enumerate(ITEM_TYPES), repeat=2):
        letter = target[0].replace("i", "l") if target != "float64" else "d"
        for n in (0, 1, 7, 16, 33, 500):
            x = rng.uniform(-1e6, 1e6, n) * (rng.random(n) < 0.7)
            yield Case(name, [_poison(n, letter)], [x.astype(source)], (n,), (), s | t << TARGET_SHIFT)
        if source.startswith("float") and target != "int64":  # C leaves NaN and infinities as int64 undefined
            x = SPECIAL.astype(source)
            yield Case(name, [_poison(x.size, letter)], [x], (x.size,), (), s | t << TARGET_SHIFT, signed_zeros=True)
    wide = np.array([2**53 + 1, -(2**62), 2**24 + 1, 2**63 - 1], np.int64)
    yield Case(name, [_poison(4)], [wide], (4,), (), 2)


def _copy(out: Array, x: Array, shape: Any, ostrides: Any, istrides: Any, ooffset: int, ioffset: int, flags: int) -> Case:
    def six(values: Any) -> list[int]:
        return [int(value) for value in values] + [0] * (6 - len(shape))

    args = (len(shape), *six(shape), *six(ostrides), *six(istrides), ooffset, ioffset)
    rtol = ULP if flags & ACCUMULATE else 0.0
    return Case("copy", [out], [x], args, (), flags, rtol=rtol, signed_zeros=True)


def _transpose_case(rng: np.random.Generator, rows: int, cols: int) -> Case:
    n = rows * cols
    return _copy(_poison(n), _floats(rng, n), (rows, cols), (cols, 1), (1, rows), 0, 0, 4)


def _copy_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for rows, cols in ((1, 1), (0, 4), (4, 0), (1, 33), (33, 1), (7, 9), (16, 16), (65, 31)):
        yield _transpose_case(rng, rows, cols)
    yield _copy(_poison(1), _floats(rng, 1), (), (), (), 0, 0, 4)
    for dtype in (np.bool_, np.float32, np.int64, np.float64):
        for ndim, _ in itertools.product(range(1, 7), range(6)):
            shape = rng.integers(1, 5 if ndim > 3 else 9, ndim)
            x, istrides, ioffset = _random_walk(rng, shape, dtype, may_repeat=True)
            out, ostrides, ooffset = _random_walk(rng, shape, dtype, may_repeat=False)
            accumulate = ACCUMULATE if dtype == np.float32 and ndim % 2 else 0
            yield _copy(out, x, shape, ostrides, istrides, ooffset, ioffset, np.dtype(dtype).itemsize | accumulate)


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
    return (rng.uniform(-9, 9, size) > 0 if dtype == np.bool_ else rng.uniform(-9, 9, size)).astype(dtype), list(strides), offset


def _one_hot_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for rows, cols in ((0, 3), (1, 1), (5, 10), (7, 16), (3, 17), (2, 65)):
        yield Case(name, [_poison(rows * cols)], [_labels(rng, rows, cols)], (rows, cols))


# --- reductions --------------------------------------------------------------------------------------------------

_REDUCTIONS = ((1, 1, 1), (1, 0, 3), (3, 0, 1), (0, 5, 2), (2, 5, 0), (1, 1000, 1), (7, 33, 1), (1, 40, 17), (1, 300, 64))
_REDUCTIONS += ((3, 5, 16), (4, 65, 31), (2, 1, 5), (5, 1, 1), (64, 15, 1), (1, 2, 129))


def _sum_case(rng: np.random.Generator, outer: int, n: int, inner: int, scale: float, flags: int) -> Case:
    x = _floats(rng, outer * n * inner)
    out = _floats(rng, outer * inner) if flags & ACCUMULATE else _poison(outer * inner)
    # Pairwise summation loses log2(n) units of the sum of magnitudes, here 1.5 n at the mean.
    atol = 1.5 * n * abs(scale) * ULP * (2 + np.log2(n + 1)) / 2
    return Case("sum", [out], [x], (outer, n, inner), (scale,), flags, rtol=2 * ULP, atol=atol)


def _sum_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (outer, n, inner), scale, flags in itertools.product(_REDUCTIONS, (1.0, 1 / 3), (0, ACCUMULATE)):
        yield _sum_case(rng, outer, n, inner, scale, flags)
    # A running float32 sum of these loses every digit but three.
    for outer, n, inner in ((1, 2**17, 1), (1, 2**15, 4)):
        x = np.full(outer * n * inner, 0.1, np.float32)
        yield Case(name, [_poison(outer * inner)], [x], (outer, n, inner), (1.0,), rtol=1e-6)


def _extremum_case(name: str, rng: np.random.Generator, outer: int, n: int, inner: int) -> Case:
    return Case(name, [_poison(outer * inner)], [_floats(rng, outer * n * inner)], (outer, n, inner))


def _extremum_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for outer, n, inner in _REDUCTIONS:
        if n:
            yield _extremum_case(name, rng, outer, n, inner)
    for outer, n, inner in ((37, 37, 1), (1, 37, 37)):  # each special value, alone among ordinary ones
        x = np.ones((37, 37), np.float32)
        np.fill_diagonal(x, SPECIAL)
        yield Case(name, [_poison(37)], [x.reshape(-1)], (outer, n, inner))
    yield Case(name, [_poison(1)], [np.full(40, -np.inf if name == "max" else np.inf, np.float32)], (1, 40, 1))


def _argmax_cases(name: str, rng: np.random.Generator, shapes: Any = SHAPES) -> Iterator[Case]:
    with_ties = [
        np.round(_floats(rng, rows * cols), 1).reshape(rows, cols) for rows, cols in shapes if rows and cols
    ]
    with_special = [np.where(rng.random((40, 37)) < 0.1, np.float32(np.nan), SPECIAL), np.full((3, 19), -np.inf)]
    for x in [*with_ties, *with_special]:
        rows, cols = x.shape
        x = x.reshape(-1).astype(np.float32)
        if name == "argmax":
            yield Case(name, [_poison(rows, "l")], [x], (rows, cols))
        else:
            yield Case(name, [_poison(1)], [x, _labels(rng, rows, min(cols, 3))], (rows, cols), rtol=ULP)


def _measure(name: str, rng: np.random.Generator, sizes: Any = SIZES) -> Iterator[Case]:
    """Kernels that measure n values: sums in float64, or a check."""
    samples = [_floats(rng, n) for n in sizes]
    samples += [np.where(rng.random(65) < 0.2, x, np.float32(0.5)) for x in SPECIAL]
    samples += [np.array([3e38, 3e38, -0.0, 0.0], np.float32), np.array([1e-45, 1e-40], np.float32)]
    for x in samples:
        y = _floats(rng, x.size)
        magnitude = float(np.abs(np.nan_to_num(x, posinf=0, neginf=0)).astype(np.float64).sum())
        if name == "check_finite":
            yield Case(name, [], [x], (x.size,))
        elif name == "stats":
            yield Case(name, [_poison(8, "d")], [x], (x.size,), rtol=1e-12, atol=1e-14 * magnitude)
        elif name == "dot":
            yield Case(name, [_poison(1, "d")], [x, y], (x.size,), rtol=1e-12, atol=3e-14 * magnitude)
        else:
            yield Case(name, [np.array([2.5])], [x], (x.size,), rtol=1e-12)


def _check_labels_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        yield Case(name, [], [_labels(rng, n, 10)], (n, 10))
    for n, wrong in itertools.product((1, 8, 33), (-1, 10, 2**40, -(2**63))):
        for position in (0, n - 1):
            labels = _labels(rng, n, 10)
            labels[position] = wrong
            yield Case(name, [], [labels], (n, 10))


# --- softmax -----------------------------------------------------------------------------------------------------


def _logits(rng: np.random.Generator, shapes: Any) -> Iterator[Array]:
    for rows, cols in shapes:
        yield _floats(rng, rows * cols, -8, 8).reshape(rows, cols)
    if shapes is SHAPES:
        yield np.array([[1000, -1000, 999], [-1e30, 0, 1], [-np.inf, 0, 1], [3e38, -3e38, 0]], np.float32)
        yield np.array([[np.nan, 0, 1], [np.inf, 0, 1], [-np.inf, -np.inf, -np.inf], [2, 2, 2]], np.float32)


def _softmax_cases(name: str, rng: np.random.Generator, shapes: Any = SHAPES) -> Iterator[Case]:
    for x in _logits(rng, shapes):
        yield Case(name, [_poison(x.size)], [x.reshape(-1)], x.shape, rtol=16 * ULP, atol=4 * ULP, in_place=True)


def _cross_entropy_cases(name: str, rng: np.random.Generator, shapes: Any = SHAPES) -> Iterator[Case]:
    for x in _logits(rng, shapes):
        if x.size:
            labels = _labels(rng, *x.shape)
            outs = [_poison(1), _poison(x.size)]
            yield Case(name, outs, [x.reshape(-1), labels], x.shape, rtol=16 * ULP, atol=4 * ULP)


def _cross_entropy_grad_cases(name: str, rng: np.random.Generator, shapes: Any = SHAPES) -> Iterator[Case]:
    for rows, cols in shapes:
        p, g = _floats(rng, rows * cols, 0, 1), np.array([-1.5], np.float32)
        yield Case(name, [_poison(p.size)], [p, _labels(rng, rows, max(cols, 1)), g], (rows, cols), rtol=4 * ULP, atol=ULP)


# --- batch normalisation -----------------------------------------------------------------------------------------

_EPSILON = 1e-3
_TABLES = tuple((rows, cols) for rows, cols in SHAPES if rows) + ((300, 64), (1, 40))


def _affine(rng: np.random.Generator, cols: int, present: bool) -> list[Array | None]:
    return [_floats(rng, cols, 0.5, 2), _floats(rng, cols)] if present else [None, None]


def _batchnorm_case(
    rng: np.random.Generator, rows: int, cols: int, flags: int, affine: bool, offset: float = 0.0
) -> Case:
    x = (_floats(rng, rows * cols) + np.float32(offset)).astype(np.float32)
    # A float32 mean of 1e4 is off by up to 5e-4, and so is what is subtracted.
    atol = 1e-5 + 3 * ULP * abs(offset)
    ins = [x, *_affine(rng, cols, affine)]
    return Case("batchnorm", [_poison(x.size), _poison(cols), _poison(cols)], ins, (rows, cols), (_EPSILON,), flags, 4e-6, atol)


def _batchnorm_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), flags, affine in itertools.product(_TABLES, (0, RELU), (False, True)):
        yield _batchnorm_case(rng, rows, cols, flags, affine)
    for offset in (1e4, -1e4):
        yield _batchnorm_case(rng, 500, 19, 0, False, offset)


def _inference_case(rng: np.random.Generator, rows: int, cols: int, flags: int, affine: bool) -> Case:
    gamma, beta = _affine(rng, cols, affine)
    ins = [_floats(rng, rows * cols), _floats(rng, cols), _floats(rng, cols, 0, 2), gamma, beta]
    return Case("batchnorm_inference", [_poison(rows * cols)], ins, (rows, cols), (_EPSILON,), flags, 4e-6, 1e-5 * 3)


def _inference_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), flags, affine in itertools.product(SHAPES, (0, RELU), (False, True)):
        yield _inference_case(rng, rows, cols, flags, affine)


def _batchnorm_grad_case(
    rng: np.random.Generator, rows: int, cols: int, wanted: tuple[bool, ...], with_gamma: bool
) -> Case:
    x = _floats(rng, rows * cols)
    g = _floats(rng, rows * cols)
    mean, var = x.reshape(rows, cols).mean(axis=0), x.reshape(rows, cols).var(axis=0)
    outs = [_poison(size) if want else None for size, want in zip((x.size, cols, cols), wanted, strict=True)]
    gamma = _floats(rng, cols, 0.5, 2) if with_gamma else None
    # One row has variance 0: everything is scaled by 1 / sqrt(epsilon).
    atol = 2e-7 * rows * 9 + (2e-5 if rows > 2 else 2e-3)
    return Case("batchnorm_grad", outs, [g, x, mean, var, gamma], (rows, cols), (_EPSILON,), 0, 1e-5, atol)


def _batchnorm_grad_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for rows, cols in _TABLES:
        for wanted in itertools.product((False, True), repeat=3):
            yield _batchnorm_grad_case(rng, rows, cols, wanted, with_gamma=sum(wanted) % 2 == 1)


def _moving_case(rng: np.random.Generator, n: int) -> Case:
    state = [_floats(rng, n), _floats(rng, n)]
    return Case("moving_statistics", state, [_floats(rng, n), _floats(rng, n)], (n,), (0.99,), 0, 4 * ULP, 4 * ULP)


def _moving_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        yield _moving_case(rng, n)


# --- matmul, random numbers, optimizers --------------------------------------------------------------------------


def _matmul_case(rng: np.random.Generator, m: int, n: int, k: int, flags: int, with_bias: bool) -> Case:
    out = _floats(rng, m * n) if flags & ACCUMULATE else _poison(m * n)
    bias = _floats(rng, n) if with_bias else None
    # A dot product of k loses at most k/2 units of the sum of magnitudes, 2.25 k at the mean; in truth about sqrt(k).
    atol = 2.25 * (k + 1) * ULP * (1 + np.sqrt(k)) / 2
    return Case("matmul", [out], [_floats(rng, m * k), _floats(rng, k * n), bias], (m, n, k), (), flags, 4 * ULP, atol)


def _matmul_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    transposes = (0, TRANSPOSE_A, TRANSPOSE_B, TRANSPOSE_A | TRANSPOSE_B)
    shapes = [(1, 1, 1), (0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 17, 5), (17, 1, 33), (5, 16, 1), (6, 64, 8), (7, 65, 9)]
    shapes += [(12, 32, 40), (13, 33, 31), (32, 10, 64), (64, 64, 32), (3, 5, 300), (31, 100, 17), (70, 129, 260)]
    for (m, n, k), flags in itertools.product(shapes, transposes):
        yield _matmul_case(rng, m, n, k, flags, False)
        yield _matmul_case(rng, m, n, k, flags, True)
        yield _matmul_case(rng, m, n, k, flags | RELU, True)
        yield _matmul_case(rng, m, n, k, flags | ACCUMULATE, False)
    a, b = np.ones((5, 6), np.float32), np.ones((6, 20), np.float32)
    a[1, 2], a[3, 0], b[0, 7] = np.nan, np.inf, 0  # NaN, inf and inf * 0 stay in their rows and columns
    yield Case(name, [_poison(100)], [a.reshape(-1), b.reshape(-1), None], (5, 20, 6), rtol=4 * ULP)


def _random_key_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in (0, 1, 3, 4, 5, 1000):
        yield Case(name, [_key(-99, -99), _key(2**63 - 1, 12)], [], (n,))


def _dropout_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, rate in itertools.product(SIZES, (0.0, 0.1, 0.5, 0.9)):
        for seed, counter in ((0, 0), (12345, 4 * 77), (-7, 2**34), (2**62 + 5, 2**40 - 8)):
            ins = [_floats(rng, n), _key(seed, counter)]
            yield Case(name, [_poison(n)], ins, (n,), (rate,), rtol=2 * ULP, in_place=True)


def _hyper(a: float, b: float = 0.999, step: float = 1.0, scale: float = 1.0) -> Array:
    return np.array([0.05, a, b, 1e-7, 0.01, scale, step, 1.0])


def _tick_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    yield Case(name, [_hyper(0.9, step=41.0)], [])


def _clip_scale_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for squared in (0.0, 0.25, 1.0, 4.0, 1e300, np.inf, np.nan):
        yield Case(name, [_hyper(0.9, scale=-5.0)], [np.array([squared])], rtol=1e-15)


def _sgd_case(rng: np.random.Generator, n: int, with_velocity: bool, flags: int) -> Case:
    velocity = _floats(rng, n) if with_velocity else None
    ins = [_floats(rng, n), _hyper(0.9, scale=0.25)]
    return Case("sgd", [_floats(rng, n), velocity], ins, (n,), (), flags, 4 * ULP, 8 * ULP)


def _sgd_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, (with_velocity, flags) in itertools.product(SIZES, ((False, 0), (True, 0), (True, NESTEROV))):
        yield _sgd_case(rng, n, with_velocity, flags)


def _adam_case(rng: np.random.Generator, n: int, flags: int, step: float) -> Case:
    state = [_floats(rng, n), _floats(rng, n), _floats(rng, n, 0, 3)]
    ins = [_floats(rng, n), _hyper(0.9, step=step, scale=0.25)]
    return Case("adam", state, ins, (n,), (), flags, 16 * ULP, 16 * ULP)


def _adam_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n, flags, step in itertools.product(SIZES, (0, DECOUPLED), (1.0, 2.0, 1e6)):
        yield _adam_case(rng, n, flags, step)
    still = [np.zeros(9, np.float32) for _ in range(4)]  # no gradient yet: 0 / (0 + epsilon), not 0 / 0
    yield Case(name, [still[0], still[1], still[2]], [still[3], _hyper(0.9)], (9,))


_GROUPS: dict[str, Any] = {
    **dict.fromkeys(_UNARY, _unary_cases),
    **dict.fromkeys(_WITH_OUTPUT, _with_output_cases),
    **dict.fromkeys(_BINARY, _binary_cases),
    **dict.fromkeys(("max", "min"), _extremum_cases),
    **dict.fromkeys(("argmax", "accuracy"), _argmax_cases),
    **dict.fromkeys(("stats", "dot", "sum_squares", "check_finite"), _measure),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax_cases),
    "compare": _compare_cases,
    "where": _where_cases,
    "fill": _fill_cases,
    "cast": _cast_cases,
    "copy": _copy_cases,
    "one_hot": _one_hot_cases,
    "sum": _sum_cases,
    "check_labels": _check_labels_cases,
    "softmax_cross_entropy": _cross_entropy_cases,
    "softmax_cross_entropy_grad": _cross_entropy_grad_cases,
    "batchnorm": _batchnorm_cases,
    "batchnorm_inference": _inference_cases,
    "batchnorm_grad": _batchnorm_grad_cases,
    "moving_statistics": _moving_cases,
    "matmul": _matmul_cases,
    "random_key": _random_key_cases,
    "dropout": _dropout_cases,
    "optimizer_tick": _tick_cases,
    "clip_scale": _clip_scale_cases,
    "sgd": _sgd_cases,
    "adam": _adam_cases,
}
