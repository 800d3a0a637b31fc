"""Kernels that move, make or convert items without computing with them."""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import ADDS_A_PART, ASKED, FILLS, MOVEMENT, Epilogues
from tinyres.kernels.record import ACCUMULATE, COPY_DIMENSIONS, FLUSH, Array, kernel


@kernel("f", "", "n", "value", form=MOVEMENT, does=FILLS)
def fill(out: Array, n: int, value: float, *, flags: int) -> None:
    out[...] = value


@kernel("x", "x", "n", form=MOVEMENT)
def cast(out: Array, x: Array, n: int, *, flags: int) -> None:
    """Convert between the ITEM_TYPES that the flags name; the arrays carry the same types."""
    out[...] = x


@kernel(
    "X",
    "x",
    "ndim s0 s1 s2 s3 s4 s5 o0 o1 o2 o3 o4 o5 i0 i1 i2 i3 i4 i5 ooffset ioffset",
    form=MOVEMENT,
    work="s0 s1 s2 s3 s4 s5",
    walks=True,
    flush=ASKED,
    does=ADDS_A_PART,
    epilogues=Epilogues(accumulate=True),
)
def copy(out: Array, x: Array, ndim: int, *layout: int, flags: int) -> None:
    """Walk `ndim` dimensions of sizes s, with strides o and i and from offsets, all in items.

    A stride may be 0 or negative; items of `out` outside the walk keep their values. With ACCUMULATE the items are
    added to what is there, with FLUSH alone to 0: -0 becomes 0, as in the sum.
    """
    shape = layout[:ndim]
    ostrides = layout[COPY_DIMENSIONS : COPY_DIMENSIONS + ndim]
    istrides = layout[2 * COPY_DIMENSIONS : 2 * COPY_DIMENSIONS + ndim]
    ooffset, ioffset = layout[3 * COPY_DIMENSIONS :]
    target = _walk(out, shape, ostrides, ooffset)
    source = _walk(x, shape, istrides, ioffset)
    if flags & ACCUMULATE:
        target += source
    elif flags & FLUSH:
        np.add(source, 0, out=target)
    else:
        target[...] = source


def _walk(items: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    # Unlike as_strided, the constructor refuses a walk that leaves the buffer.
    size = items.itemsize
    return np.ndarray(shape, items.dtype, items, offset * size, tuple(stride * size for stride in strides))


@kernel("f", "l", "rows cols", form=MOVEMENT)
def one_hot(out: Array, labels: Array, rows: int, cols: int, *, flags: int) -> None:
    out.reshape(rows, cols)[...] = labels[:, None] == np.arange(cols)
