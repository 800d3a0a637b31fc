"""Cases of special functions, rounding, activations and remainders: lanes, edge values, every binade."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres.kernels.record import KERNELS, TANH_FORM

from .operands import LARGE_COLUMNS, LARGE_ROWS, LARGE_SIZE, SHAPES, SIZES, SPECIAL, ULP, Array, Case, floats, poison

_UNARY = "erf log1p expm1 sin cos round floor ceil silu gelu leaky_relu elu".split()
_GRADIENTS = "silu_grad gelu_grad leaky_relu_grad elu_grad".split()
_REMAINDERS = "mod floor_divide".split()
_EXACT = set("round floor ceil leaky_relu leaky_relu_grad".split())
_SCALED = set("leaky_relu leaky_relu_grad elu elu_grad".split())
_SIGNED_ZEROS = set("erf log1p expm1 sin round floor ceil mod".split())
_FORMS = {"gelu": (0, TANH_FORM), "gelu_grad": (0, TANH_FORM)}


def _of(name: str, ins: list[Array]) -> Iterator[Case]:
    n = len(ins[0])
    for flags in _FORMS.get(name, (0,)):
        yield Case(
            name,
            [poison(n)],
            list(ins),
            (n,),
            (0.25,) if name in _SCALED else (),
            flags,
            # The tails of gelu and silu lose digits in proportion to their exponent; slopes cross 0. Below the
            # smallest normal number 100 times a few units in the last place.
            rtol=ULP if name in _EXACT else (128 if flags else 6) * ULP,
            atol=4 * ULP if name in ("gelu_grad", "silu_grad") else 1.5e-43,
            signed_zeros=name in _SIGNED_ZEROS,
            in_place=True,
        )


def _unary_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        yield from _of(name, [floats(rng, n, -10, 10)])
    yield from _of(name, [SPECIAL])
    bits = rng.integers(0, 2**32, 4000, dtype=np.uint32).view(np.float32)  # every binade of float32, both signs
    yield from _of(name, [bits[np.isfinite(bits)]])
    if name in ("round", "floor", "ceil"):
        halves = np.arange(-17, 17, dtype=np.float32) / 2
        yield from _of(name, [np.concatenate([halves, [2.0**22 + 0.5, 2.0**23 - 0.5, 2.0**23 + 1]]).astype(np.float32)])


def _gradient_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        yield from _of(name, [floats(rng, n), floats(rng, n, -10, 10)])
    x = SPECIAL[np.isfinite(SPECIAL)]
    yield from _of(name, [floats(rng, x.size), x])
    yield from _of(name, [np.array([1.0, 2.0, -1.0], np.float32), np.array([np.inf, -np.inf, np.nan], np.float32)])


def _remainder_case(name: str, rng: np.random.Generator, rows: int, cols: int, modes: int) -> Case:
    sizes = [(rows * cols, cols, rows, 1)[modes >> 2 * i & 3] for i in range(2)]
    a, b = (np.round(floats(rng, size, -30, 30)) / 4 for size in sizes)  # exact, so that no quotient is torn
    return Case(name, [poison(rows * cols)], [a, b], (rows, cols), (), modes, ULP, 0.0, True, modes & 3 == 0)


def _remainder_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for (rows, cols), modes in itertools.product(SHAPES, range(16)):
        yield _remainder_case(name, rng, rows, cols, modes)
    some = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.5, -0.5, 3.0], np.float32)
    a, b = (grid.reshape(-1) for grid in np.meshgrid(some, some))
    yield Case(name, [poison(a.size)], [a, b], (1, a.size), rtol=ULP)


def _large_case(name: str, rng: np.random.Generator) -> Case:
    if name in _REMAINDERS:
        return _remainder_case(name, rng, LARGE_ROWS, LARGE_COLUMNS, 0)
    return next(_of(name, [floats(rng, LARGE_SIZE) for _ in KERNELS[name].ins]))


CASES: dict[str, Any] = {
    **dict.fromkeys(_UNARY, _unary_cases),
    **dict.fromkeys(_GRADIENTS, _gradient_cases),
    **dict.fromkeys(_REMAINDERS, _remainder_cases),
}
LARGE: dict[str, Any] = dict.fromkeys(CASES, _large_case)
