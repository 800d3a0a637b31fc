"""New Tensors: zeros, ones, full, arange, eye, and zeros or ones like another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyres.backends.memory import check_fits
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ShapeError, refuse_masked
from tinyres.kernels.dtypes import FLOAT32, INT64

Sizes = int | Sequence[int]


def full(shape: Sizes, value: float, dtype: DTypeLike = FLOAT32, requires_grad: bool = False) -> Tensor:
    """A Tensor of one value.

    Raises ShapeError unless the shape is made of sizes from 0 on.

    >>> import tinyres as tr
    >>> tr.full((2,), 7.0)
    Tensor([7., 7.], shape=(2,), dtype=float32)
    """
    refuse_masked("full", value)
    try:
        values = np.broadcast_to(value, shape)
    except (TypeError, ValueError):
        raise ShapeError(
            f"[full] a shape is an int or a tuple of sizes from 0 on; got {shape!r}; write (2, 3)"
        ) from None
    return tensor(values, requires_grad, dtype)


def zeros(shape: Sizes, dtype: DTypeLike = FLOAT32, requires_grad: bool = False) -> Tensor:
    """A Tensor of zeros.

    Raises ShapeError unless the shape is made of sizes from 0 on.

    >>> import tinyres as tr
    >>> tr.zeros(2)
    Tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return full(shape, 0.0, dtype, requires_grad)


def ones(shape: Sizes, dtype: DTypeLike = FLOAT32, requires_grad: bool = False) -> Tensor:
    """A Tensor of ones.

    Raises ShapeError unless the shape is made of sizes from 0 on.

    >>> import tinyres as tr
    >>> tr.ones((1, 2), dtype="int64")
    Tensor([[1, 1]], shape=(1, 2), dtype=int64)
    """
    return full(shape, 1.0, dtype, requires_grad)


def zeros_like(x: Tensor, dtype: DTypeLike | None = None) -> Tensor:
    """Zeros of the shape and dtype of x.

    >>> import tinyres as tr
    >>> tr.zeros_like(tr.tensor([1.0, 2.0]))
    Tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return zeros(x.shape, x.dtype if dtype is None else dtype)


def ones_like(x: Tensor, dtype: DTypeLike | None = None) -> Tensor:
    """Ones of the shape and dtype of x.

    >>> import tinyres as tr
    >>> tr.ones_like(tr.tensor([1.0, 2.0]))
    Tensor([1., 1.], shape=(2,), dtype=float32)
    """
    return ones(x.shape, x.dtype if dtype is None else dtype)


def arange(*bounds: float, dtype: DTypeLike | None = None) -> Tensor:
    """Evenly spaced numbers: arange(stop), arange(start, stop) or arange(start, stop, step), as np.arange.

    dtype: int64 where all bounds are ints, else float32, unless told otherwise. Raises ShapeError for other bounds,
    OutOfMemoryError for too many numbers.

    >>> import tinyres as tr
    >>> tr.arange(3), tr.arange(0.0, 1.0, 0.5)
    (Tensor([0, 1, 2], shape=(3,), dtype=int64), Tensor([0. , 0.5], shape=(2,), dtype=float32))
    """
    try:
        start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
        check_fits("arange", 8 * math.ceil((stop - start) / step), "one array", "take fewer numbers")
        values = np.arange(*bounds)
    except (OverflowError, TypeError, ValueError, ZeroDivisionError):
        raise ShapeError(
            f"[arange] takes stop, or start and stop, or these and a step that is not 0; got {bounds}; write arange(5)"
        ) from None
    return tensor(values, dtype=_kind(values) if dtype is None else dtype)


def _kind(values: np.ndarray) -> Any:
    return INT64 if values.dtype.kind in "iu" else FLOAT32


def eye(n: int, m: int | None = None, dtype: DTypeLike = FLOAT32) -> Tensor:
    """1 on the diagonal of an n x m matrix (m: n unless given), else 0.

    Raises ShapeError unless both are ints from 0 on, OutOfMemoryError for more than there is.

    >>> import tinyres as tr
    >>> tr.eye(2)
    Tensor([[1., 0.],
            [0., 1.]], shape=(2, 2), dtype=float32)
    """
    sizes = n, n if m is None else m
    if not all(isinstance(size, (int, np.integer)) and size >= 0 for size in sizes):
        raise ShapeError(f"[eye] rows and columns are ints from 0 on; got {sizes}; write eye(3)")
    check_fits("eye", 8 * math.prod(sizes), "one array", "take fewer rows")
    return tensor(np.eye(*sizes), dtype=dtype)
