"""Losses: means over the batch, as functions, as Keras' classes, and by any of Keras' names. They never broadcast.

Functions take (prediction, target), like every function of a loss here; objects of the classes are called as in
Keras, (y_true, y_pred).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, closed
from tinyres.layers import objective
from tinyres.layers.loss_classes import (
    BINARY_LOGITS,
    CATEGORICAL_LOGITS,
    SPARSE_LOGITS,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Dice,
    Huber,
    Loss,
    SparseCategoricalCrossentropy,
)
from tinyres.layers.objective import LossFunction, Objective, spelling
from tinyres.layers.value_losses import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SquaredHinge,
    SquaredOutput,
)
from tinyres.nn.functional import Functional
from tinyres.ops import mse, softmax_cross_entropy

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "SquaredOutput",
    "binary_crossentropy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "dice",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mae",
    "mape",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "mse",
    "msle",
    "poisson",
    "softmax_cross_entropy",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "squared_output",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed("tinyres.losses", __all__)


def binary_crossentropy(
    prediction: Any, target: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """The mean of -t·log(p) - (1 - t)·log(1 - p), with p kept within 1e-7 of 0 and 1, as in Keras.

    prediction, target: the same shape; probabilities, or logits with from_logits. label_smoothing: targets t become
    t·(1 - s) + s/2. Raises ShapeError where the shapes differ or are empty.

    >>> import tinyres as tr
    >>> tr.losses.binary_crossentropy(tr.tensor([0.5, 0.5]), tr.tensor([0.0, 1.0]))
    Tensor(0.6931, shape=(), dtype=float32)
    """
    return BinaryCrossentropy(from_logits, label_smoothing).objective(prediction, target)


def categorical_crossentropy(
    prediction: Any, target: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """The mean over the batch of -Σ target · log p, p made to sum to 1.

    prediction, target: (batch, ..., classes), as after a softmax, or logits with from_logits, and one-hot.
    label_smoothing: targets t become t·(1 - s) + s/classes. Raises ShapeError where the shapes differ.

    >>> import tinyres as tr
    >>> tr.losses.categorical_crossentropy(tr.tensor([[0.25, 0.75]]), [[0.0, 1.0]])
    Tensor(0.2877, shape=(), dtype=float32)
    """
    return CategoricalCrossentropy(from_logits, label_smoothing).objective(prediction, target)


def sparse_categorical_crossentropy(
    prediction: Any,
    labels: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The mean over the batch of -log p[label], p kept within 1e-7 of 0 and 1 and made to sum to 1.

    prediction: (batch, ..., classes), as after a softmax, or logits with from_logits. labels: integers (batch, ...).
    ignore_class, label_smoothing: as in `SparseCategoricalCrossentropy`.

    >>> import tinyres as tr
    >>> tr.losses.sparse_categorical_crossentropy(tr.tensor([[0.25, 0.75]]), [1])
    Tensor(0.2877, shape=(), dtype=float32)
    """
    made = SparseCategoricalCrossentropy(from_logits, ignore_class, label_smoothing=label_smoothing)
    return made.objective(prediction, labels)


def mae(prediction: Any, target: Any) -> Tensor:
    """The mean absolute error over all elements, of the same shape.

    >>> import tinyres as tr
    >>> tr.losses.mae(tr.tensor([1.0, 2.0]), tr.tensor([1.0, 4.0]))
    Tensor(1., shape=(), dtype=float32)
    """
    return MeanAbsoluteError().objective(prediction, target)


def mape(prediction: Any, target: Any) -> Tensor:
    """The mean of 100·|prediction - target| / |target|.

    prediction, target: of one shape.

    >>> tr.losses.mape(tr.tensor([1.0, 3.0]), tr.tensor([2.0, 2.0]))
    Tensor(50., shape=(), dtype=float32)
    """
    return MeanAbsolutePercentageError().objective(prediction, target)


def msle(prediction: Any, target: Any) -> Tensor:
    """The mean of the squared difference of log(1 + value).

    prediction, target: of one shape.

    >>> tr.losses.msle(tr.tensor([1.0, 3.0]), tr.tensor([0.0, 3.0]))
    Tensor(0.2402, shape=(), dtype=float32)
    """
    return MeanSquaredLogarithmicError().objective(prediction, target)


def huber(prediction: Any, target: Any, delta: float = 1.0) -> Tensor:
    """The mean of e²/2 where |e| is at most delta, else delta·(|e| - delta/2) (Huber 1964).

    prediction, target: of one shape. Raises ArgumentError for a delta that is not above 0.

    >>> import tinyres as tr
    >>> tr.losses.huber(tr.tensor([0.5, 3.0]), tr.tensor([0.0, 0.0]))
    Tensor(1.3125, shape=(), dtype=float32)
    """
    return Huber(delta).objective(prediction, target)


