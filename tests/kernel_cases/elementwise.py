"""Cases of elementwise kernels: lanes, edge values, and every way to broadcast rows and columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres.kernels.record import KERNELS, RELATION_SHIFT, RELATIONS, RELU
from tinyres.kernels.sharing import FULL

from .operands import LARGE_COLUMNS, LARGE_ROWS, LARGE_SIZE, SHAPES, SIZES, SPECIAL, ULP, Array, Case, floats, poison

_UNARY = "neg exp log sqrt abs sign tanh sigmoid relu softplus square reciprocal clip".split()
_WITH_OUTPUT = "clip_grad relu_grad tanh_grad sigmoid_grad".split()
_BINARY = "add sub mul div pow maximum minimum".split()
_SIGNED_ZEROS = set("neg abs sqrt tanh reciprocal add sub mul div".split())
_INEXACT = set("exp log tanh sigmoid softplus tanh_grad sigmoid_grad pow".split())


def _elementwise_of(name: str, rng: np.random.Generator, ins: list[Array]) -> Iterator[Case]:
    n = len(ins[0])
    yield Case(
        name,
        [poison(n)],
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
        yield from _elementwise_of(name, rng, [floats(rng, n, -10, 10)])
    yield from _elementwise_of(name, rng, [SPECIAL])
    # Every binade of float32, both signs.
    bits = rng.integers(0, 2**32, 4000, dtype=np.uint32).view(np.float32)
    yield from _elementwise_of(name, rng, [bits[np.isfinite(bits)]])


def _with_output_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    low, high = (-2, 2) if name == "clip_grad" else (0, 1) if name == "sigmoid_grad" else (-1, 1)
    for n in SIZES:
        yield from _elementwise_of(name, rng, [floats(rng, n), floats(rng, n, low, high)])
    edges = np.array([np.nan, 0.0, -0.0, 1.0, 1e-45, 0.5, -0.75, 1.25], np.float32)
    edges = edges[np.isnan(edges) | (edges >= low) & (edges <= high)]
    g, y = (grid.reshape(-1) for grid in np.meshgrid(SPECIAL[np.isfinite(SPECIAL)], edges))
    yield from _elementwise_of(name, rng, [g, y])


def _mode_size(mode: int, rows: int, cols: int) -> int:
    return (rows * cols, cols, rows, 1)[mode]


def _broadcast_case(name: str, rng: np.random.Generator, rows: int, cols: int, modes: int, relation: int = 0) -> Case:
    letters = KERNELS[name].ins
    sizes = [_mode_size(modes >> 2 * i & 3, rows, cols) for i in range(len(letters))]
    ins: list[Array | None] = [
        rng.random(size) < 0.5 if letter == "b" else np.round(floats(rng, size), 1 if name == "compare" else 7)
        for letter, size in zip(letters, sizes, strict=True)
    ]
    if name == "pow":
        ins[0] = np.abs(ins[0])
    return Case(
        name,
        [poison(rows * cols, KERNELS[name].outs)],
        ins,
        (rows, cols),
        (),
        modes | relation << RELATION_SHIFT,
        rtol=8 * ULP if name == "pow" else ULP if name in _BINARY else 0,
        atol=6e-45,
        signed_zeros=name in _SIGNED_ZEROS,
        in_place=KERNELS[name].in_place and modes >> 2 * letters.index("f") & 3 == FULL,
    )


def _binary_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), modes in itertools.product(SHAPES, range(16)):
        yield _broadcast_case(name, rng, rows, cols, modes)
    a, b = (grid.reshape(-1) for grid in np.meshgrid(SPECIAL, SPECIAL))
    # Numbers around 1 to large powers lose digits in proportion to the exponent, so pow takes what it must be right at.
    rtol = 16 * ULP if name == "pow" else ULP
    signed = name in _SIGNED_ZEROS
    full = Case(name, [poison(a.size)], [a, b], (1, a.size), rtol=rtol, atol=6e-45, signed_zeros=signed)
    yield full
    if name == "pow":
        for exponent in (2, 1, 0.5, -1, 0, 3, -2, 2.5, np.nan):
            scalar = np.array([exponent], np.float32)
            out = [poison(SPECIAL.size)]
            yield Case(name, out, [SPECIAL, scalar], (1, SPECIAL.size), (), 3 << 2, rtol, 6e-45, signed_zeros=True)
    if name == "add":
        yield Case(name, [poison(a.size)], [a, b], (1, a.size), flags=RELU, rtol=rtol, atol=6e-45)


def _compare_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), modes in itertools.product(SHAPES, (0, 1, 2, 3, 4, 8, 12)):
        yield _broadcast_case(name, rng, rows, cols, modes, relation=(rows + modes) % len(RELATIONS))
    a, b = (grid.reshape(-1) for grid in np.meshgrid(SPECIAL, SPECIAL))
    for relation in range(len(RELATIONS)):
        yield Case(name, [poison(a.size, "b")], [a, b], (1, a.size), flags=relation << RELATION_SHIFT)


def _where_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), modes in itertools.product(SHAPES, range(64)):
        yield _broadcast_case(name, rng, rows, cols, modes)
    n = SPECIAL.size
    condition = np.arange(n) % 2 == 0
    yield Case(name, [poison(n)], [condition, SPECIAL, SPECIAL[::-1].copy()], (1, n), signed_zeros=True)


def _large_case(name: str, rng: np.random.Generator) -> Case:
    if name in _UNARY or name in _WITH_OUTPUT:
        return next(_elementwise_of(name, rng, [floats(rng, LARGE_SIZE) for _ in KERNELS[name].ins]))
    return _broadcast_case(name, rng, LARGE_ROWS, LARGE_COLUMNS, 0)


CASES: dict[str, Any] = {
    **dict.fromkeys(_UNARY, _unary_cases),
    **dict.fromkeys(_WITH_OUTPUT, _with_output_cases),
    **dict.fromkeys(_BINARY, _binary_cases),
    "compare": _compare_cases,
    "where": _where_cases,
}
LARGE: dict[str, Any] = dict.fromkeys(CASES, _large_case)
