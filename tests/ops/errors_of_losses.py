"""Errors of softmax, normalisation, losses and random numbers: what was called, the class, the whole text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinyres as tr
from tinyres import ops
from tinyres.errors import ArgumentError, DTypeError, ShapeError, TinyresError


def z(*shape: int, dtype: str = "float32") -> tr.Tensor:
    return tr.tensor(np.zeros(shape), dtype=dtype)


CE = ops.softmax_cross_entropy

CASES: list[tuple[Callable[[], object], type[TinyresError], str]] = [
    # softmax
    (
        lambda: tr.softmax(z(2, 3), 2),
        ShapeError,
        "[softmax] an axis must be one of the 2 of shape (2, 3); got axis=2; choose one in -2..1",
    ),
    (
        lambda: tr.softmax(z()),
        ShapeError,
        "[softmax] an axis must be one of the 0 of shape (); got axis=-1; leave axis out",
    ),
    (
        lambda: CE(z(4, 3), [0, 1, 2, 3]),
        ArgumentError,
        "[softmax_cross_entropy] labels must lie in 0..2 for 3 classes; got 0..3; "
        "renumber the labels, or give the last layer more units",
    ),
    (
        lambda: CE(z(2, 3), [-1, 1]),
        ArgumentError,
        "[softmax_cross_entropy] labels must lie in 0..2 for 3 classes; got -1..1; "
        "renumber the labels, or give the last layer more units",
    ),
    (
        lambda: CE(z(2, 3), [0.0, 1.0]),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got float64 of shape (2,); "
        'use labels.astype("int64")',
    ),
    (
        lambda: CE(z(2, 3), tr.tensor([0, 1])),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got float32 of shape (2,); "
        'use labels.astype("int64")',
    ),
    (
        lambda: CE(z(2, 3), [0.0, np.nan]),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got float64 with 1 NaN of shape (2,); "
        "remove the examples without a label",
    ),
    (
        lambda: CE(z(2, 3), ["cat", "dog"]),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got strings of shape (2,); "
        "number them with classes, y = np.unique(y, return_inverse=True)",
    ),
    (
        lambda: CE(z(2, 3), np.eye(3)[:2]),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got float64 of shape (2, 3); "
        'these look one-hot: use labels.argmax(axis=-1), or the loss "categorical_crossentropy"',
    ),
    (
        lambda: CE(z(2, 3), np.eye(3, dtype=int)[:2]),
        ShapeError,
        "[softmax_cross_entropy] labels must have shape (batch,), here (2,); got labels (2, 3) for logits (2, 3); "
        'these look one-hot: use labels.argmax(axis=-1), or the loss "categorical_crossentropy"',
    ),
    (
        lambda: CE(z(2, 3), [[0], [1]]),
        ShapeError,
        "[softmax_cross_entropy] labels must have shape (batch,), here (2,); got labels (2, 1) for logits (2, 3); "
        "use labels.reshape(-1)",
    ),
    (
        lambda: CE(z(2, 3), [0, 1, 2]),
        ShapeError,
        "[softmax_cross_entropy] labels must have shape (batch,), here (2,); got labels (3,) for logits (2, 3); "
        "give one integer per example",
    ),
    (
        lambda: CE(z(3), [0, 1, 2]),
        ShapeError,
        "[softmax_cross_entropy] logits must have shape (batch, ..., classes); got (3,); reshape them",
    ),
    (
        lambda: CE(z(2, 4, 3), np.zeros((2, 5), int)),
        ShapeError,
        "[softmax_cross_entropy] labels must have shape (batch, ...), here (2, 4); got labels (2, 5) for logits "
        "(2, 4, 3); give one integer per example",
    ),
    (
        lambda: CE(z(2, 4, 3), np.zeros((2, 4, 1), int)),
        ShapeError,
        "[softmax_cross_entropy] labels must have shape (batch, ...), here (2, 4); got labels (2, 4, 1) for logits "
        "(2, 4, 3); use labels.reshape(-1, 4)",
    ),
    (
        lambda: CE(z(2, 3), [-100, 3], ignore_index=-100),
        ArgumentError,
        "[softmax_cross_entropy] labels must lie in 0..2 for 3 classes; got 3..3; "
        "renumber the labels, or give the last layer more units",
    ),
    (
        lambda: CE(z(2, 3), [0, 1], label_smoothing=1.5),
        ArgumentError,
        "[softmax_cross_entropy] label_smoothing is a fraction, 0 <= s <= 1; got 1.5; choose another",
    ),
    (
        lambda: CE(z(0, 3), np.zeros(0, int)),
        ShapeError,
        "[softmax_cross_entropy] the batch is empty, its mean is not defined: got logits of shape (0, 3); "
        "give at least one example and one class",
    ),
    (
        lambda: CE(tr.softmax(tr.tensor([[1.0, 2.0]], requires_grad=True)), [0]),
        ArgumentError,
        "[softmax_cross_entropy] takes logits, from which it makes the softmax itself; got a softmax of shape (1, 2); "
        "pass what went into the softmax",
    ),
    # norm
    (
        lambda: tr.batchnorm(z(3)),
        ShapeError,
        "[batchnorm] the input must have shape (batch, ..., features); got (3,); add a batch axis",
    ),
    (
        lambda: tr.batchnorm(z(0, 3)),
        ShapeError,
        "[batchnorm] the batch is empty, its mean is not defined: got shape (0, 3); give at least one example",
    ),
    (
        lambda: tr.batchnorm(z(2, 3), z(4), z(4)),
        ShapeError,
        "[batchnorm] gamma, beta and the statistics must have one element per feature, shape (3,); "
        "got (4,) for an input of shape (2, 3); build the layer for 3 features",
    ),
    (
        lambda: tr.batchnorm_inference(z(2, 3), z(4), z(4)),
        ShapeError,
        "[batchnorm_inference] gamma, beta and the statistics must have one element per feature, shape (3,); "
        "got (4,) for an input of shape (2, 3); build the layer for 3 features",
    ),
    # losses
    (
        lambda: ops.mse(z(32, 1), z(32)),
        ShapeError,
        "[mse] prediction (32, 1) and target (32,) differ; use y.reshape(-1, 1)",
    ),
    (
        lambda: ops.mse(z(32), z(32, 1)),
        ShapeError,
        "[mse] prediction (32,) and target (32, 1) differ; use y.reshape(-1)",
    ),
    (
        lambda: ops.mse(z(4, 2), z(4, 3)),
        ShapeError,
        "[mse] prediction (4, 2) and target (4, 3) differ; "
        "losses do not broadcast: give one target per predicted value",
    ),
    (
        lambda: ops.mse(z(0, 2), z(0, 2)),
        ShapeError,
        "[mse] the batch is empty, its mean is not defined: got shape (0, 2); give at least one example",
    ),
    (
        lambda: tr.losses.binary_crossentropy(z(4, 1), z(4)),
        ShapeError,
        "[binary_crossentropy] prediction (4, 1) and target (4,) differ; use y.reshape(-1, 1)",
    ),
    # random
    (
        lambda: tr.dropout(z(2), 1.0),
        ArgumentError,
        "[dropout] the rate is the share to zero, 0 <= rate < 1; got 1.0; choose another",
    ),
    (
        lambda: tr.manual_seed(-1),
        ArgumentError,
        "[manual_seed] a seed is an int in 0..2**63 - 1; got -1; choose one, such as 0",
    ),
    (
        lambda: tr.Generator("x"),  # type: ignore[arg-type]
        ArgumentError,
        "[Generator] a seed is an int in 0..2**63 - 1; got 'x'; choose one, such as 0",
    ),
]
