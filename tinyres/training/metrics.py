"""Metrics: by any of Keras' names, as functions (prediction, target) -> mean over the batch, and as objects.

A meter holds the sums of a loss and its metrics in buffers, to which kernels add, so that a captured step carries them
along; they are read once per epoch, or when somebody wants to see them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError, closed
from tinyres.kernels.record import ACCUMULATE
from tinyres.launch import launch, refuse_while_recording
from tinyres.layers import losses
from tinyres.layers.objective import Objective, like_prediction, names_targets_first, spelling
from tinyres.training.accuracies import (
    accuracy,
    as_dtype,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from tinyres.training.counting import AUC, Precision, Recall
from tinyres.training.metric_classes import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    FunctionMetric,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Metric,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
)
from tinyres.training.overlap import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "Poisson",
    "Precision",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "mae",
    "mse",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed("tinyres.metrics", __all__)


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean absolute error, as a Tensor of one number without gradient. Never broadcasts.

    prediction, target: of one shape. Raises ShapeError for others.

    >>> import tinyres as tr
    >>> tr.metrics.mae(tr.tensor([[1.0], [3.0]]), tr.tensor([[0.0], [0.0]])).item()
    2.0
    """
    with no_grad():
        return losses.mae(prediction, _paired("mae", prediction, target))


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean squared error, as a Tensor of one number without gradient. Never broadcasts.

    prediction, target: of one shape. Raises ShapeError for others.

    >>> import tinyres as tr
    >>> tr.metrics.mse(tr.tensor([[1.0], [3.0]]), tr.tensor([[0.0], [0.0]])).item()
    5.0
    """
    with no_grad():
        return losses.mse(prediction, _paired("mse", prediction, target))


METRICS: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "auc": AUC,
    "precision": Precision,
    "recall": Recall,
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "rmse": RootMeanSquaredError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "log_cosh": LogCoshError,
    "cosine_similarity": CosineSimilarity,
    "kl_divergence": KLDivergence,
    "poisson": Poisson,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "categorical_hinge": CategoricalHinge,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}
_OF_REGIONS: tuple[type[Metric], ...] = (
    BinaryIoU,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)  # all but the first need a count of classes: no names
_CLASSES: dict[str, type[Metric]] = {cls.__name__: cls for cls in (*METRICS.values(), *_OF_REGIONS)}
_BY_SPELLING: dict[str, type[Metric]] = {
    **{spelling(name): cls for name, cls in METRICS.items()},
    **{spelling(cls.__name__): cls for cls in METRICS.values()},
    "binaryiou": BinaryIoU,
    "acc": Accuracy,
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    "kullbackleiblerdivergence": KLDivergence,
}
_BY_FUNCTION: dict[Any, type[Metric]] = {
    accuracy: Accuracy,
    binary_accuracy: BinaryAccuracy,
    categorical_accuracy: CategoricalAccuracy,
    sparse_categorical_accuracy: SparseCategoricalAccuracy,
    top_k_categorical_accuracy: TopKCategoricalAccuracy,
    sparse_top_k_categorical_accuracy: SparseTopKCategoricalAccuracy,
    mae: MeanAbsoluteError,
    mse: MeanSquaredError,
}


class Meter:
    """What was measured on the samples seen so far: the mean loss, and each metric."""

    def __init__(self, metrics: Sequence[tuple[str, Metric]], dtype: np.dtype) -> None:
        self.names = ["loss", *[name for name, _ in metrics]]
        self._metrics = [metric for _, metric in metrics]
        self._loss = Buffer(1, dtype)
        self._sums = [metric.start(dtype) for metric in self._metrics]
        self.totals = [self._loss, *[total for sums in self._sums for total in sums]]
        self.count = 0
        self.reset()

    def reset(self) -> None:
        """Start again from nothing."""
        self.count = 0
        for total in self.totals:
            total.array.fill(0)

    def add(self, loss: Tensor, prediction: Any, target: Tensor, weight: Tensor | None = None) -> None:
        """Add one batch, by kernels. The caller counts its samples in `count`, which no capture would do.

        weight: of the samples, for the metrics that go by it; the loss has been weighted already.
        """
        with no_grad():
            for metric, sums in zip(self._metrics, self._sums):
                factor = weight if metric.weighted else None
                metric.update(sums, prediction, like_prediction(prediction, target), factor)
        launch(kernels.sum, (self._loss,), (loss.buffer,), (1, 1, 1), (float(len(target)),), ACCUMULATE)

    def rehearse(self, prediction: Any, target: Tensor) -> None:
        """Run the metrics on placeholders. Raises ArgumentError unless each of one's own gives numbers, as Tensors."""
        with no_grad():
            for metric, sums in zip(self._metrics, self._sums):
                metric.update(sums, prediction, like_prediction(prediction, target))

    def state(self) -> list[list[float]]:
        """The sums, for `restore`."""
        return [total.array.tolist() for total in self.totals]

    def restore(self, totals: Sequence[Any], count: int) -> None:
        """Go on from these sums over `count` samples."""
        for total, values in zip(self.totals, totals):
            total.array[:] = values
        self.count = count

    def read(self) -> dict[str, float]:
        """The loss and the metrics, by name."""
        refuse_while_recording("metrics")
        values = [m.value([s.array for s in sums], self.count) for m, sums in zip(self._metrics, self._sums)]
        return dict(zip(self.names, [float(self._loss.array[0]) / max(self.count, 1), *values]))


