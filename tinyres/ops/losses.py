"""Losses as ops: means over everything given. They never broadcast, for a (32, 1) against (32,) would be 32 x 32.

The cross-entropy with integer labels stands with the softmax.
"""

from __future__ import annotations

from tinyres.engine.layout import Shape
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.errors import ShapeError
from tinyres.ops.elementwise import clip, log, softplus, square
from tinyres.ops.reduction import mean

PROBABILITY_EPSILON = 1e-7  # as Keras: keeps the logarithm of 0 out


def _paired(op: str, prediction: Operand, target: Operand) -> tuple[Tensor, Tensor]:
    a, b = as_operands(prediction, target)
    if a.shape != b.shape:
        raise ShapeError(f"[{op}] prediction {a.shape} and target {b.shape} differ; {_remedy(a.shape, b.shape)}")
    if 0 in a.shape:
        raise ShapeError(
            f"[{op}] the batch is empty, its mean is not defined: got shape {a.shape}; give at least one example"
        )
    return a, b


def _remedy(prediction: Shape, target: Shape) -> str:
    if prediction == (*target, 1):
        return f"use y.reshape({', '.join(['-1', *map(str, prediction[1:])])})"
    if target == (*prediction, 1):
        return f"use y.reshape({', '.join(['-1', *map(str, prediction[1:])])})"
    return "losses do not broadcast: give one target per predicted value"


def mse(prediction: Operand, target: Operand) -> Tensor:
    """The mean squared error over all elements.

    prediction, target: the same shape. Raises ShapeError where they differ or are empty.

    >>> import tinyres as tr
    >>> tr.losses.mse(tr.tensor([1.0, 2.0]), tr.tensor([1.0, 4.0]))
    Tensor(2., shape=(), dtype=float32)
    """
    prediction, target = _paired("mse", prediction, target)
    return mean(square(prediction - target))


def binary_cross_entropy(probabilities: Operand, target: Operand) -> Tensor:
    """The mean of -t·log(p) - (1 - t)·log(1 - p), with p kept within 1e-7 of 0 and 1, as in Keras.

    probabilities, target: the same shape, in 0..1. Raises ShapeError where they differ or are empty.

    >>> import tinyres as tr
    >>> tr.losses.binary_cross_entropy(tr.tensor([0.5, 0.5]), tr.tensor([0.0, 1.0]))
    Tensor(0.6931, shape=(), dtype=float32)
    """
    probabilities, target = _paired("binary_cross_entropy", probabilities, target)
    p = clip(probabilities, PROBABILITY_EPSILON, 1.0 - PROBABILITY_EPSILON)
    return -mean(target * log(p) + (1.0 - target) * log(1.0 - p))


def binary_cross_entropy_with_logits(logits: Operand, target: Operand) -> Tensor:
    """The same from logits, p = sigmoid(logits), as the mean of softplus(x) - t·x: exact for large logits too.

    logits, target: the same shape, targets in 0..1. Raises ShapeError where they differ or are empty.

    >>> import tinyres as tr
    >>> tr.losses.binary_cross_entropy_with_logits(tr.tensor([0.0, 100.0]), tr.tensor([0.0, 1.0]))
    Tensor(0.3466, shape=(), dtype=float32)
    """
    logits, target = _paired("binary_cross_entropy_with_logits", logits, target)
    return mean(softplus(logits) - target * logits)
