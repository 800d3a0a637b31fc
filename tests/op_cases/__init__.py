"""The one table of op cases: it drives the tests of values and gradients (test_ops.py) and the kernel bench.

A new op is one record in tinyres/ops and one row here, in the file of its family; a test fails for an op without a row.
"""

from __future__ import annotations

from . import choice, elementwise, functions, images, losses, movement, products, reduction
from .case import Case, Shape

__all__ = ["CASES", "Case", "Shape"]

CASES: list[Case] = [
    *elementwise.CASES,
    *functions.CASES,
    *choice.CASES,
    *reduction.CASES,
    *products.CASES,
    *movement.CASES,
    *images.CASES,
    *losses.CASES,
]
