"""The machine's limits as rows of their own: multiply-adds in registers, and streams per level of the cache."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
import roofline


def test_multiply_adds(measure: Any) -> None:
    lib, rounds = roofline.library(), 100_000

    def run() -> None:
        lib.fma_chains(ctypes.c_int64(rounds), ctypes.c_float(0.5), ctypes.c_float(1.0))

    flops = lib.fma_operations(ctypes.c_int64(rounds))
    measure("registers", run, group="roofline: multiply-adds", flops=flops, limit=roofline.fma_peak())


@pytest.mark.parametrize("kind", ["read", "write", "copy", "triad"])
@pytest.mark.parametrize("level", roofline.LEVELS)
def test_streams(measure: Any, level: str, kind: str) -> None:
    nbytes = roofline.LEVELS[level]
    run, moved = roofline.streams(kind, nbytes)[0]
    calls = max(1, 2_000_000 // nbytes)
    measure(
        kind, lambda: run(calls), group=f"roofline: {level}, {nbytes >> 10} KiB together",
        calls=calls, nbytes=moved, limit=roofline.bandwidth(kind, nbytes),
    )  # fmt: skip
