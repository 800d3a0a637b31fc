"""Rows by number, their gradient, running sums, and the order of values.

A buffer is outer x rows x inner; ids choose among `classes` rows. Ids out of range are the caller's to find.
"""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import MOVEMENT, REDUCTION
from tinyres.kernels.record import REVERSE, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED


@kernel("x", "xl", "outer n inner classes", form=MOVEMENT, work="outer n inner")
def gather_rows(out: Array, x: Array, ids: Array, outer: int, n: int, inner: int, classes: int, *, flags: int) -> None:
    """out[outer, n, inner] = x[outer, ids, inner]; the flags hold the bytes of an item. Zeros for ids out of range."""
    inside = (ids >= 0) & (ids < classes)
    rows = out.reshape(outer, n, inner)
    rows[...] = 0
    rows[:, inside] = x.reshape(outer, classes, inner)[:, ids[inside]]


@kernel("f", "fl", "outer n inner classes", form=REDUCTION, sharing=UNDIVIDED, work="outer n inner")
def scatter_rows(out: Array, g: Array, ids: Array, outer: int, n: int, inner: int, classes: int, *, flags: int) -> None:
    """out[outer, classes, inner] = for each row the sum of g[outer, n, inner] with its id, in the order of ids."""
    out[...] = 0
    inside = (ids >= 0) & (ids < classes)
    rows = out.reshape(outer, classes, inner)
    for row, added in zip(rows, g.reshape(outer, n, inner)[:, inside]):
        np.add.at(row, ids[inside], added)


@kernel("f", "f", "outer n inner", form=REDUCTION, sharing=UNDIVIDED)
def cumsum(out: Array, x: Array, outer: int, n: int, inner: int, *, flags: int) -> None:
    """Sums along n up to each element, in float64; with REVERSE from the last one down."""
    step = -1 if flags & REVERSE else 1
    sums = np.cumsum(x.reshape(outer, n, inner)[:, ::step], axis=1, dtype=np.float64)
    out.reshape(outer, n, inner)[...] = sums[:, ::step]


@kernel("ll", "f", "rows cols", form=MOVEMENT)
def argsort(out: Array, scratch: Array, x: Array, rows: int, cols: int, *, flags: int) -> None:
    """The positions of each row's values in ascending order, NaN last, equal ones as they stand.

    With REVERSE in descending order, NaN first. scratch: as large as out; absent for rows up to SORTED_IN_WORKSPACE.
    """
    x = x.reshape(rows, cols)
    if flags & REVERSE:
        order = cols - 1 - np.argsort(x[:, ::-1], axis=1, kind="stable")[:, ::-1]
    else:
        order = np.argsort(x, axis=1, kind="stable")
    out.reshape(rows, cols)[...] = order