def log_cosh(prediction: Any, target: Any) -> Tensor:
    """The mean of log(cosh(prediction - target)).

    prediction, target: of one shape.

    >>> tr.losses.log_cosh(tr.tensor([1.0, 3.0]), tr.tensor([0.0, 3.0]))
    Tensor(0.2169, shape=(), dtype=float32)
    """
    return LogCosh().objective(prediction, target)


def hinge(prediction: Any, target: Any) -> Tensor:
    """The mean of max(0, 1 - target·prediction), for targets -1 and 1, or 0 and 1.

    prediction, target: of one shape.

    >>> tr.losses.hinge(tr.tensor([0.5, -2.0]), tr.tensor([1.0, -1.0]))
    Tensor(0.25, shape=(), dtype=float32)
    """
    return Hinge().objective(prediction, target)


def squared_hinge(prediction: Any, target: Any) -> Tensor:
    """The mean of max(0, 1 - target·prediction)², for targets -1 and 1, or 0 and 1.

    prediction, target: of one shape.

    >>> tr.losses.squared_hinge(tr.tensor([0.5, -2.0]), tr.tensor([1.0, -1.0]))
    Tensor(0.125, shape=(), dtype=float32)
    """
    return SquaredHinge().objective(prediction, target)


def categorical_hinge(prediction: Any, target: Any) -> Tensor:
    """The mean of max(0, 1 + the largest wrong output - the right one), for one-hot targets.

    prediction, target: (n, classes).

    >>> tr.losses.categorical_hinge(tr.tensor([[0.2, 0.8]]), tr.tensor([[0.0, 1.0]]))
    Tensor(0.4, shape=(), dtype=float32)
    """
    return CategoricalHinge().objective(prediction, target)


def kl_divergence(prediction: Any, target: Any) -> Tensor:
    """The mean over rows of Σ target·log(target / prediction), for probabilities (Kullback and Leibler 1951).

    prediction, target: (n, classes).

    >>> tr.losses.kl_divergence(tr.tensor([[0.25, 0.75]]), tr.tensor([[0.5, 0.5]]))
    Tensor(0.1438, shape=(), dtype=float32)
    """
    return KLDivergence().objective(prediction, target)


def poisson(prediction: Any, target: Any) -> Tensor:
    """The mean of prediction - target·log(prediction), for counts.

    prediction, target: of one shape.

    >>> tr.losses.poisson(tr.tensor([1.0, 3.0]), tr.tensor([2.0, 3.0]))
    Tensor(0.3521, shape=(), dtype=float32)
    """
    return Poisson().objective(prediction, target)


def cosine_similarity(prediction: Any, target: Any) -> Tensor:
    """Minus the mean cosine of the angle between rows: -1 where all point the same way.

    prediction, target: (n, features).

    >>> tr.losses.cosine_similarity(tr.tensor([[1.0, 0.0], [3.0, 4.0]]), tr.tensor([[2.0, 0.0], [0.0, 1.0]]))
    Tensor(-0.9, shape=(), dtype=float32)
    """
    return CosineSimilarity().objective(prediction, target)


