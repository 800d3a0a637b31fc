"""Metrics as objects: sums in buffers, which kernels add to, so that a captured step carries them along.

A Metric says which sums it needs, how a batch adds to them, and which number they make; whoever measures holds the
sums, so that training and validation do not disturb one another. Used alone, an object holds its own.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NoReturn

import numpy as np

from tinyres import kernels, ops
from tinyres.backends.buffers import Buffer
from tinyres.engine.accepting import refuse_masked
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, Worded
from tinyres.kernels.dtypes import FLOAT32, INT64
from tinyres.kernels.record import ACCUMULATE
from tinyres.launch import launch, refuse_while_recording
from tinyres.layers import losses
from tinyres.layers.objective import Objective, along, like_prediction
from tinyres.training import accuracies

MetricFunction = Callable[[Tensor, Tensor], Tensor]


class Result(float):
    """What a metric says, a number."""

    def numpy(self) -> float:
        """The number."""
        return float(self)


class Metric(metaclass=Worded):
    """Base of all metrics. name: in logs.

    Alone: `update_state(y_true, y_pred, sample_weight=None)`, `result()`, `reset_state()`, as in Keras.
    A subclass says the sizes of its sums, adds a batch to them in `update`, by ops and launches, and makes a number of
    them in `value`.

    >>> import tinyres as tr
    >>> metric = tr.metrics.MeanSquaredError()
    >>> metric.update_state([1.0, 2.0], [1.0, 4.0]); metric.update_state([0.0, 0.0], [0.0, 0.0])
    >>> metric.result()
    1.0
    """

    sizes: ClassVar[tuple[int, ...]] = (1, 1)
    on_logits: ClassVar[bool] = False  # whether the logits before a softmax give the same value
    options: ClassVar[tuple[str, ...]] = ()
    weighted = False  # whether a training's sample_weight counts for it

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        self.name = name or _snake(type(self).__name__)
        self._own: list[Buffer] | None = None
        self._count = 0

    def start(self, dtype: np.dtype) -> list[Buffer]:
        """New sums, all 0, outside of any recording."""
        sums = [Buffer(size, dtype) for size in self.sizes]
        for each in sums:
            each.array.fill(0)
        return sums

    def update(self, sums: Sequence[Buffer], prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        """Add one batch. weight: a number per sample."""
        raise NotImplementedError

    def value(self, sums: Sequence[np.ndarray], count: int) -> float:
        """What the sums over `count` samples say."""
        raise NotImplementedError

    def settled(self, activation: str | None, objective: Objective | None) -> Metric:
        """This metric for an output that ends in this activation and is trained on this loss."""
        return self

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add one batch to this object's own sums."""
        prediction = y_pred if isinstance(y_pred, Tensor) else tensor(y_pred)
        refuse_masked("update_state", y_true)
        array = np.asarray(y_true)
        target = tensor(array, dtype=INT64 if array.dtype.kind in "iub" else prediction.dtype)
        weight = None if sample_weight is None else tensor(sample_weight, dtype=prediction.dtype)
        if self._own is None:
            self._own = self.start(prediction.dtype)
        with no_grad():
            self.update(self._own, prediction, like_prediction(prediction, target), weight)
        self._count += len(prediction) if prediction.ndim else 1

    def result(self) -> Result:
        """The value over all batches since the last reset."""
        refuse_while_recording("metrics")
        own = self._own or self.start(FLOAT32)
        return Result(self.value([each.array for each in own], self._count))

    def reset_state(self) -> None:
        """Forget all batches."""
        self._own, self._count = None, 0

    def reset_states(self) -> None:
        """Keras' older name of `reset_state`."""
        self.reset_state()

    def add_weight(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: sums are told by their sizes."""
        raise ArgumentError(
            f"[{type(self).__name__}] a metric of one's own is a function (y_true, y_pred) -> one value per sample, or "
            "a tr.metrics.Metric with sizes, update and value; got add_weight(); write one of these"
        )

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Result:
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def config(self) -> dict[str, Any]:
        """The arguments that make a metric like this one."""
        return {**{option: getattr(self, option) for option in self.options}, "name": self.name}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


class MeanMetric(Metric):
    """The mean over samples of `rows(prediction, target)`, one value per sample or row.

    share: the mean of a batch at once, where there is a faster way to it. With weights: Σ weight · value / Σ weight.
    """

    def __init__(
        self, rows: MetricFunction, name: str, share: MetricFunction | None = None, on_logits: bool = False
    ) -> None:
        super().__init__(name)
        self._rows, self._share = rows, share
        self.on_logits = on_logits  # type: ignore[misc]

    def update(self, sums: Sequence[Buffer], prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        if weight is None:
            value = self._share(prediction, target) if self._share is not None else self._mean(prediction, target)
            add_to(sums[0], value, float(len(target)))
            return
        rows = self._rows(prediction, target)
        factor = ops.broadcast_to(along(weight, rows), rows.shape)
        add_to(sums[0], rows * factor)
        add_to(sums[1], factor)

    def value(self, sums: Sequence[np.ndarray], count: int) -> float:
        return float(sums[0][0]) / (float(sums[1][0]) or max(count, 1))

    def _mean(self, prediction: Tensor, target: Tensor) -> Tensor:
        return ops.mean(self._rows(prediction, target))


class FunctionMetric(MeanMetric):
    """A function of the user's own: (prediction, target) -> one number per batch, or as Keras has it (y_true, y_pred)
    -> one value per sample."""

    def __init__(self, function: MetricFunction, name: str, per_sample: bool) -> None:
        checked = partial(self._checked, function)
        super().__init__(checked, name, share=None if per_sample else checked)
        self.per_sample = per_sample

    def update(self, sums: Sequence[Buffer], prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        super().update(sums, prediction, target, weight if self.per_sample else None)

    def _checked(self, function: MetricFunction, prediction: Tensor, target: Tensor) -> Tensor:
        value = function(prediction, target)
        if not isinstance(value, Tensor) or not (self.per_sample or value.size == 1):
            got = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise ArgumentError(
                f"[{self.name}] a metric returns one number, as a Tensor; got {got}; end it with .mean()"
            )
        return value


class Accuracy(MeanMetric):
    """What is meant by "accuracy": per label for sigmoid outputs and binary cross-entropy, else the largest output.

    Labels are integers; other targets are shaped like the output. With logits, 0 is the threshold in place of 0.5.

    >>> import tinyres as tr
    >>> tr.metrics.Accuracy()([1, 0], [[0.2, 0.8], [0.1, 0.9]])
    0.5
    """

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(self._right, name, accuracies.accuracy, on_logits=True)

    def settled(self, activation: str | None, objective: Objective | None) -> Metric:
        if objective is not None and objective.targets == "labels":
            return self if objective.ignored is None else _AccuracyOfCounted(self.name, objective.ignored)
        if activation == "sigmoid" or (objective is not None and objective.name == "binary_crossentropy"):
            logits = objective is not None and objective.takes_logits == "sigmoid" and activation is None
            return BinaryAccuracy(self.name, threshold=0.0 if logits else 0.5)
        return self

    @staticmethod
    def _right(prediction: Tensor, target: Tensor) -> Tensor:
        if target.dtype is INT64 and target.shape == prediction.shape[:-1]:
            return accuracies.sparse_hits(prediction, target)
        if prediction.ndim < 2 or prediction.shape[-1] == 1:
            return accuracies.binary_hits(prediction, target)
        return accuracies.categorical_hits(prediction, target)


class _AccuracyOfCounted(Accuracy):
    """The share among the rows whose label is another than the one that the loss ignores."""

    def __init__(self, name: str, ignored: int) -> None:
        super().__init__(name)
        self._ignored = ignored

    def update(self, sums: Sequence[Buffer], prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        counts = ops.astype(ops.not_equal(target, self._ignored), prediction.dtype)
        super().update(sums, prediction, target, counts if weight is None else counts * along(weight, counts))


class BinaryAccuracy(MeanMetric):
    """The share of outputs on the same side of `threshold` as their target is of 0.5, each output a label of its own.

    >>> import tinyres as tr
    >>> tr.metrics.BinaryAccuracy()([[1.0, 0.0], [1.0, 1.0]], [[0.9, 0.2], [0.1, 0.8]])
    0.75
    """

    options = ("threshold",)

    def __init__(self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        self.threshold = number_of("BinaryAccuracy", "threshold", threshold)
        super().__init__(partial(accuracies.binary_hits, threshold=self.threshold), name)


class CategoricalAccuracy(MeanMetric):
    """The share of samples whose largest output stands where the largest target does.

    y_true, y_pred: (n, ..., classes).

    >>> import tinyres as tr
    >>> tr.metrics.CategoricalAccuracy()([[0.0, 1.0], [1.0, 0.0]], [[0.2, 0.8], [0.1, 0.9]])
    0.5
    """

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(accuracies.categorical_hits, name, on_logits=True)


class SparseCategoricalAccuracy(MeanMetric):
    """The share of samples whose largest output stands at the integer label.

    y_true: (n, ...). y_pred: (n, ..., classes).

    >>> import tinyres as tr
    >>> tr.metrics.SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.1, 0.9]])
    0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(accuracies.sparse_hits, name, on_logits=True)


