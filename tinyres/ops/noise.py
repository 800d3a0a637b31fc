"""Random Tensors, drawn by the library's generator: also within a captured step, where each replay draws anew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.backends.memory import check_fits
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import DTypeError, ShapeError
from tinyres.kernels.dtypes import FLOAT32
from tinyres.launch import launch
from tinyres.ops.elementwise import sqrt
from tinyres.ops.functions import cos
from tinyres.ops.random import Generator, default_generator


def rand(*shape: Any, generator: Generator | None = None, dtype: DTypeLike = FLOAT32) -> Tensor:
    """Numbers that are uniform in [0, 1), multiples of 2^-24, as by torch.rand. Nothing flows back through them.

    shape: sizes, or one tuple of them. generator: the library's (`tr.manual_seed`) if left out.
    Raises ShapeError for another shape, DTypeError for other types than floats.

    >>> import tinyres as tr
    >>> tr.rand(2, 3).shape
    (2, 3)
    """
    sizes, kind = _read("rand", shape, dtype)
    count = math.prod(sizes)
    out = Buffer(count, kind)
    launch(kernels.random_uniform, (out,), ((generator or default_generator()).key(count),), (count,))
    return Tensor(out, sizes, kind)


def randn(*shape: Any, generator: Generator | None = None, dtype: DTypeLike = FLOAT32) -> Tensor:
    """Normal numbers of mean 0 and variance 1, as by torch.randn: two uniform ones each (Box and Muller 1958).

    shape: sizes, or one tuple of them. generator: the library's (`tr.manual_seed`) if left out. None is beyond 5.8.
    Raises ShapeError for another shape, DTypeError for other types than floats.

    >>> import tinyres as tr
    >>> tr.manual_seed(0)
    >>> bool(abs(tr.randn(10_000).mean()) < 0.05)
    True
    """
    sizes, kind = _read("randn", shape, dtype)
    with no_grad():
        radius = sqrt((1.0 - rand(*sizes, generator=generator, dtype=kind)).log() * -2.0)
        return radius * cos(rand(*sizes, generator=generator, dtype=kind) * (2 * math.pi))


def _read(op: str, shape: tuple[Any, ...], dtype: DTypeLike) -> tuple[tuple[int, ...], np.dtype]:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 0:
            raise ShapeError(f"[{op}] a shape is made of sizes from 0 on; got {tuple(shape)}; write (2, 3)")
    kind = np.dtype(dtype)
    if kind not in FLOATS:
        raise DTypeError(f"[{op}] random numbers are floats; got dtype={dtype}; draw floats, then .astype")
    check_fits(op, math.prod(map(int, sizes)) * kind.itemsize, "one array", "take fewer numbers")
    return tuple(map(int, sizes)), kind