def resolve(op: str, metrics: Any) -> list[tuple[str, Metric]]:
    """(name, metric) for what the user gave: a list of names, objects of Metric, and functions."""
    if metrics is None:
        return []
    if isinstance(metrics, (str, Metric)) or callable(metrics) or not isinstance(metrics, (list, tuple)):
        given = f'"{metrics}"' if isinstance(metrics, str) else "accuracy"
        raise ArgumentError(f"[{op}] metrics come as a list; got {metrics!r}; write metrics=[{given}]")
    found = [get(op, metric) for metric in metrics]
    names = ["loss", *[metric.name for metric in found]]
    if len(set(names)) < len(names):
        raise ArgumentError(f"[{op}] metrics have different names, and none is named loss; got {names[1:]}; rename one")
    return [(metric.name, metric) for metric in found]


def both(plain: Sequence[tuple[str, Metric]], weighted: Sequence[tuple[str, Metric]]) -> list[tuple[str, Metric]]:
    """The metrics, then those that go by sample_weight; of the same name these are called weighted_…, as in Keras."""
    names = [name for name, _ in plain]
    found = list(plain)
    for name, metric in weighted:
        if isinstance(metric, FunctionMetric) and not metric.per_sample:
            raise ArgumentError(
                f"[compile] a metric by sample_weight gives a value per sample; got the function {name}; write it of "
                "(y_true, y_pred), one value per sample"
            )
        chosen = copy.copy(metric)
        chosen.weighted = True
        found.append((f"weighted_{name}" if name in names else name, chosen))
    return found


def settled(
    metrics: Sequence[tuple[str, Metric]], activation: str | None, objective: Objective | None
) -> list[tuple[str, Metric]]:
    """The metrics as they are meant for an output of this activation and loss."""
    found = [(name, metric, metric.settled(activation, objective)) for name, metric in metrics]
    for _, metric, chosen in found:
        chosen.weighted = metric.weighted
    return [(name, chosen) for name, _, chosen in found]


def get(op: str, metric: Any) -> Metric:
    """The metric of this name, in any of Keras' spellings, or of this function or object."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, type) and issubclass(metric, Metric):
        return metric()
    if isinstance(metric, str) and spelling(metric) in _BY_SPELLING:
        cls = _BY_SPELLING[spelling(metric)]
        return cls() if metric in _CLASSES else cls(name=metric)
    if isinstance(metric, losses.Loss):
        objective = metric.objective
        return FunctionMetric(objective.rows, metric.name, per_sample=True)
    if callable(metric) and not isinstance(metric, type):
        name = getattr(metric, "__name__", type(metric).__name__)
        if metric in _BY_FUNCTION:
            return _BY_FUNCTION[metric](name=name)
        as_keras = names_targets_first(metric)
        turned = (lambda prediction, target: metric(target, prediction)) if as_keras else metric
        return FunctionMetric(turned, name, per_sample=as_keras)
    raise ArgumentError(
        f"[{op}] a metric is one of {sorted(['acc', *METRICS])}, an object of tr.metrics, or a function (prediction, "
        f"target); got {metric!r}; choose one of them"
    )


def encode(metric: Any) -> Any:
    """A metric as JSON: a name, or a class with its options; None for one of the user's own."""
    if isinstance(metric, Metric) and _CLASSES.get(type(metric).__name__) is type(metric):
        return {"class": type(metric).__name__, "config": metric.config()}
    return metric if isinstance(metric, str) else None


def decode(record: Any) -> Any:
    """What `encode` gave, as `compile` takes it."""
    return _CLASSES[record["class"]](**record["config"]) if isinstance(record, Mapping) else record


def _paired(op: str, prediction: Tensor, target: Tensor) -> Tensor:
    if target.shape != prediction.shape:
        raise ShapeError(
            f"[{op}] prediction {prediction.shape} and target {target.shape} differ; "
            f"use y.reshape{(-1, *prediction.shape[1:])}"
        )
    return as_dtype(target, prediction)
