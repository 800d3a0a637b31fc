"""Prove the error bounds of the elementary functions: every one of the 2^32 float32 inputs against float64 NumPy.

The error is |result - truth| in units in the last place (ulp) of float32 at the truth, where subnormals have the ulp
of the smallest normal number, and infinity counts as 2^128, the next number after the largest one. So 0.5 is correct
rounding; a NaN where none belongs, or none where one does, is infinitely wrong.

    python bench/ulp.py                          # all functions on all instruction sets: some minutes each
    python bench/ulp.py exp tanh --isa avx2      # some of them on one
    python bench/ulp.py --step 1021              # every 1021st input: seconds

Prints, for each function and instruction set, the worst input with its error, and exits with 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres.backends import native
from tinyres.kernels.record import KERNELS

INPUTS = 1 << 32
CHUNK = 1 << 15  # small enough for its float64 intermediates to stay in the second level cache

Array = Any


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x) in the precision of x."""
    return 1 / (1 + np.exp(-x))


def each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    """Return the function of one number as one of an array."""
    return lambda x: np.array(list(map(function, x.tolist())), np.float64)


def gelu(x: Array) -> Array:
    """Return x times the part of the normal distribution below x."""
    x = np.maximum(x, -40)
    return x * each(math.erfc)(x * -math.sqrt(0.5)) / 2


def silu(x: Array) -> Array:
    """Return x sigmoid(x), which is 0 far below 0."""
    x = np.maximum(x, -1000)
    return x / (1 + np.exp(-x))


TRUTH: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "sqrt": np.sqrt,
    "reciprocal": lambda x: 1 / x,
    "erf": each(math.erf),
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sin": np.sin,
    "cos": np.cos,
    "gelu": gelu,
    "silu": silu,
}

# Largest error in ulp on any instruction set, as bench/ulp.py finds it, rounded up.
BOUNDS = {"exp": 1.0, "log": 0.9, "tanh": 1.9, "sigmoid": 1.9, "softplus": 1.9, "sqrt": 0.5, "reciprocal": 0.5}
BOUNDS |= {"erf": 2, "log1p": 2, "expm1": 2, "sin": 0.51, "cos": 0.51, "gelu": 0.61, "silu": 0.56}


def run(name: str, x: Array) -> Array:
    """Return what the native kernel makes of the float32 array x."""
    record = KERNELS[name]
    out = np.empty_like(x)
    call = record.pack(record.native_id, 0, 0, out.ctypes.data, x.ctypes.data, x.size)
    if native.run(call, 1) != -1:
        raise RuntimeError(f"{name} failed")
    return out


def error_in_ulp(result: Array, truth: Array) -> Array:
    """Return the error of float32 results against float64 truths, in ulp of float32; both are one-dimensional."""
    limit = 2.0**128
    result = np.clip(result.astype(np.float64), -limit, limit)
    exponent = np.maximum(truth.view(np.int64) >> 52 & 0x7FF, 1023 - 126)
    truth = np.clip(truth, -limit, limit)
    ulp = (np.minimum(exponent, 1023 + 127) - 23 << 52).view(np.float64)
    error = np.abs(result - truth) / ulp
    nan = np.isnan(result), np.isnan(truth)
    return np.where(nan[0] & nan[1], 0.0, np.where(nan[0] | nan[1], np.inf, error))


def worst(name: str, bits: Array, isas: list[str]) -> list[tuple[float, float]]:
    """Return, for each instruction set, the largest error over inputs given as uint32 bit patterns, and its input.

    Results that are the truth, rounded, are not looked at: they count as 0.5.
    """
    x = bits.view(np.float32)
    found = []
    with np.errstate(all="ignore"):
        truth = TRUTH[name](x.astype(np.float64))
        rounded = truth.astype(np.float32)
        for isa in isas:
            native.select_isa(isa)
            result = run(name, x)
            differs = np.flatnonzero((result != rounded) & ~(np.isnan(result) & np.isnan(rounded)))
            error = error_in_ulp(result[differs], truth[differs])
            at = int(np.argmax(error)) if error.size else 0
            found.append((float(error[at]), float(x[differs[at]])) if error.size else (0.5, float(x[0])))
    return found


def scan(name: str, step: int, isas: list[str]) -> list[tuple[float, float]]:
    """Return the same over every `step`-th of all inputs."""
    found = [(0.0, 0.0)] * len(isas)
    for first in range(0, INPUTS, CHUNK * step):
        bits = np.arange(first, min(first + CHUNK * step, INPUTS), step, dtype=np.uint32)
        found = [max(pair, key=lambda error: error[0]) for pair in zip(found, worst(name, bits, isas))]
    return found


def main() -> int:
    """Scan what the command line asks for."""
    supported = [isa for isa, is_supported in native.isas().items() if is_supported]
    parser = argparse.ArgumentParser(description="error bounds of the elementary functions over all float32 inputs")
    parser.add_argument("functions", nargs="*", help=f"of: {' '.join(TRUTH)} (default: all)")
    parser.add_argument("--isa", choices=supported, help="instruction set (default: all that this machine supports)")
    parser.add_argument("--step", type=int, default=1, help="try every STEP-th input only")
    arguments = parser.parse_args()
    unknown = set(arguments.functions) - set(TRUTH)
    if unknown:
        parser.error(f"unknown: {' '.join(sorted(unknown))}; choose of: {' '.join(TRUTH)}")
    isas = [arguments.isa] if arguments.isa else supported
    broken = False
    for name in arguments.functions or TRUTH:
        start = time.perf_counter()
        for isa, (error, x) in zip(isas, scan(name, arguments.step, isas)):
            broken |= error > BOUNDS[name]
            print(f"{name:10} {isa:8} worst {error:.4f} ulp at {x.hex()} = {x:.9g}, bound {BOUNDS[name]}", flush=True)
        print(f"{'':10} {-(-INPUTS // arguments.step)} inputs in {time.perf_counter() - start:.0f} s", flush=True)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