def dice(prediction: Any, target: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """1 - 2·Σ t·p / (Σ t + Σ p), the sums over these axes, or over all; the mean of what is left.

    prediction, target: of one shape.

    >>> tr.losses.dice(tr.tensor([[0.0, 1.0, 0.0]]), tr.tensor([[0.0, 1.0, 1.0]]))
    Tensor(0.3333, shape=(), dtype=float32)
    """
    return Dice(axis=axis).objective(prediction, target)


mean_squared_error = mse
mean_absolute_error = mae
mean_absolute_percentage_error = mape
mean_squared_logarithmic_error = msle
binary_cross_entropy = binary_crossentropy  # the spelling of PyTorch, which this library had first
categorical_cross_entropy = categorical_crossentropy
sparse_categorical_cross_entropy = sparse_categorical_crossentropy


def binary_cross_entropy_with_logits(logits: Any, target: Any) -> Tensor:
    """binary_crossentropy(logits, target, from_logits=True)."""
    return binary_crossentropy(logits, target, from_logits=True)


def categorical_cross_entropy_with_logits(logits: Any, target: Any) -> Tensor:
    """categorical_crossentropy(logits, target, from_logits=True)."""
    return categorical_crossentropy(logits, target, from_logits=True)


def squared_output(prediction: Any, target: Any = None) -> Tensor:
    """The mean of prediction², whatever the target: of a model whose output is an error that is to vanish.

    prediction: of any shape.

    >>> import tinyres as tr
    >>> tr.losses.squared_output(tr.tensor([1.0, 3.0]))
    Tensor(5., shape=(), dtype=float32)
    """
    return SquaredOutput().objective(prediction, prediction if target is None else target)


LOSSES: dict[str, type[Loss]] = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "huber": Huber,
    "log_cosh": LogCosh,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "categorical_hinge": CategoricalHinge,
    "kl_divergence": KLDivergence,
    "poisson": Poisson,
    "cosine_similarity": CosineSimilarity,
    "dice": Dice,
    "squared_output": SquaredOutput,
}
_SHORT = {"bce": "binary_crossentropy", "cce": "categorical_crossentropy", "kld": "kl_divergence"}
_BY_SPELLING: dict[str, type[Loss]] = {
    **{spelling(cls.__name__): cls for cls in LOSSES.values()},
    **{spelling(name): cls for name, cls in LOSSES.items()},
    **{short: LOSSES[name] for short, name in _SHORT.items()},
    "huberloss": Huber,
    "kullbackleiblerdivergence": KLDivergence,
}
_BY_FUNCTION: dict[LossFunction, Objective] = {
    **{globals()[name]: cls().objective for name, cls in LOSSES.items()},
    softmax_cross_entropy: replace(SPARSE_LOGITS, name="softmax_cross_entropy"),
    binary_cross_entropy_with_logits: replace(BINARY_LOGITS, name="binary_cross_entropy_with_logits"),
    categorical_cross_entropy_with_logits: replace(CATEGORICAL_LOGITS, name="categorical_cross_entropy_with_logits"),
}


def get(loss: str | Loss | Objective | LossFunction | type[Loss]) -> Objective:
    """What a model trains on, for a name of any of Keras' spellings, an object or class of Loss, or a function.

    A function takes (prediction, target), or arguments named (y_true, y_pred). Raises ArgumentError for an unknown
    name, with the known ones.

    >>> import tinyres as tr
    >>> tr.losses.get("MeanSquaredError"), tr.losses.get(tr.losses.Huber(delta=2.0))
    (<Objective mse>, <Objective huber>)
    """
    if isinstance(loss, Objective):
        return loss
    if isinstance(loss, str) and spelling(loss) in _BY_SPELLING:
        loss = _BY_SPELLING[spelling(loss)]
    if isinstance(loss, type) and issubclass(loss, Loss):
        loss = loss()
    if isinstance(loss, Loss):
        if loss.reduction in (None, "none"):
            raise ArgumentError(
                f'[{loss.name}] training needs one number; got reduction={loss.reduction!r}; use "sum_over_batch_size"'
            )
        return loss.objective
    if callable(loss) and not isinstance(loss, type):
        return _BY_FUNCTION[loss] if loss in _BY_FUNCTION else objective.of_function(loss)
    known = ", ".join(LOSSES)
    raise ArgumentError(f"[loss] known names are {known}; got {loss!r}; use one, or a function of (prediction, target)")


def for_model(
    loss: str | Loss | Objective | LossFunction, model: Functional, output: int = 0
) -> tuple[Objective, bool]:
    """(the objective to call, whether it takes logits instead of this output); see `objective.for_model`."""
    return objective.for_model(get(loss), model, output)


def encode(loss: Any) -> Any:
    """A loss as JSON: a name, a class with its options, or those of each output; None where one is the user's own."""
    if isinstance(loss, (list, tuple)):
        parts = [encode(each) for each in loss]
        return None if any(part is None and each is not None for part, each in zip(parts, loss)) else parts
    if isinstance(loss, dict):
        parts = encode(list(loss.values()))
        return None if parts is None else {"outputs": dict(zip(loss, parts))}
    if isinstance(loss, str):
        return loss
    if isinstance(loss, Loss) and _BY_SPELLING.get(spelling(type(loss).__name__)) is type(loss):
        return {"class": type(loss).__name__, "config": {**loss.config(), "name": loss.name}}
    return None


def decode(record: Any) -> Any:
    """What `encode` gave, as `compile` takes it."""
    if isinstance(record, list):
        return [decode(each) for each in record]
    if isinstance(record, dict) and "outputs" in record:
        return {name: decode(each) for name, each in record["outputs"].items()}
    return _BY_SPELLING[spelling(record["class"])](**record["config"]) if isinstance(record, dict) else record
