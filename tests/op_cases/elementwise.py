"""Rows of elementwise ops, and of the ops that their gradients are made of."""

from __future__ import annotations

import numpy as np

import tinyres as tr
from tinyres.ops import elementwise

from .case import BIG, BROADCAST, ELEMENTWISE, Case

ARITHMETIC = [
    Case("add", tr.add, np.add, BROADCAST, bench=(BIG, BIG)),
    Case("sub", tr.sub, np.subtract, BROADCAST, bench=(BIG, BIG)),
    Case("mul", tr.mul, np.multiply, BROADCAST, bench=(BIG, (1024,))),
    Case("div", tr.div, np.divide, BROADCAST, 0.5, 2.0, bench=(BIG, (256, 1))),
    Case("pow", tr.pow, np.power, BROADCAST, 0.5, 2.0, bench=(BIG, BIG)),
    Case("neg", tr.neg, np.negative, ELEMENTWISE, bench=(BIG,)),
]

UNARY = [
    Case("exp", tr.exp, np.exp, ELEMENTWISE, bench=(BIG,)),
    Case("log", tr.log, np.log, ELEMENTWISE, 0.3, 3.0, bench=(BIG,)),
    Case("sqrt", tr.sqrt, np.sqrt, ELEMENTWISE, 0.3, 3.0, bench=(BIG,)),
    Case("square", tr.square, np.square, ELEMENTWISE, bench=(BIG,)),
    Case("reciprocal", tr.reciprocal, np.reciprocal, ELEMENTWISE, 0.5, 2.0, bench=(BIG,)),
    Case("abs", tr.abs, np.abs, ELEMENTWISE, kinks=(0.0,), bench=(BIG,)),
    Case("sign", tr.sign, np.sign, ELEMENTWISE, kinks=(0.0,), bench=(BIG,)),
    Case("tanh", tr.tanh, np.tanh, ELEMENTWISE, bench=(BIG,)),
    Case("sigmoid", tr.sigmoid, lambda x: 1 / (1 + np.exp(-x)), ELEMENTWISE, bench=(BIG,)),
    Case("relu", tr.relu, lambda x: np.maximum(x, 0), ELEMENTWISE, kinks=(0.0,), bench=(BIG,)),
    Case("softplus", tr.softplus, lambda x: np.log1p(np.exp(x)), ELEMENTWISE, bench=(BIG,)),
    Case(
        "clip",
        lambda x: tr.clip(x, -1.0, 0.5),
        lambda x: np.clip(x, -1.0, 0.5),
        ELEMENTWISE,
        kinks=(-1.0, 0.5),
        bench=(BIG,),
    ),
]

BACKWARD_KERNELS = [
    Case(
        "relu_grad",
        elementwise.relu_grad,
        lambda g, y: np.where(y > 0, g, 0),
        (((7,), (7,)), ((2, 3), (2, 3))),
        kinks=(0.0,),
        bench=(BIG, BIG),
    ),
    Case(
        "tanh_grad",
        elementwise.tanh_grad,
        lambda g, y: g * (1 - y**2),
        (((7,), (7,)), ((2, 3), (2, 3))),
        bench=(BIG, BIG),
    ),
    Case(
        "sigmoid_grad",
        elementwise.sigmoid_grad,
        lambda g, y: g * y * (1 - y),
        (((7,), (7,)), ((2, 3), (2, 3))),
        bench=(BIG, BIG),
    ),
    Case(
        "clip_grad",
        lambda g, x: elementwise.clip_grad(g, x, -1.0, 0.5),
        lambda g, x: np.where((x < -1.0) | (x > 0.5), 0, g),
        (((7,), (7,)), ((2, 3), (2, 3))),
        kinks=(-1.0, 0.5),
        bench=(BIG, BIG),
    ),
]

CASES = [*ARITHMETIC, *UNARY, *BACKWARD_KERNELS]
