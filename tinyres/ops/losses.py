"""Losses as ops: one value per element or per row, and their means. They never broadcast, for a (32, 1) against
(32,) would be 32 x 32.

Each loss is a function of (prediction, target) of the same shape that gives values whose first axis is the batch; the
loss of a batch is their mean. The cross-entropy with integer labels stands with the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from tinyres.engine.layout import Shape
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.dtypes import INT64
from tinyres.ops.casting import astype
from tinyres.ops.comparison import equal, maximum, not_equal, where
from tinyres.ops.elementwise import abs, clip, log, relu, softplus, sqrt, square
from tinyres.ops.reduction import max, mean, min, sum
from tinyres.ops.softmax import as_labels, check_labels, log_softmax, one_hot, softmax_cross_entropy

PROBABILITY_EPSILON = 1e-7  # as Keras: keeps the logarithm of 0 out
LOG_2 = 0.6931471805599453


def paired(op: str, prediction: Operand, target: Operand) -> tuple[Tensor, Tensor]:
    """Both as Tensors of one dtype and one shape, not empty.

    Raises ShapeError where they differ, ArgumentError where the gradient says that they were given the wrong way round.
    """
    a, b = as_operands(prediction, target)
    if b.dtype not in FLOATS:
        b = astype(b, a.dtype)
    if b.requires_grad and not a.requires_grad:
        raise ArgumentError(
            f"[{op}] the prediction comes first, then the target; got {a.shape} without a gradient and {b.shape} with "
            f"one; write {op}(prediction, target)"
        )
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


def _rows(op: str, prediction: Operand, target: Operand) -> tuple[Tensor, Tensor]:
    """As `paired`, for losses over the last of at least two axes."""
    a, b = as_operands(prediction, target)
    if a.shape != b.shape or a.ndim < 2:
        hint = "one-hot targets have the shape of the prediction"
        if b.shape == a.shape[:1]:
            hint = 'for integer labels use the loss "sparse_categorical_crossentropy"'
        raise ShapeError(f"[{op}] prediction {a.shape} and target {b.shape} differ; {hint}")
    return paired(op, a, b)


def squared_error(prediction: Operand, target: Operand) -> Tensor:
    """(p - t)², elementwise."""
    p, t = paired("mse", prediction, target)
    return square(p - t)


def squared_output(prediction: Operand, target: Operand) -> Tensor:
    """p², elementwise: of an output that is itself an error."""
    (p,) = (prediction,) if isinstance(prediction, Tensor) else as_operands(prediction)
    return square(p)


def absolute_error(prediction: Operand, target: Operand) -> Tensor:
    """|p - t|, elementwise."""
    p, t = paired("mae", prediction, target)
    return abs(p - t)


def absolute_percentage_error(prediction: Operand, target: Operand) -> Tensor:
    """100·|p - t| / |t|, elementwise, |t| at least 1e-7."""
    p, t = paired("mape", prediction, target)
    return 100.0 * abs((p - t) / maximum(abs(t), PROBABILITY_EPSILON))


def squared_logarithmic_error(prediction: Operand, target: Operand) -> Tensor:
    """(log(1 + p) - log(1 + t))², elementwise, p and t at least 1e-7."""
    p, t = paired("msle", prediction, target)
    return square(log(clip(p, PROBABILITY_EPSILON) + 1.0) - log(clip(t, PROBABILITY_EPSILON) + 1.0))


def huber_error(prediction: Operand, target: Operand, delta: float = 1.0) -> Tensor:
    """e²/2 where |e| = |p - t| is at most delta, else delta·(|e| - delta/2) (Huber 1964), elementwise."""
    p, t = paired("huber", prediction, target)
    error = p - t
    bounded = clip(error, -delta, delta)
    return bounded * (error - 0.5 * bounded)


def log_cosh_error(prediction: Operand, target: Operand) -> Tensor:
    """log(cosh(p - t)), elementwise, without overflow."""
    p, t = paired("log_cosh", prediction, target)
    error = abs(p - t)
    return error + softplus(-2.0 * error) - LOG_2


def hinge_error(prediction: Operand, target: Operand) -> Tensor:
    """max(0, 1 - t·p), elementwise, for targets -1 and 1; a batch of targets 0 and 1 is read as -1 and 1."""
    p, t = paired("hinge", prediction, target)
    return relu(1.0 - _signed(t) * p)


def squared_hinge_error(prediction: Operand, target: Operand) -> Tensor:
    """max(0, 1 - t·p)², elementwise, targets as in `hinge_error`."""
    return square(hinge_error(prediction, target))


def categorical_hinge_error(prediction: Operand, target: Operand) -> Tensor:
    """max(0, 1 + the largest output of a wrong class - that of the right one), per row, for one-hot targets."""
    p, t = _rows("categorical_hinge", prediction, target)
    return relu(max((1.0 - t) * p, axis=-1) - sum(t * p, axis=-1) + 1.0)


def poisson_error(prediction: Operand, target: Operand) -> Tensor:
    """p - t·log(p), elementwise: the Poisson likelihood of counts t at rates p."""
    p, t = paired("poisson", prediction, target)
    return p - t * log(p + PROBABILITY_EPSILON)


def dice_error(prediction: Operand, target: Operand, axis: int | Sequence[int] | None = None) -> Tensor:
    """1 - 2·Σ t·p / (Σ t + Σ p), sums over these axes: 0 where the regions are one, 1 where they are apart."""
    p, t = paired("dice", prediction, target)
    over = tuple(axis) if isinstance(axis, Sequence) else axis
    return 1.0 - 2.0 * sum(t * p, axis=over) / (sum(t, axis=over) + sum(p, axis=over) + PROBABILITY_EPSILON)


def divergence(prediction: Operand, target: Operand) -> Tensor:
    """Σ t·log(t / p), per row, both kept within 1e-7 and 1 (Kullback and Leibler 1951)."""
    p, t = _rows("kl_divergence", prediction, target)
    p, t = (clip(v, PROBABILITY_EPSILON, 1.0) for v in (p, t))
    return sum(t * log(t / p), axis=-1)


def negative_cosine(prediction: Operand, target: Operand) -> Tensor:
    """Minus the cosine of the angle between p and t, per row: -1 where they point the same way."""
    p, t = _rows("cosine_similarity", prediction, target)
    return -sum(_unit(p) * _unit(t), axis=-1)


def binary_error(probabilities: Operand, target: Operand) -> Tensor:
    """-t·log(p) - (1 - t)·log(1 - p), elementwise, p kept within 1e-7 of 0 and 1."""
    p, t = paired("binary_crossentropy", probabilities, target)
    p = clip(p, PROBABILITY_EPSILON, 1.0 - PROBABILITY_EPSILON)
    return -(t * log(p) + (1.0 - t) * log(1.0 - p))


def binary_error_of_logits(logits: Operand, target: Operand) -> Tensor:
    """The same of p = sigmoid(x), as softplus(x) - t·x: exact for large logits too."""
    x, t = paired("binary_crossentropy", logits, target)
    return softplus(x) - t * x


def categorical_error(probabilities: Operand, target: Operand) -> Tensor:
    """-Σ t·log(p), per row; p is made to sum to 1 and kept within 1e-7 of 0 and 1."""
    p, t = _rows("categorical_crossentropy", probabilities, target)
    p = p / sum(p, axis=-1, keepdims=True)
    return -sum(t * log(clip(p, PROBABILITY_EPSILON, 1.0 - PROBABILITY_EPSILON)), axis=-1)


def categorical_error_of_logits(logits: Operand, target: Operand) -> Tensor:
    """The same of p = softmax(x)."""
    x, t = _rows("categorical_crossentropy", logits, target)
    return -sum(t * log_softmax(x), axis=-1)


def sparse_error_of_logits(
    logits: Operand, labels: Tensor | ArrayLike, ignored: int | None = None, smoothing: float = 0.0
) -> Tensor:
    """-log softmax(x)[label], per row: logits (..., classes), integer labels (...).

    ignored: a label whose rows are 0. smoothing: the part of each target that is shared out among all classes.
    """
    (x,) = as_operands(logits)
    labels = labels if isinstance(labels, Tensor) and labels.dtype is INT64 else as_labels(x.shape, labels)
    if x.ndim < 2 or labels.shape != x.shape[:-1]:
        raise ShapeError(
            f"[sparse_categorical_crossentropy] labels are one integer per row of the prediction {x.shape}; "
            f"got labels {labels.shape}; reshape them to {x.shape[:-1]}"
        )
    check_labels(labels, x.shape[-1], ignored)
    of_classes = log_softmax(x)
    values = -sum(one_hot(labels, x.shape[-1], x.dtype) * of_classes, axis=-1)
    if smoothing:
        values = values * (1.0 - smoothing) - mean(of_classes, axis=-1) * smoothing
    return values if ignored is None else where(not_equal(labels, ignored), values, 0.0)


def sparse_error(
    probabilities: Operand, labels: Tensor | ArrayLike, ignored: int | None = None, smoothing: float = 0.0
) -> Tensor:
    """-log p[label], per row; p is kept within 1e-7 of 0 and 1 and made to sum to 1."""
    return sparse_error_of_logits(log_of(probabilities), labels, ignored, smoothing)


def sparse_mean(
    probabilities: Operand, labels: Tensor | ArrayLike, ignored: int | None = None, smoothing: float = 0.0
) -> Tensor:
    """The mean of `sparse_error` over the rows that count."""
    return softmax_cross_entropy(log_of(probabilities), labels, ignored, smoothing)


def log_of(probabilities: Operand) -> Tensor:
    """The logarithm of probabilities that are kept within 1e-7 of 0 and 1."""
    return log(clip(probabilities, PROBABILITY_EPSILON, 1.0 - PROBABILITY_EPSILON))


def mse(prediction: Operand, target: Operand) -> Tensor:
    """The mean squared error over all elements.

    prediction, target: the same shape. Raises ShapeError where they differ or are empty.

    >>> import tinyres as tr
    >>> tr.losses.mse(tr.tensor([1.0, 2.0]), tr.tensor([1.0, 4.0]))
    Tensor(2., shape=(), dtype=float32)
    """
    return mean(squared_error(prediction, target))


def _signed(target: Tensor) -> Tensor:
    """0 and 1 become -1 and 1 where no other value occurs; decided by values, without reading any."""
    binary = min(astype(equal(target * (target - 1.0), 0.0), target.dtype))
    return target + binary * (target - 1.0)


def _unit(rows: Tensor) -> Tensor:
    return rows / sqrt(clip(sum(square(rows), axis=-1, keepdims=True), PROBABILITY_EPSILON**2))
