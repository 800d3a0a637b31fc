"""Rows of softmax, normalisation, dropout and losses."""

from __future__ import annotations

import numpy as np

import tinyres as tr
from tinyres import losses, ops
from tinyres.kernels.random import uniform

from .case import BIG, Case, Shape, each


def labels_of(shape: Shape) -> np.ndarray:
    return (np.arange(shape[0]) * 7 + 1) % shape[1]


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[labels]


def np_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis, keepdims=True)


def np_cross_entropy(x: np.ndarray) -> float:
    return -np.mean(np.log(np_softmax(x))[np.arange(len(x)), labels_of(x.shape)])


def rows_of_labels(shape: Shape) -> np.ndarray:
    """Labels of rows in any axes, of which every third does not count."""
    labels = (np.arange(int(np.prod(shape[:-1]))) * 7 + 1) % shape[-1]
    return np.where(np.arange(len(labels)) % 3 == 2, -100, labels).reshape(shape[:-1])


def np_cross_entropy_of_counted(x: np.ndarray, smoothing: float) -> float:
    labels, rows = rows_of_labels(x.shape).reshape(-1), np.log(np_softmax(x)).reshape(-1, x.shape[-1])
    counted = labels != -100
    rows, labels = rows[counted], labels[counted]
    return -np.mean((1 - smoothing) * rows[np.arange(len(rows)), labels] + smoothing * rows.mean(1))


def np_batchnorm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3) * gamma + beta


def np_batchnorm_inference(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    return (x - mean) / np.sqrt(var + 1e-3) * gamma + beta


def np_grouped(x: np.ndarray, groups: int, rms: bool = False) -> np.ndarray:
    """Each group of channels of each sample by its own statistics."""
    split = x.reshape(len(x), int(np.prod(x.shape[1:-1])), groups, x.shape[-1] // groups)
    centred = split if rms else split - split.mean((1, 3), keepdims=True)
    return (centred / np.sqrt(np.square(centred).mean((1, 3), keepdims=True) + 1e-3)).reshape(x.shape)


def np_rows(x: np.ndarray, features: Shape, rms: bool = False) -> np.ndarray:
    return np_grouped(
        x.reshape(int(np.prod(x.shape[: x.ndim - len(features)])), int(np.prod(features))), 1, rms
    ).reshape(x.shape)


def np_dropout(x: np.ndarray) -> np.ndarray:
    keep = uniform(np.array([7, 0]), x.size).reshape(x.shape) >= 0.25
    return np.where(keep, x / 0.75, 0)


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
        "softmax_cross_entropy",
        lambda x: ops.softmax_cross_entropy(x, rows_of_labels(x.shape), -100, 0.1),
        lambda x: np_cross_entropy_of_counted(x, 0.1),
        each((4, 3), (2, 5, 7)),
        bench=((8, 64, 66),),
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
    Case(
        "layer_norm",
        lambda *inputs: tr.layer_norm(*inputs, 1e-3),
        lambda x, gamma, beta: np_rows(x, gamma.shape) * gamma + beta,
        (((5, 3), (3,), (3,)), ((2, 3, 40), (40,), (40,)), ((4, 5), (5,), (5,)), ((0, 3), (3,), (3,)), ((7,),) * 3),
        bench=((2048, 128), (128,), (128,)),
    ),
    Case(
        "layer_norm",
        lambda *inputs: tr.layer_norm(*inputs, 1e-3, axis=(-2, -1)),
        lambda x, gamma, beta: np_rows(x, gamma.shape) * gamma + beta,
        (((3, 2, 4), (2, 4), (2, 4)),),
    ),
    Case(
        "rms_norm",
        lambda *inputs: tr.rms_norm(*inputs, 1e-3),
        lambda x, gamma: np_rows(x, gamma.shape, rms=True) * gamma,
        (((5, 3), (3,)), ((2, 3, 40), (40,)), ((4, 5), (5,))),
        bench=((2048, 128), (128,)),
    ),
    *[
        Case(
            "group_norm",
            lambda *inputs, groups=groups: tr.group_norm(*inputs, groups, 1e-3),
            lambda x, gamma, beta, groups=groups: np_grouped(x, groups) * gamma + beta,
            (((3, 12), (12,), (12,)), ((2, 3, 4, 6), (6,), (6,)), ((0, 2, 6), (6,), (6,))),
            bench=((8, 28, 28, 24), (24,), (24,)),
        )
        for groups in (1, 2, 6)
    ],
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

CASES = [*SOFTMAX, *NORM_AND_LOSSES]
