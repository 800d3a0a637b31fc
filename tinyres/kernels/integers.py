"""Kernels on int64 and bool: exact arithmetic, comparisons, logic and reductions. Overflow wraps around."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres.kernels.elementwise import COMPARISONS, binary
from tinyres.kernels.forms import BROADCAST, REDUCTION
from tinyres.kernels.record import OPERATIONS, RELATION_SHIFT, RELATIONS, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED


def _power(a: Array, b: Array, out: Array) -> None:
    np.power(a, np.maximum(b, 0), out=out)
    out[np.broadcast_to(b < 0, out.shape)] = 0


_UFUNCS: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "floor_divide": np.floor_divide,
    "mod": np.mod,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "pow": _power,
}


def _operation(flags: int) -> Any:
    return _UFUNCS[OPERATIONS[flags >> RELATION_SHIFT & 15]]


@kernel("l", "ll", "rows cols", form=BROADCAST, sharing=UNDIVIDED)
def integers(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    """The operation that the flags name; a quotient or remainder by 0 is 0, and so is a power below 0."""
    binary(_operation(flags), out, a, b, rows, cols, flags)


@kernel("b", "ll", "rows cols", form=BROADCAST, sharing=UNDIVIDED, in_place=False)
def compare_integers(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(COMPARISONS[RELATIONS[flags >> RELATION_SHIFT & 7]], out, a, b, rows, cols, flags)


@kernel("b", "bb", "rows cols", form=BROADCAST, sharing=UNDIVIDED)
def logic(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    """And, or, exclusive or."""
    binary(_operation(flags), out, a, b, rows, cols, flags)


@kernel("l", "l", "outer n inner", form=REDUCTION, sharing=UNDIVIDED)
def reduce_integers(out: Array, x: Array, outer: int, n: int, inner: int, *, flags: int) -> None:
    """Sum, product, maximum or minimum along n; over none a sum is 0 and a product 1."""
    initial = {"initial": 0} if n == 0 and _operation(flags) is not np.multiply else {}
    out.reshape(outer, inner)[...] = _operation(flags).reduce(x.reshape(outer, n, inner), axis=1, **initial)
