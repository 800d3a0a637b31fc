"""Rows of comparisons, choices and casts."""

from __future__ import annotations

import numpy as np

import tinyres as tr

from .case import BIG, BROADCAST, Case, each, mask_of

CASES = [
    Case("compare", lambda a, b: a > b, np.greater, BROADCAST, bench=(BIG, BIG)),
    Case("compare", lambda a, b: a != b, np.not_equal, (((3, 4), (4,)),)),
    Case("maximum", tr.maximum, np.maximum, BROADCAST, bench=(BIG, BIG)),
    Case("minimum", tr.minimum, np.minimum, BROADCAST, bench=(BIG, BIG)),
    Case(
        "where",
        lambda a, b: tr.where(mask_of(a.shape), a, b),
        lambda a, b: np.where(mask_of(a.shape), a, b),
        (((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 3, 4), ()), ((3, 1), (1, 4))),
        bench=(BIG, BIG),
    ),
    Case("cast_float32", lambda x: x.astype("float32"), np.float32, each((3, 4)), bench=(BIG,)),
    Case("cast_float64", lambda x: x.astype("float64"), np.float64, each((3, 4)), bench=(BIG,)),
    Case("cast_int64", lambda x: x.astype("int64"), np.int64, each((3, 4)), bench=(BIG,)),
    Case("cast_bool", lambda x: x.astype("bool"), np.bool_, each((3, 4)), bench=(BIG,)),
]
