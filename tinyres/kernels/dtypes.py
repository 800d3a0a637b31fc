"""The four item types of tensors; the engine compares them by identity, so each exists once."""

from __future__ import annotations

import numpy as np

FLOAT32 = np.dtype("float32")
FLOAT64 = np.dtype("float64")
INT64 = np.dtype("int64")
BOOL = np.dtype("bool")

DTYPES = {dtype.name: dtype for dtype in (FLOAT32, FLOAT64, INT64, BOOL)}
