"""Elementwise kernels: unary over n items, binary and ternary over rows x columns."""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import ASKED, BROADCAST, MAP, MASKS, RECTIFIES, SUMS, Epilogues
from tinyres.kernels.record import RELATION_SHIFT, RELATIONS, RELU, Array, kernel
from tinyres.kernels.sharing import COLUMN, FULL, ROW


@kernel("f", "f", "n", form=MAP)
def neg(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.negative(x, out=out)


@kernel("f", "f", "n", form=MAP)
def exp(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.exp(x, out=out)


@kernel("f", "f", "n", form=MAP)
def log(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.log(x, out=out)


@kernel("f", "f", "n", form=MAP)
def sqrt(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.sqrt(x, out=out)


@kernel("f", "f", "n", form=MAP)
def abs(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.abs(x, out=out)


@kernel("f", "f", "n", form=MAP)
def sign(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.sign(x, out=out)


@kernel("f", "f", "n", form=MAP)
def tanh(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.tanh(x, out=out)


@kernel("f", "f", "n", form=MAP)
def sigmoid(out: Array, x: Array, n: int, *, flags: int) -> None:
    decay = np.exp(-np.abs(x))  # never overflows
    out[...] = np.where(x >= 0, 1, decay) / (1 + decay)


@kernel("f", "f", "n", form=MAP, does=RECTIFIES)
def relu(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.maximum(x, 0, out=out)


@kernel("f", "f", "n", form=MAP)
def softplus(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.logaddexp(x, 0, out=out)


@kernel("f", "f", "n", form=MAP)
def square(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.square(x, out=out)


@kernel("f", "f", "n", form=MAP)
def reciprocal(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.divide(1, x, out=out)


@kernel("f", "f", "n", "lo hi", form=MAP)
def clip(out: Array, x: Array, n: int, lo: float, hi: float, *, flags: int) -> None:
    np.clip(x, lo, hi, out=out)


@kernel("f", "ff", "n", "lo hi", form=MAP)
def clip_grad(out: Array, g: Array, x: Array, n: int, lo: float, hi: float, *, flags: int) -> None:
    out[...] = np.where((x < lo) | (x > hi), 0, g)


@kernel("f", "ff", "n", form=MAP, does=MASKS)
def relu_grad(out: Array, g: Array, y: Array, n: int, *, flags: int) -> None:
    out[...] = np.where(y <= 0, 0, g)


@kernel("f", "ff", "n", form=MAP)
def tanh_grad(out: Array, g: Array, y: Array, n: int, *, flags: int) -> None:
    out[...] = g * (1 - y * y)


@kernel("f", "ff", "n", form=MAP)
def sigmoid_grad(out: Array, g: Array, y: Array, n: int, *, flags: int) -> None:
    out[...] = g * y * (1 - y)


def _operand(x: Array, index: int, rows: int, cols: int, flags: int) -> Array:
    """Input `index` as something that NumPy broadcasts to rows x cols."""
    mode = flags >> 2 * index & 3
    if mode == FULL:
        return x.reshape(rows, cols)
    if mode == ROW:
        return x.reshape(1, cols)
    if mode == COLUMN:
        return x.reshape(rows, 1)
    return x[0]


def binary(ufunc: np.ufunc, out: Array, a: Array, b: Array, rows: int, cols: int, flags: int) -> None:
    """out[rows, cols] = ufunc of two inputs that lie as the flags say."""
    ufunc(_operand(a, 0, rows, cols, flags), _operand(b, 1, rows, cols, flags), out=out.reshape(rows, cols))


@kernel("f", "ff", "rows cols", form=BROADCAST, flush=ASKED, does=SUMS, epilogues=Epilogues(relu=True))
def add(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(np.add, out, a, b, rows, cols, flags)
    if flags & RELU:
        np.maximum(out, 0, out=out)


@kernel("f", "ff", "rows cols", form=BROADCAST)
def sub(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(np.subtract, out, a, b, rows, cols, flags)


@kernel("f", "ff", "rows cols", form=BROADCAST)
def mul(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(np.multiply, out, a, b, rows, cols, flags)


@kernel("f", "ff", "rows cols", form=BROADCAST)
def div(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(np.divide, out, a, b, rows, cols, flags)


@kernel("f", "ff", "rows cols", form=BROADCAST)
def pow(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    # np.power turns a single exponent of 0.5 into sqrt, in some versions of NumPy; at -inf and -0 it is not.
    binary(np.float_power, out, a, b, rows, cols, flags)


@kernel("f", "ff", "rows cols", form=BROADCAST)
def maximum(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(np.maximum, out, a, b, rows, cols, flags)


@kernel("f", "ff", "rows cols", form=BROADCAST)
def minimum(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(np.minimum, out, a, b, rows, cols, flags)


COMPARISONS = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@kernel("b", "ff", "rows cols", form=BROADCAST, in_place=False)
def compare(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    relation = RELATIONS[flags >> RELATION_SHIFT & 7]
    binary(COMPARISONS[relation], out, a, b, rows, cols, flags)


@kernel("f", "bff", "rows cols", form=BROADCAST)
def where(out: Array, condition: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    out.reshape(rows, cols)[...] = np.where(
        _operand(condition, 0, rows, cols, flags),
        _operand(a, 1, rows, cols, flags),
        _operand(b, 2, rows, cols, flags),
    )
