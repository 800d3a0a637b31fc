"""What a Tensor can be made of: its dtypes, and arrays without a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyres.errors import DTypeError
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


def refuse_masked(op: str, value: Any) -> None:
    """Raise DTypeError for an array some of whose values are masked, or a list of such: a Tensor has no mask."""
    for array in value if isinstance(value, (list, tuple)) else (value,):
        # Asked by the attribute: naming the class would import numpy.ma with tinyres.
        mask = getattr(array, "mask", False) if isinstance(array, np.ndarray) else False
        if np.any(mask):
            raise DTypeError(
                f"[{op}] a Tensor has no mask; got a masked array of shape {array.shape}, "
                f"{np.sum(np.broadcast_to(mask, array.shape))} values masked; fill them (a.filled(0)), or give its "
                "values and tr.where with the mask"
            )
