"""What a Tensor can be made of: its dtypes, and arrays without a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinyres.errors import DTypeError
from tinyres.errors import refuse_masked as refuse_masked
from tinyres.kernels.dtypes import BOOL, FLOAT32, FLOAT64, INT64

FLOATS = (FLOAT32, FLOAT64)


def known_dtype(op: str, dtype: DTypeLike) -> np.dtype:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is not None and kind in FLOATS:  # None first: NumPy holds np.dtype("float64") == None for true
        return FLOAT32 if kind == FLOAT32 else FLOAT64
    if kind is not None and kind.kind in "iu":
        return INT64
    if kind == BOOL:
        return BOOL
    raise DTypeError(f"[{op}] dtypes are float32, float64, int64 and bool; got {dtype!r}; choose one of them")