class TopKCategoricalAccuracy(MeanMetric):
    """The share of samples whose largest target is among the k largest outputs.

    Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.metrics.TopKCategoricalAccuracy(k=2)([[0.0, 0.0, 1.0]], [[0.5, 0.2, 0.3]])
    1.0
    """

    options = ("k",)
    _hits: ClassVar[Callable[..., Tensor]] = staticmethod(accuracies.top_k_hits)

    def __init__(self, k: int = 5, name: str | None = None, dtype: Any = None) -> None:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ArgumentError(f"[{type(self).__name__}] k is an integer >= 1; got {k!r}; choose another")
        self.k = int(k)
        super().__init__(partial(self._hits, k=self.k), name or _snake(type(self).__name__), on_logits=True)


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """The share of samples whose integer label is among the k largest outputs.

    Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.metrics.SparseTopKCategoricalAccuracy(k=2)([2, 1], [[0.5, 0.2, 0.3], [0.5, 0.2, 0.3]])
    0.5
    """

    _hits = staticmethod(accuracies.sparse_top_k_hits)


class RootMeanSquaredError(MeanMetric):
    """The root of the mean squared error over all samples.

    >>> import tinyres as tr
    >>> tr.metrics.RootMeanSquaredError()([0.0, 0.0], [3.0, 3.0])
    3.0
    """

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        objective = losses.get("mse")
        super().__init__(objective.rows, name, objective)

    def value(self, sums: Sequence[np.ndarray], count: int) -> float:
        return math.sqrt(super().value(sums, count))


