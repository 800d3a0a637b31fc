"""More elementwise kernels: special functions, rounding, activations and their gradients, remainders.

erf comes from the standard library, one number at a time; everything that is made of it is worked out in float64.
"""

from __future__ import annotations

import math

import numpy as np

from tinyres.kernels.elementwise import binary
from tinyres.kernels.forms import BROADCAST, MAP
from tinyres.kernels.record import TANH_FORM, Array, kernel


def _each(function: object, x: Array) -> Array:
    return np.array(list(map(function, x.tolist())), np.float64)  # type: ignore[call-overload]


@kernel("f", "f", "n", form=MAP)
def erf(out: Array, x: Array, n: int, *, flags: int) -> None:
    out[...] = _each(math.erf, x)


@kernel("f", "f", "n", form=MAP)
def log1p(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.log1p(x, out=out)


@kernel("f", "f", "n", form=MAP)
def expm1(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.expm1(x, out=out)


@kernel("f", "f", "n", form=MAP)
def sin(out: Array, x: Array, n: int, *, flags: int) -> None:
    out[...] = np.sin(x.astype(np.float64))


@kernel("f", "f", "n", form=MAP)
def cos(out: Array, x: Array, n: int, *, flags: int) -> None:
    out[...] = np.cos(x.astype(np.float64))


@kernel("f", "f", "n", form=MAP)
def round(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.rint(x, out=out)


@kernel("f", "f", "n", form=MAP)
def floor(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.floor(x, out=out)


@kernel("f", "f", "n", form=MAP)
def ceil(out: Array, x: Array, n: int, *, flags: int) -> None:
    np.ceil(x, out=out)


def _logistic(x: Array) -> Array:
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, decay) / (1 + decay)


@kernel("f", "f", "n", form=MAP)
def silu(out: Array, x: Array, n: int, *, flags: int) -> None:
    """x sigmoid(x); 0 far below 0."""
    x = x.astype(np.float64)
    out[...] = np.maximum(x, -1000) * _logistic(x)


@kernel("f", "ff", "n", form=MAP)
def silu_grad(out: Array, g: Array, x: Array, n: int, *, flags: int) -> None:
    x = np.clip(x.astype(np.float64), -1000, 1000)
    s = _logistic(x)
    out[...] = g * (s + s * (1 - s) * x).astype(out.dtype)


_SCALE, _CUBE = 2 * math.sqrt(2 / math.pi), 0.044715


@kernel("f", "f", "n", form=MAP)
def gelu(out: Array, x: Array, n: int, *, flags: int) -> None:
    """x times the part of the normal distribution below x; with TANH_FORM its approximation by tanh."""
    x = np.maximum(x.astype(np.float64), -40)
    if flags & TANH_FORM:
        near = np.minimum(x, 40)
        out[...] = x * _logistic(_SCALE * near * (1 + _CUBE * near**2))
    else:
        out[...] = x * _each(math.erfc, x * -math.sqrt(0.5)) / 2


@kernel("f", "ff", "n", form=MAP)
def gelu_grad(out: Array, g: Array, x: Array, n: int, *, flags: int) -> None:
    x = np.clip(x.astype(np.float64), -40, 40)
    if flags & TANH_FORM:
        s = _logistic(_SCALE * x * (1 + _CUBE * x**2))
        slope = s + x * s * (1 - s) * _SCALE * (1 + 3 * _CUBE * x**2)
    else:
        slope = _each(math.erfc, x * -math.sqrt(0.5)) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    out[...] = g * slope.astype(out.dtype)


@kernel("f", "f", "n", "slope", form=MAP)
def leaky_relu(out: Array, x: Array, n: int, slope: float, *, flags: int) -> None:
    out[...] = np.where(x > 0, x, x.dtype.type(slope) * x)


@kernel("f", "ff", "n", "slope", form=MAP)
def leaky_relu_grad(out: Array, g: Array, x: Array, n: int, slope: float, *, flags: int) -> None:
    out[...] = np.where(x > 0, g, g.dtype.type(slope) * g)


@kernel("f", "f", "n", "alpha", form=MAP)
def elu(out: Array, x: Array, n: int, alpha: float, *, flags: int) -> None:
    out[...] = np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(x))


@kernel("f", "ff", "n", "alpha", form=MAP)
def elu_grad(out: Array, g: Array, x: Array, n: int, alpha: float, *, flags: int) -> None:
    out[...] = np.where(x > 0, g, g * (x.dtype.type(alpha) * np.exp(x)))


@kernel("f", "ff", "rows cols", form=BROADCAST)
def mod(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(np.mod, out, a, b, rows, cols, flags)


@kernel("f", "ff", "rows cols", form=BROADCAST)
def floor_divide(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None:
    binary(np.floor_divide, out, a, b, rows, cols, flags)
