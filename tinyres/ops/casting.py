"""Casts between dtypes: differentiable between float32 and float64, without gradient to int64 and bool.

One op per target dtype, so that an op's dtype stands in its record.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.accepting import known_dtype
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import DTypeError
from tinyres.kernels.dtypes import BOOL, FLOAT32, FLOAT64, INT64
from tinyres.kernels.record import ITEM_TYPES, TARGET_SHIFT
from tinyres.launch import launch

_CODES = {np.dtype(name): code for code, name in enumerate(ITEM_TYPES)}


def _cast_shape(x: Tensor, source: np.dtype) -> Shape:
    if source != x.dtype:
        raise DTypeError(f"[astype] a cast is from the dtype of its input; got {source} for {x.dtype}; use tr.astype")
    return x.shape


def _cast_forward(out: Buffer, x: Tensor, source: np.dtype) -> None:
    flags = _CODES[source] | _CODES[out.dtype] << TARGET_SHIFT
    launch(kernels.cast, (out,), (x.buffer,), (out.size,), (), flags)


def _cast_vjp(g: Tensor, ctx: Context) -> Gradients:
    (source,) = ctx.attrs
    return (astype(g, source),)


_CASTS = {
    target: Op(
        f"cast_{target}",
        shape=_cast_shape,
        forward=_cast_forward,
        vjp=_cast_vjp if target in FLOATS else None,
        dtype=target,
        takes="x",
    )
    for target in (FLOAT32, FLOAT64, INT64, BOOL)
}


def astype(x: Operand, dtype: DTypeLike) -> Tensor:
    """x, of any shape, with another dtype; x itself if it has it. The gradient is cast back.

    dtype: float32, float64, int64 or bool (integers of other widths become int64). Fractions are cut off towards 0.

    >>> import tinyres as tr
    >>> tr.astype(tr.tensor([1.5, -2.5]), "int64")
    Tensor([ 1, -2], shape=(2,), dtype=int64)
    """
    target = known_dtype("astype", dtype)
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    return x if x.dtype is target else apply(_CASTS[target], (x,), x.dtype)