class _OfLoss(MeanMetric):
    """The metric of a loss: the same mean over samples, weighted by their weights."""

    of: type[losses.Loss]
    sign = 1.0

    def __init__(self, *args: Any, name: str | None = None, dtype: Any = None, **options: Any) -> None:
        self._loss = self.of(*args, **options)
        super().__init__(self._signed, name or _snake(self.of.__name__), self._whole if self.sign == 1.0 else None)

    def config(self) -> dict[str, Any]:
        return {**{option: getattr(self._loss, option) for option in self.of.options}, "name": self.name}

    def _signed(self, prediction: Tensor, target: Tensor) -> Tensor:
        found = self._loss.objective.rows(prediction, target)
        return found if self.sign == 1.0 else found * self.sign

    def _whole(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self._loss.objective(prediction, target)


def _of_loss(
    cls: type[losses.Loss], shown: tuple[str, float], sign: float = 1.0, name: str | None = None
) -> type[Metric]:
    """The metric class of a loss class, of the same name unless another is given.

    shown: (y_true, y_pred) of its example, and what that gives.
    """
    about = f"""{(cls.__doc__ or "").split(".")[0].strip()}, over all samples. Options: see the loss.

    >>> import tinyres as tr
    >>> round(tr.metrics.{name or cls.__name__}()({shown[0]}), 4)
    {shown[1]}
    """
    members = {"__doc__": about, "__module__": __name__, "of": cls, "sign": sign}
    return types.new_class(name or cls.__name__, (_OfLoss,), exec_body=lambda body: body.update(members))


MeanSquaredError = _of_loss(losses.MeanSquaredError, ("[1.0, 2.0], [1.0, 4.0]", 2.0))
MeanAbsoluteError = _of_loss(losses.MeanAbsoluteError, ("[1.0, 2.0], [1.0, 4.0]", 1.0))
MeanAbsolutePercentageError = _of_loss(losses.MeanAbsolutePercentageError, ("[1.0, 2.0], [1.0, 4.0]", 50.0))
MeanSquaredLogarithmicError = _of_loss(losses.MeanSquaredLogarithmicError, ("[0.0, 3.0], [1.0, 3.0]", 0.2402))
LogCoshError = _of_loss(losses.LogCosh, ("[0.0, 3.0], [1.0, 3.0]", 0.2169), name="LogCoshError")
Hinge = _of_loss(losses.Hinge, ("[1.0, -1.0], [0.5, -2.0]", 0.25))
SquaredHinge = _of_loss(losses.SquaredHinge, ("[1.0, -1.0], [0.5, -2.0]", 0.125))
CategoricalHinge = _of_loss(losses.CategoricalHinge, ("[[0.0, 1.0]], [[0.2, 0.8]]", 0.4))
KLDivergence = _of_loss(losses.KLDivergence, ("[[0.5, 0.5]], [[0.25, 0.75]]", 0.1438))
Poisson = _of_loss(losses.Poisson, ("[2.0, 3.0], [1.0, 3.0]", 0.3521))
CosineSimilarity = _of_loss(losses.CosineSimilarity, ("[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [3.0, 4.0]]", 0.9), -1.0)
BinaryCrossentropy = _of_loss(losses.BinaryCrossentropy, ("[0.0, 1.0], [0.5, 0.5]", 0.6931))
CategoricalCrossentropy = _of_loss(losses.CategoricalCrossentropy, ("[[0.0, 1.0]], [[0.25, 0.75]]", 0.2877))
SparseCategoricalCrossentropy = _of_loss(losses.SparseCategoricalCrossentropy, ("[1], [[0.25, 0.75]]", 0.2877))


def add_to(total: Buffer, value: Tensor, weight: float = 1.0) -> None:
    """total += weight · the sum of the value."""
    launch(kernels.sum, (total,), (value.buffer,), (1, value.size, 1), (weight,), ACCUMULATE)


def number_of(op: str, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        raise ArgumentError(f"[{op}] {what} is a number; got {value!r}; choose another")
    return float(value)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
