"""Cases for every kernel: operands, sizes, flags, and how close float32 must come to the reference in float64.

`cases(name)` covers shapes, lanes, edge values and flags; `large_case(name)` is one call wide enough to be split over
threads, None for kernels of a few numbers. Operands hold float32 for the letter f; outputs that are only written
start as NaN or another value that no kernel gives, so that reading them shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import numpy as np

from . import attention, batched, elementwise, functions, images, integers, movement, reduce, training
from .operands import SPECIAL, Array, Case

__all__ = ["SPECIAL", "Array", "Case", "cases", "large_case"]

_FAMILIES = (elementwise, functions, integers, movement, reduce, training, images, attention, batched)
_CASES = {name: make for family in _FAMILIES for name, make in family.CASES.items()}
_LARGE = {name: make for family in _FAMILIES for name, make in family.LARGE.items()}


def cases(name: str) -> Iterator[Case]:
    """Every case of one kernel, always the same ones."""
    return _CASES[name](name, np.random.default_rng(crc32(name.encode())))


def large_case(name: str) -> Case | None:
    """One call of a kernel that is worth more than one thread."""
    return _LARGE[name](name, np.random.default_rng(1)) if name in _LARGE else None
