"""More elementwise functions: erf, log1p, expm1, sin, cos, rounding, and what asks whether a value is finite."""

from __future__ import annotations

import math

import numpy as np

from tinyres import kernels
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import ArgumentError
from tinyres.ops.comparison import equal, less, not_equal
from tinyres.ops.elementwise import abs, exp, square
from tinyres.ops.rules import same_shape, unary, zero_gradient


def _operand(x: Operand) -> tuple[Tensor, ...]:
    return (x,) if isinstance(x, Tensor) else as_operands(x)


def _erf_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * (exp(-square(ctx.inputs[0])) * (2 / math.sqrt(math.pi))),)


ERF = Op("erf", shape=same_shape, forward=unary(kernels.erf), vjp=_erf_vjp, saves=(0,))


def erf(x: Operand) -> Tensor:
    """The error function 2/√π ∫₀ˣ e^(-t²) dt, elementwise; within 1.1 ulp in float32 (bench/ulp.py).

    >>> import tinyres as tr
    >>> tr.erf(tr.tensor([0.0, 1.0]))
    Tensor([0.    , 0.8427], shape=(2,), dtype=float32)
    """
    return apply(ERF, _operand(x))


def _log1p_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g / (ctx.inputs[0] + 1.0),)


LOG1P = Op("log1p", shape=same_shape, forward=unary(kernels.log1p), vjp=_log1p_vjp, saves=(0,))


def log1p(x: Operand) -> Tensor:
    """log(1 + x), elementwise, exact also where x is small; -inf at -1, NaN below.

    >>> import tinyres as tr
    >>> tr.log1p(tr.tensor([0.0, 1e-10])).tolist()
    [0.0, 1.000000013351432e-10]
    """
    return apply(LOG1P, _operand(x))


def _expm1_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * (ctx.output + 1.0),)


EXPM1 = Op("expm1", shape=same_shape, forward=unary(kernels.expm1), vjp=_expm1_vjp, reads_output=True)


def expm1(x: Operand) -> Tensor:
    """e^x - 1, elementwise, exact also where x is small.

    >>> import tinyres as tr
    >>> tr.expm1(tr.tensor([0.0, 1e-10])).tolist()
    [0.0, 1.000000013351432e-10]
    """
    return apply(EXPM1, _operand(x))


def _sin_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * cos(ctx.inputs[0]),)


SIN = Op("sin", shape=same_shape, forward=unary(kernels.sin), vjp=_sin_vjp, saves=(0,))


def sin(x: Operand) -> Tensor:
    """The sine of x in radians, elementwise; rounded from float64, for any x.

    >>> import tinyres as tr
    >>> tr.sin(tr.tensor([0.0, 1.0]))
    Tensor([0.    , 0.8415], shape=(2,), dtype=float32)
    """
    return apply(SIN, _operand(x))


def _cos_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * -sin(ctx.inputs[0]),)


COS = Op("cos", shape=same_shape, forward=unary(kernels.cos), vjp=_cos_vjp, saves=(0,))


def cos(x: Operand) -> Tensor:
    """The cosine of x in radians, elementwise; rounded from float64, for any x.

    >>> import tinyres as tr
    >>> tr.cos(tr.tensor([0.0, 1.0]))
    Tensor([1.    , 0.5403], shape=(2,), dtype=float32)
    """
    return apply(COS, _operand(x))


FLOOR = Op("floor", shape=same_shape, forward=unary(kernels.floor), vjp=zero_gradient)
CEIL = Op("ceil", shape=same_shape, forward=unary(kernels.ceil), vjp=zero_gradient)
ROUND = Op("round", shape=same_shape, forward=unary(kernels.round), vjp=zero_gradient)


def floor(x: Operand) -> Tensor:
    """The largest integer that is not above x, elementwise. Its gradient is 0 everywhere.

    >>> import tinyres as tr
    >>> tr.floor(tr.tensor([1.5, -1.5]))
    Tensor([ 1., -2.], shape=(2,), dtype=float32)
    """
    return apply(FLOOR, _operand(x))


def ceil(x: Operand) -> Tensor:
    """The smallest integer that is not below x, elementwise. Its gradient is 0 everywhere.

    >>> import tinyres as tr
    >>> tr.ceil(tr.tensor([1.5, -1.5]))
    Tensor([ 2., -1.], shape=(2,), dtype=float32)
    """
    return apply(CEIL, _operand(x))


def round(x: Operand, decimals: int = 0) -> Tensor:
    """The nearest integer, elementwise, halves to the even one. Its gradient is 0 everywhere.

    decimals: round to so many digits behind the point, before it where negative. Raises ArgumentError unless an int.

    >>> import tinyres as tr
    >>> tr.round(tr.tensor([0.5, 1.5, -2.5]))
    Tensor([ 0.,  2., -2.], shape=(3,), dtype=float32)
    """
    if not isinstance(decimals, (int, np.integer)):
        raise ArgumentError(f"[round] decimals is an int; got {decimals!r}; write tr.round(x, 2)")
    if decimals == 0:
        return apply(ROUND, _operand(x))
    (x,) = _operand(x)
    scale = 10.0 ** builtin_abs(int(decimals))
    return round(x * scale) / scale if decimals > 0 else round(x / scale) * scale


def builtin_abs(number: int) -> int:
    """|number|; `abs` is the op here."""
    return number if number >= 0 else -number


def isnan(x: Operand) -> Tensor:
    """Whether each value is NaN, elementwise, as a bool Tensor.

    >>> import tinyres as tr
    >>> tr.isnan(tr.tensor([1.0, float("nan")]))
    Tensor([False,  True], shape=(2,), dtype=bool)
    """
    (x,) = _operand(x)
    return not_equal(x, x)


def isinf(x: Operand) -> Tensor:
    """Whether each value is infinite, elementwise, as a bool Tensor.

    >>> import tinyres as tr
    >>> tr.isinf(tr.tensor([1.0, -float("inf")]))
    Tensor([False,  True], shape=(2,), dtype=bool)
    """
    (x,) = _operand(x)
    return equal(abs(x), math.inf) if x.dtype in FLOATS else not_equal(x, x)


def isfinite(x: Operand) -> Tensor:
    """Whether each value is a number, neither infinite nor NaN, as a bool Tensor.

    >>> import tinyres as tr
    >>> tr.isfinite(tr.tensor([1.0, float("nan")]))
    Tensor([ True, False], shape=(2,), dtype=bool)
    """
    (x,) = _operand(x)
    return less(abs(x), math.inf) if x.dtype in FLOATS else equal(x, x)
