"""The one table of op cases: it drives the tests of values and gradients (test_ops.py) and the kernel bench.

A new op is one record in tinyres/ops and one row here; a test fails for an op without a row.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinyres as tr
from tinyres import losses, ops
from tinyres.kernels.random import uniform
from tinyres.ops import elementwise, indexing

Shape = tuple[int, ...]
KINK_MARGIN = 0.05


@dataclass(frozen=True)
class Case:
    """One op with the inputs to try it on.

    op: the name in its record. run: on Tensors. oracle: the same on float64 arrays in NumPy. shapes: one entry per
    test, each with a shape per input. low, high: the range of values. kinks: values to stay away from, where the
    function is not smooth. bench: shapes of about the size at which speed matters.
    """

    op: str
    run: Callable[..., tr.Tensor]
    oracle: Callable[..., Any]
    shapes: tuple[tuple[Shape, ...], ...]
    low: float = -2.0
    high: float = 2.0
    kinks: tuple[float, ...] = ()
    bench: tuple[Shape, ...] = ()

    def inputs(self, shapes: tuple[Shape, ...], dtype: str = "float64") -> list[np.ndarray]:
        """The same random values every time."""
        random = np.random.default_rng(zlib.crc32(f"{self.op}{shapes}".encode()))
        return [self._away_from_kinks(random.uniform(self.low, self.high, s)).astype(dtype) for s in shapes]

    def _away_from_kinks(self, x: np.ndarray) -> np.ndarray:
        for kink in self.kinks:
            near = np.abs(x - kink) < KINK_MARGIN
            x = np.where(near, kink + np.where(x < kink, -1, 1) * 2 * KINK_MARGIN, x)
        return x

    @property
    def differentiable(self) -> bool:
        return tr.engine.op.OPS[self.op].vjp is not None


def each(*shapes: Shape) -> tuple[tuple[Shape, ...], ...]:
    """One test per shape, for ops of one input."""
    return tuple((shape,) for shape in shapes)


ELEMENTWISE = each((), (1,), (7,), (2, 3), (33,), (0,), (2, 0, 3))
BROADCAST = (
    ((), ()),
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (3, 1)),
    ((2, 1, 4), (3, 1)),
    ((), (2, 3)),
    ((17,), (1,)),
    ((0, 3), (3,)),
    ((1, 3), (0, 1)),
)
BIG = (256, 1024)


def labels_of(shape: Shape) -> np.ndarray:
    return (np.arange(shape[0]) * 7 + 1) % shape[1]


def mask_of(shape: Shape) -> np.ndarray:
    return (np.arange(int(np.prod(shape))) % 3 == 0).reshape(shape)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[labels]


def np_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis, keepdims=True)


def np_cross_entropy(x: np.ndarray) -> float:
    return -np.mean(np.log(np_softmax(x))[np.arange(len(x)), labels_of(x.shape)])


def np_batchnorm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3) * gamma + beta


def np_batchnorm_inference(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    return (x - mean) / np.sqrt(var + 1e-3) * gamma + beta


def np_dropout(x: np.ndarray) -> np.ndarray:
    keep = uniform(np.array([7, 0]), x.size).reshape(x.shape) >= 0.25
    return np.where(keep, x / 0.75, 0)


def np_place(g: np.ndarray) -> np.ndarray:
    out = np.zeros((4, 5))
    out[1:3, ::2] = g
    return out


def np_dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.maximum(x @ kernel + bias, 0)


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

CHOICE = [
    Case("compare", lambda a, b: a > b, np.greater, BROADCAST, bench=(BIG, BIG)),
    Case("compare", lambda a, b: a != b, np.not_equal, (((3, 4), (4,)),)),
    Case("maximum", tr.maximum, np.maximum, BROADCAST, bench=(BIG, BIG)),
    Case("minimum", tr.minimum, np.minimum, BROADCAST, bench=(BIG, BIG)),
    Case(
        "where",
        lambda a, b: tr.where(mask_of(a.shape), a, b),
        lambda a, b: np.where(mask_of(a.shape), a, b),
        (((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 3, 4), ()), ((3, 1), (1, 4))),
        bench=(BIG, BIG),
    ),
    Case("cast_float32", lambda x: x.astype("float32"), np.float32, each((3, 4)), bench=(BIG,)),
    Case("cast_float64", lambda x: x.astype("float64"), np.float64, each((3, 4)), bench=(BIG,)),
    Case("cast_int64", lambda x: x.astype("int64"), np.int64, each((3, 4)), bench=(BIG,)),
    Case("cast_bool", lambda x: x.astype("bool"), np.bool_, each((3, 4)), bench=(BIG,)),
]

REDUCED = each((7,), (3, 4), (2, 3, 4), (3, 1, 2), (40, 3))

REDUCTIONS = [
    Case("sum", tr.sum, np.sum, (*REDUCED, *each((), (0,), (0, 3))), bench=(BIG,)),
    Case("sum", lambda x: tr.sum(x, 0), lambda x: np.sum(x, 0), (*REDUCED, *each((0, 3), (3, 0))), bench=(BIG,)),
    Case(
        "sum", lambda x: x.sum((0, 2), True), lambda x: np.sum(x, (0, 2), keepdims=True), each((2, 3, 4), (5, 1, 2, 2))
    ),
    Case("sum", lambda x: x.sum(()), lambda x: np.sum(x, ()), each((2, 3))),
    Case("mean", tr.mean, np.mean, (*REDUCED, *each(())), bench=(BIG,)),
    Case("mean", lambda x: tr.mean(x, -1), lambda x: np.mean(x, -1), REDUCED, bench=(BIG,)),
    Case("mean", lambda x: x.mean((0, -1)), lambda x: np.mean(x, (0, -1)), each((2, 3, 4))),
    Case("mean", tr.var, np.var, REDUCED, bench=(BIG,)),
    Case("mean", lambda x: x.var(0, True), lambda x: np.var(x, 0, keepdims=True), REDUCED, bench=(BIG,)),
    Case("max", tr.max, np.max, (*REDUCED, *each(())), bench=(BIG,)),
    Case("max", lambda x: tr.max(x, -1, True), lambda x: np.max(x, -1, keepdims=True), REDUCED, bench=(BIG,)),
    Case("max", lambda x: x.max((0, 2)), lambda x: np.max(x, (0, 2)), each((2, 3, 4))),
    Case("min", tr.min, np.min, REDUCED, bench=(BIG,)),
    Case("min", lambda x: tr.min(x, 0), lambda x: np.min(x, 0), REDUCED, bench=(BIG,)),
    Case("logsumexp", tr.logsumexp, lambda x: np.log(np.sum(np.exp(x))), REDUCED, bench=(BIG,)),
    Case(
        "logsumexp",
        lambda x: tr.logsumexp(x, (0, -1), True),
        lambda x: np.log(np.sum(np.exp(x), (0, -1), keepdims=True)),
        each((2, 3, 4)),
    ),
    Case("argmax", tr.argmax, np.argmax, REDUCED, bench=(BIG,)),
    Case("argmax", lambda x: tr.argmax(x, 0), lambda x: np.argmax(x, 0), REDUCED, bench=(BIG,)),
]

PRODUCTS = [
    Case(
        "matmul",
        tr.matmul,
        np.matmul,
        (((2, 3), (3, 4)), ((1, 1), (1, 1)), ((5, 17), (17, 3)), ((2, 0), (0, 3)), ((0, 2), (2, 3))),
        bench=((256, 256), (256, 256)),
    ),
    Case(
        "matmul",
        lambda a, b: tr.matmul(a, b, transpose_a=True),
        lambda a, b: a.T @ b,
        (((3, 2), (3, 4)), ((17, 5), (17, 3))),
        bench=((256, 256), (256, 256)),
    ),
    Case(
        "matmul",
        lambda a, b: tr.matmul(a, b, transpose_b=True),
        lambda a, b: a @ b.T,
        (((2, 3), (4, 3)), ((5, 17), (3, 17))),
        bench=((256, 256), (256, 256)),
    ),
    Case(
        "matmul",
        lambda a, b: tr.matmul(a, b, True, True),
        lambda a, b: a.T @ b.T,
        (((3, 2), (4, 3)),),
        bench=((256, 256), (256, 256)),
    ),
    Case(
        "dense",
        tr.dense,
        lambda x, kernel, bias: x @ kernel + bias,
        (((5, 3), (3, 4), (4,)), ((2, 5, 3), (3, 4), (4,)), ((0, 3), (3, 4), (4,))),
        bench=((128, 256), (256, 256), (256,)),
    ),
    Case(
        "dense",
        lambda x, kernel, bias: tr.dense(x, kernel, bias, "relu"),
        np_dense,
        (((5, 3), (3, 4), (4,)), ((2, 2, 3), (3, 4), (4,))),
        bench=((128, 256), (256, 256), (256,)),
    ),
    Case(
        "dense_without_bias",
        tr.dense,
        np.matmul,
        (((5, 3), (3, 4)), ((2, 2, 3), (3, 4))),
        bench=((128, 256), (256, 256)),
    ),
    Case(
        "dense_without_bias",
        lambda x, kernel: tr.dense(x, kernel, activation="relu"),
        lambda x, kernel: np.maximum(x @ kernel, 0),
        (((5, 3), (3, 4)),),
    ),
]

MOVEMENT = [
    Case(
        "reshape",
        lambda x: tr.reshape(x, (2, -1)),
        lambda x: x.reshape(2, -1),
        each((4,), (2, 3), (3, 4, 1)),
        bench=(BIG,),
    ),
    Case("reshape", lambda x: tr.flatten(x, 1), lambda x: x.reshape(len(x), -1), each((2, 3, 4), (2, 3))),
    Case("transpose", tr.transpose, np.transpose, each((), (3,), (3, 4), (2, 3, 4), (0, 3)), bench=(BIG,)),
    Case(
        "transpose",
        lambda x: x.permute(2, 0, 1),
        lambda x: x.transpose(2, 0, 1),
        each((2, 3, 4)),
        bench=((64, 64, 64),),
    ),
    Case("index", lambda x: x[1], lambda x: x[1], each((3,), (3, 4), (2, 3, 4)), bench=(BIG,)),
    Case("index", lambda x: x[..., None, -2], lambda x: x[..., None, -2], each((3,), (3, 4))),
    Case("index", lambda x: x[::-1, 1:3], lambda x: x[::-1, 1:3], each((3, 4), (2, 3, 2)), bench=(BIG,)),
    Case("index", lambda x: x[-1:0:-2, ..., ::3], lambda x: x[-1:0:-2, ..., ::3], each((5, 7), (4, 2, 3))),
    Case("index", lambda x: x[2:2], lambda x: x[2:2], each((3, 4))),
    Case("place", lambda g: indexing.place(g, (4, 5), ((1, 3, None), (None, None, 2))), np_place, each((2, 3))),
    Case(
        "concatenate",
        lambda a, b: tr.concatenate([a, b]),
        lambda a, b: np.concatenate([a, b]),
        (((2, 3), (4, 3)), ((2,), (0,))),
        bench=(BIG, BIG),
    ),
    Case(
        "concatenate",
        lambda a, b: tr.concatenate([a, b, a], -1),
        lambda a, b: np.concatenate([a, b, a], -1),
        (((2, 3), (2, 1)), ((2, 2, 1), (2, 2, 3))),
        bench=(BIG, BIG),
    ),
    Case(
        "concatenate",
        lambda a, b: tr.stack([a, b], 1),
        lambda a, b: np.stack([a, b], 1),
        (((2, 3), (2, 3)), ((3,), (3,))),
    ),
    Case(
        "pad",
        lambda x: tr.pad(x, (1, 2), 0.5),
        lambda x: np.pad(x, (1, 2), constant_values=0.5),
        each((3,), (2, 3)),
        bench=(BIG,),
    ),
    Case("pad", lambda x: tr.pad(x, ((0, 1), (2, 0))), lambda x: np.pad(x, ((0, 1), (2, 0))), each((2, 3), (0, 3))),
    Case(
        "broadcast_to",
        lambda x: tr.broadcast_to(x, (2, 3, 4)),
        lambda x: np.broadcast_to(x, (2, 3, 4)),
        each((), (4,), (3, 1), (2, 1, 4)),
    ),
    Case("sum_to", lambda x: ops.sum_to(x, (3, 1)), lambda x: x.sum((0, 2)).reshape(3, 1), each((2, 3, 4))),
]

SOFTMAX = [
    Case("softmax", tr.softmax, np_softmax, each((5,), (3, 4), (2, 3, 4), (3, 1), (0, 3)), bench=(BIG,)),
    Case("softmax", lambda x: tr.softmax(x, 0), lambda x: np_softmax(x, 0), each((3, 4), (2, 3, 4))),
    Case("log_softmax", tr.log_softmax, lambda x: np.log(np_softmax(x)), each((5,), (3, 4), (2, 3, 4)), bench=(BIG,)),
    Case("log_softmax", lambda x: tr.log_softmax(x, 1), lambda x: np.log(np_softmax(x, 1)), each((2, 3, 4))),
    Case(
        "softmax_cross_entropy",
        lambda x: ops.softmax_cross_entropy(x, labels_of(x.shape)),
        np_cross_entropy,
        each((1, 1), (3, 4), (5, 10)),
        bench=((256, 10),),
    ),
    Case(
        "one_hot_float32",
        lambda x: ops.one_hot(labels_of(x.shape), 5),
        lambda x: one_hot(labels_of(x.shape), 5),
        each((3, 4)),
    ),
    Case(
        "one_hot_float64",
        lambda x: ops.one_hot(labels_of(x.shape), 5, "float64"),
        lambda x: one_hot(labels_of(x.shape), 5),
        each((3, 4)),
    ),
]

NORM_AND_LOSSES = [
    Case(
        "batchnorm",
        lambda *inputs: tr.batchnorm(*inputs, 1e-3)[0],
        np_batchnorm,
        (((5, 3), (3,), (3,)), ((2, 3, 4), (4,), (4,)), ((2, 1), (1,), (1,))),
        bench=((128, 256), (256,), (256,)),
    ),
    Case(
        "batchnorm_inference",
        lambda *inputs: tr.batchnorm_inference(*inputs, 1e-3),
        np_batchnorm_inference,
        (((5, 3), (3,), (3,), (3,), (3,)), ((2, 3, 4), (4,), (4,), (4,), (4,))),
        0.5,
        2.0,
        bench=((128, 256), (256,), (256,), (256,), (256,)),
    ),
    Case("dropout", lambda x: tr.dropout(x, 0.25, tr.Generator(7)), np_dropout, each((3, 4), (33,)), bench=(BIG,)),
    Case("mean", ops.mse, lambda a, b: np.mean((a - b) ** 2), (((3, 4), (3, 4)), ((7,), (7,))), bench=(BIG, BIG)),
    Case(
        "mean",
        losses.binary_crossentropy,
        lambda p, t: -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p)),
        (((3, 4), (3, 4)),),
        0.1,
        0.9,
        bench=(BIG, BIG),
    ),
    Case(
        "mean",
        losses.binary_cross_entropy_with_logits,
        lambda x, t: np.mean(np.log1p(np.exp(x)) - t * x),
        (((3, 4), (3, 4)),),
        bench=(BIG, BIG),
    ),
]

CASES: list[Case] = [
    *ARITHMETIC,
    *UNARY,
    *BACKWARD_KERNELS,
    *CHOICE,
    *REDUCTIONS,
    *PRODUCTS,
    *MOVEMENT,
    *SOFTMAX,
    *NORM_AND_LOSSES,
]
