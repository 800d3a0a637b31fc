"""Prove the error bounds of the elementary functions: every one of the 2^32 float32 inputs against float64 NumPy.

The error is |result - truth| in units in the last place (ulp) of float32 at the truth, where subnormals have the ulp
of the smallest normal number, and infinity counts as 2^128, the next number after the largest one. So 0.5 is correct
rounding; a NaN where none belongs, or none where one does, is infinitely wrong.

    python bench/ulp.py                          # all functions on the best instruction set: some minutes each
    python bench/ulp.py exp tanh --isa avx2      # some of them on another one
    python bench/ulp.py --step 1021              # every 1021st input: seconds

Prints, for each function, the worst input with its error, and exits with 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres.backends import native
from tinyres.backends.kernels import KERNELS

INPUTS = 1 << 32
CHUNK = 1 << 15  # small enough for its float64 intermediates to stay in the second level cache

Array = Any


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x) in the precision of x."""
    return 1 / (1 + np.exp(-x))


TRUTH: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "sqrt": np.sqrt,
    "reciprocal": lambda x: 1 / x,
}

# Largest error in ulp on any instruction set, as bench/ulp.py finds it, rounded up.
BOUNDS = {"exp": 1.0, "log": 1.0, "tanh": 2.0, "sigmoid": 2.0, "softplus": 2.0, "sqrt": 0.5, "reciprocal": 0.5}


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


def worst(name: str, bits: Array) -> tuple[float, np.float32]:
    """Return the largest error of a function over inputs given as uint32 bit patterns, and where it is."""
    x = bits.view(np.float32)
    with np.errstate(all="ignore"):
        error = error_in_ulp(run(name, x), TRUTH[name](x.astype(np.float64)))
    at = int(np.argmax(error))
    return float(error[at]), x[at]


def scan(name: str, step: int) -> tuple[float, np.float32]:
    """Return the same over every `step`-th of all inputs."""
    found = (-1.0, np.float32(0))
    for first in range(0, INPUTS, CHUNK * step):
        bits = np.arange(first, min(first + CHUNK * step, INPUTS), step, dtype=np.uint32)
        found = max(found, worst(name, bits), key=lambda pair: pair[0])
    return found


def main() -> int:
    """Scan what the command line asks for."""
    parser = argparse.ArgumentParser(description="error bounds of the elementary functions over all float32 inputs")
    parser.add_argument("functions", nargs="*", help=f"of: {' '.join(TRUTH)} (default: all)")
    parser.add_argument("--isa", default=None, help="instruction set (default: the best)")
    parser.add_argument("--step", type=int, default=1, help="try every STEP-th input only")
    arguments = parser.parse_args()
    unknown = set(arguments.functions) - set(TRUTH)
    if unknown:
        parser.error(f"unknown: {' '.join(sorted(unknown))}; choose of: {' '.join(TRUTH)}")
    if arguments.isa:
        native.select_isa(arguments.isa)
    broken = 0
    for name in arguments.functions or TRUTH:
        start = time.perf_counter()
        error, x = scan(name, arguments.step)
        broken |= error > BOUNDS[name]
        print(
            f"{native.isa()} {name:10} worst {error:.4f} ulp at {float(x).hex()} = {x!r}, bound {BOUNDS[name]}, "
            f"{-(-INPUTS // arguments.step)} inputs, {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
