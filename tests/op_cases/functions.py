"""Rows of special functions, rounding, activations, remainders, and of integers and masks."""

from __future__ import annotations

import math

import numpy as np

import tinyres as tr
from tinyres.engine.op import apply
from tinyres.kernels.record import TANH_FORM
from tinyres.ops import activations, gather

from .case import BIG, BROADCAST, ELEMENTWISE, Case, each

erf, erfc = np.vectorize(math.erf, otypes=[float]), np.vectorize(math.erfc, otypes=[float])
GRADIENTS = (((7,), (7,)), ((2, 3), (2, 3)))


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def np_gelu(x: np.ndarray) -> np.ndarray:
    return x * erfc(-x / math.sqrt(2)) / 2


def np_gelu_tanh(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def np_gelu_grad(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    return g * (erfc(-x / math.sqrt(2)) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def np_gelu_tanh_grad(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    k, a = math.sqrt(2 / math.pi), 0.044715
    t = np.tanh(k * (x + a * x**3))
    return g * ((1 + t) / 2 + x * (1 - t * t) * k * (1 + 3 * a * x * x) / 2)


def np_silu_grad(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    s = logistic(x)
    return g * s * (1 + x * (1 - s))


FUNCTIONS = [
    Case("erf", tr.erf, erf, ELEMENTWISE, bench=(BIG,)),
    Case("log1p", tr.log1p, np.log1p, ELEMENTWISE, -0.8, 3.0, bench=(BIG,)),
    Case("expm1", tr.expm1, np.expm1, ELEMENTWISE, bench=(BIG,)),
    Case("sin", tr.sin, np.sin, ELEMENTWISE, bench=(BIG,)),
    Case("cos", tr.cos, np.cos, ELEMENTWISE, bench=(BIG,)),
    Case("floor", tr.floor, np.floor, ELEMENTWISE, kinks=(-2, -1, 0, 1, 2), bench=(BIG,)),
    Case("ceil", tr.ceil, np.ceil, ELEMENTWISE, kinks=(-2, -1, 0, 1, 2), bench=(BIG,)),
    Case("round", tr.round, np.round, ELEMENTWISE, kinks=(-1.5, -0.5, 0.5, 1.5), bench=(BIG,)),
    Case("div", lambda x: tr.round(x, 1), lambda x: np.round(x, 1), each((5,)), 0.11, 0.14),
]

ACTIVATIONS = [
    Case("gelu", tr.gelu, np_gelu, ELEMENTWISE, bench=(BIG,)),
    Case("gelu", lambda x: tr.gelu(x, approximate="tanh"), np_gelu_tanh, each((7,), (2, 3)), bench=(BIG,)),
    Case("silu", tr.silu, lambda x: x * logistic(x), ELEMENTWISE, bench=(BIG,)),
    Case(
        "leaky_relu",
        lambda x: tr.leaky_relu(x, 0.2),
        lambda x: np.where(x > 0, x, 0.2 * x),
        ELEMENTWISE,
        kinks=(0.0,),
        bench=(BIG,),
    ),
    Case(
        "elu",
        lambda x: tr.elu(x, 1.5),
        lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)),
        ELEMENTWISE,
        kinks=(0.0,),
        bench=(BIG,),
    ),
    Case("gelu_grad", lambda g, x: apply(activations.GELU_GRAD, (g, x), 0), np_gelu_grad, GRADIENTS, bench=(BIG, BIG)),
    Case(
        "gelu_grad",
        lambda g, x: apply(activations.GELU_GRAD, (g, x), TANH_FORM),
        np_gelu_tanh_grad,
        GRADIENTS,
        bench=(BIG, BIG),
    ),
    Case("silu_grad", lambda g, x: apply(activations.SILU_GRAD, (g, x)), np_silu_grad, GRADIENTS, bench=(BIG, BIG)),
    Case(
        "leaky_relu_grad",
        lambda g, x: apply(activations.LEAKY_RELU_GRAD, (g, x), 0.2),
        lambda g, x: np.where(x > 0, g, 0.2 * g),
        GRADIENTS,
        kinks=(0.0,),
        bench=(BIG, BIG),
    ),
    Case(
        "elu_grad",
        lambda g, x: apply(activations.ELU_GRAD, (g, x), 1.5),
        lambda g, x: np.where(x > 0, g, 1.5 * g * np.exp(x)),
        GRADIENTS,
        kinks=(0.0,),
        bench=(BIG, BIG),
    ),
]

DIVISION = [
    Case("mod", lambda a, b: (a + 7.3) % b, lambda a, b: np.mod(a + 7.3, b), BROADCAST, 1.01, 1.2, bench=(BIG, BIG)),
    Case("mod", lambda a: (a - 7.3) % 2.0, lambda a: np.mod(a - 7.3, 2.0), ELEMENTWISE, 0.5, 1.0),
    Case("floor_divide", lambda a, b: (a + 7.3) // b, lambda a, b: (a + 7.3) // b, BROADCAST, 1.01, 1.2),
]


def whole(x: tr.Tensor) -> tr.Tensor:
    return (x * 10.0).astype("int64")


def np_whole(x: np.ndarray) -> np.ndarray:
    return np.trunc(x * 10.0).astype(np.int64)


INTEGERS = [
    Case(
        "integers",
        lambda a, b: whole(a) * whole(b) - whole(a),
        lambda a, b: np_whole(a) * np_whole(b) - np_whole(a),
        BROADCAST,
        bench=(BIG, BIG),
    ),
    Case(
        "integers",
        lambda a, b: whole(a) % (whole(b) // 3),
        lambda a, b: np_mod(np_whole(a), np_whole(b) // 3),
        BROADCAST,
    ),
    Case(
        "compare_integers",
        lambda a, b: whole(a) <= whole(b),
        lambda a, b: np_whole(a) <= np_whole(b),
        BROADCAST,
        bench=(BIG, BIG),
    ),
    Case(
        "logic",
        lambda a, b: (a > 0) & (b > 0) ^ ~(a > b),
        lambda a, b: (a > 0) & (b > 0) ^ ~(a > b),
        BROADCAST,
        bench=(BIG, BIG),
    ),
    Case("logic", lambda a, b: (a > 0) | (b > 0), lambda a, b: (a > 0) | (b > 0), BROADCAST),
    Case(
        "reduce_integers",
        lambda x: whole(x).sum(0),
        lambda x: np_whole(x).sum(0),
        each((7,), (3, 4), (0, 3)),
        bench=(BIG,),
    ),
    Case("reduce_integers", lambda x: whole(x).max((0, 2)), lambda x: np_whole(x).max((0, 2)), each((2, 3, 4))),
    Case(
        "reduce_integers",
        lambda x: tr.prod(whole(x), -1, True),
        lambda x: np_whole(x).prod(-1, keepdims=True),
        each((3, 4)),
    ),
    Case("wrap", lambda x: apply(gather.WRAP, (whole(x),), 21), lambda x: np_whole(x) % 21, each((7,), (2, 3))),
]


def np_mod(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.mod(a, b)


CASES = [*FUNCTIONS, *ACTIVATIONS, *DIVISION, *INTEGERS]
