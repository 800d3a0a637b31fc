"""Losses as Keras' classes: what `compile` takes where a loss has options. Objects are called as in Keras, on
(y_true, y_pred); functions of losses take (prediction, target)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from tinyres import ops
from tinyres.engine.accepting import refuse_masked
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, Worded
from tinyres.kernels.dtypes import INT64
from tinyres.layers.objective import Objective, along, like_prediction
from tinyres.ops import losses as values


def _of_classes(targets: np.ndarray, outputs: int) -> float:
    """All classes alike."""
    return math.log(outputs)


def _of_yes_or_no(targets: np.ndarray, outputs: int) -> float:
    """Probabilities of a half."""
    return math.log(2)


def _sparse(ignored: int | None, smoothing: float) -> tuple[Objective, Objective]:
    """The cross-entropy with integer labels, of probabilities and of logits."""
    options: dict[str, Any] = {"ignored": ignored, "smoothing": smoothing}
    of_logits = Objective(
        "sparse_categorical_crossentropy",
        partial(values.sparse_error_of_logits, **options),
        partial(ops.softmax_cross_entropy, ignore_index=ignored, label_smoothing=smoothing),
        targets="labels",
        takes_logits="softmax",
        chance=_of_classes,
        ignored=ignored,
    )
    of_probabilities = replace(
        of_logits,
        values=partial(values.sparse_error, **options),
        mean=partial(values.sparse_mean, **options),
        takes_logits=None,
        on_logits={"softmax": of_logits},
    )
    return of_probabilities, of_logits


SPARSE, SPARSE_LOGITS = _sparse(None, 0.0)
CATEGORICAL_LOGITS = Objective(
    "categorical_crossentropy",
    values.categorical_error_of_logits,
    targets="probabilities",
    takes_logits="softmax",
    chance=_of_classes,
)
BINARY_LOGITS = Objective(
    "binary_crossentropy",
    values.binary_error_of_logits,
    targets="probabilities",
    takes_logits="sigmoid",
    chance=_of_yes_or_no,
)
CATEGORICAL = Objective(
    "categorical_crossentropy",
    values.categorical_error,
    targets="probabilities",
    on_logits={"softmax": CATEGORICAL_LOGITS},
    chance=_of_classes,
)
BINARY = Objective(
    "binary_crossentropy",
    values.binary_error,
    targets="probabilities",
    on_logits={"sigmoid": BINARY_LOGITS},
    chance=_of_yes_or_no,
)


class Loss(metaclass=Worded):
    """Base of the loss classes; for one of your own, define `call(y_true, y_pred)`, one value per sample.

    reduction: "sum_over_batch_size" (the mean), "sum", or None: one value per sample. name: what a trace shows.
    Calling an object takes (y_true, y_pred), as in Keras, and a sample_weight: the mean of weight · value.
    Raises ArgumentError for an unknown reduction.

    >>> import tinyres as tr
    >>> tr.losses.MeanSquaredError()([1.0, 4.0], [1.0, 2.0])
    Tensor(2., shape=(), dtype=float32)
    """

    objective: Objective
    options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None) -> None:
        known = ("sum_over_batch_size", "mean", "sum", "none", None)
        if reduction not in known:
            raise ArgumentError(
                f"[{type(self).__name__}] reduction is one of {', '.join(map(repr, known))}; got {reduction!r}; "
                "choose one of them"
            )
        self.reduction = reduction
        made = self._made()
        self.name = name or made.name
        self._set_objective(made)

    def _set_objective(self, made: Objective) -> None:
        self.objective = replace(made, name=self.name, total=self.reduction == "sum")

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """One value per sample."""
        return self.objective.rows(y_pred, y_true)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        prediction = y_pred if isinstance(y_pred, Tensor) else tensor(y_pred)
        target = like_prediction(
            prediction, y_true if isinstance(y_true, Tensor) else _target(y_true, prediction.dtype)
        )
        if self.reduction not in (None, "none"):
            weight = None if sample_weight is None else tensor(sample_weight, dtype=prediction.dtype)
            return self.objective(prediction, target, weight)
        rows = self.call(target, prediction)
        return rows if sample_weight is None else rows * along(tensor(sample_weight), rows)

    def config(self) -> dict[str, Any]:
        """The arguments that make a loss like this one."""
        return {**{option: getattr(self, option) for option in self.options}, "reduction": self.reduction}

    def _made(self) -> Objective:
        """What this class, with its options, computes."""
        return Objective(type(self).__name__, lambda prediction, target: self.call(target, prediction))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "objective"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_objective(self._made())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


class _CrossEntropy(Loss):
    """from_logits: the prediction has not been through a softmax or sigmoid. label_smoothing: targets t become
    t·(1 - s) + s/classes (Szegedy et al. 2016)."""

    options = ("from_logits", "label_smoothing")
    _of: ClassVar[tuple[Objective, Objective]]

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        self.from_logits = bool(from_logits)
        self.label_smoothing = _smoothing(type(self).__name__, label_smoothing, axis)
        super().__init__(reduction, name)

    def _made(self) -> Objective:
        return _smoothed(self._of[self.from_logits], self.label_smoothing)


class BinaryCrossentropy(_CrossEntropy):
    """The mean of -t·log(p) - (1 - t)·log(1 - p), over samples and outputs.

    from_logits: predictions are logits, before a sigmoid. label_smoothing: targets t become t·(1 - s) + s/2. Raises
    ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.losses.BinaryCrossentropy(from_logits=True)([0.0, 1.0], [0.0, 100.0])
    Tensor(0.3466, shape=(), dtype=float32)
    """

    _of = BINARY, BINARY_LOGITS


class CategoricalCrossentropy(_CrossEntropy):
    """The mean over samples of -Σ t·log(p), for one-hot targets or probabilities.

    from_logits: predictions are logits, before a softmax. label_smoothing: targets t become t·(1 - s) + s/classes
    (Szegedy et al. 2016). Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.losses.CategoricalCrossentropy(label_smoothing=0.2)([[0.0, 1.0]], [[0.25, 0.75]])
    Tensor(0.3975, shape=(), dtype=float32)
    """

    _of = CATEGORICAL, CATEGORICAL_LOGITS


class SparseCategoricalCrossentropy(Loss):
    """The mean over samples of -log p[label], for integer labels (batch, ...).

    from_logits: predictions are logits, before a softmax. ignore_class: a label whose rows do not count, neither in the
    mean nor in "accuracy"; it may lie outside of the classes, as -1 and -100 do. label_smoothing: of each target this
    part is shared out among all classes. Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.losses.SparseCategoricalCrossentropy(from_logits=True)([0, 1], [[0.0, 0.0], [0.0, 9.0]])
    Tensor(0.3466, shape=(), dtype=float32)
    >>> tr.losses.SparseCategoricalCrossentropy(ignore_class=-1)([0, -1], [[0.5, 0.5], [0.1, 0.9]])
    Tensor(0.6931, shape=(), dtype=float32)
    """

    options = ("from_logits", "ignore_class", "label_smoothing")

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        whole = isinstance(ignore_class, (int, np.integer)) and not isinstance(ignore_class, bool)
        if not (ignore_class is None or whole):
            raise ArgumentError(
                f"[SparseCategoricalCrossentropy] ignore_class is a label, an integer; got {ignore_class!r}; choose one"
            )
        self.from_logits = bool(from_logits)
        self.ignore_class = None if ignore_class is None else int(ignore_class)
        self.label_smoothing = _smoothing(type(self).__name__, label_smoothing, axis)
        super().__init__(reduction, name)

    def _made(self) -> Objective:
        return _sparse(self.ignore_class, self.label_smoothing)[self.from_logits]


class Huber(Loss):
    """The mean of e²/2 where |e| is at most delta, else delta·(|e| - delta/2); e = y_pred - y_true (Huber 1964).

    Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.losses.Huber(delta=1.0)([0.0, 0.0], [0.5, 3.0])
    Tensor(1.3125, shape=(), dtype=float32)
    """

    options = ("delta",)

    def __init__(
        self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        if isinstance(delta, bool) or not isinstance(delta, (int, float)) or not 0 < delta < float("inf"):
            raise ArgumentError(f"[Huber] delta is a finite number > 0; got {delta!r}; choose another")
        self.delta = float(delta)
        super().__init__(reduction, name)

    def _made(self) -> Objective:
        return Objective("huber", partial(values.huber_error, delta=self.delta), targets="values")


class Dice(Loss):
    """1 - 2·Σ y_true·y_pred / (Σ y_true + Σ y_pred): how little two regions overlap (Milletari et al. 2016).

    y_true, y_pred: of one shape, one-hot where there are classes. axis: what is summed over; None: everything, so that
    a batch is one region; (1, 2, 3) gives a value per image. reduction, name: see Loss.

    >>> import tinyres as tr
    >>> tr.losses.Dice()([[0.0, 1.0, 1.0]], [[0.0, 1.0, 0.0]])
    Tensor(0.3333, shape=(), dtype=float32)
    """

    options = ("axis",)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        axis: int | Sequence[int] | None = None,
    ) -> None:
        self.axis = axis if axis is None or isinstance(axis, int) else tuple(axis)
        super().__init__(reduction, name)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """One value per what is not summed over."""
        return values.dice_error(y_pred, y_true, self.axis)

    def _set_objective(self, made: Objective) -> None:
        self.objective = replace(made, name=self.name)

    def _made(self) -> Objective:
        summed = (self.axis,) if isinstance(self.axis, int) else self.axis
        per_image = summed is not None and 0 not in summed and self.reduction != "sum"

        reduce = None if per_image else ops.sum if self.reduction == "sum" else ops.mean
        error = partial(_dice, axis=self.axis, reduce=reduce)
        return Objective("dice", error, targets="values", per_sample=per_image)


def _dice(prediction: Any, target: Any, axis: Any, reduce: Callable[[Tensor], Tensor] | None) -> Tensor:
    found = values.dice_error(prediction, target, axis)
    return found if reduce is None else reduce(found)


def _target(y_true: Any, dtype: np.dtype) -> Tensor:
    refuse_masked("loss", y_true)
    array = np.asarray(y_true)
    return tensor(array, dtype=INT64 if array.dtype.kind in "iub" else dtype)


def _smoothing(owner: str, label_smoothing: float, axis: int) -> float:
    """The fraction, checked; and the axis of the classes."""
    if not isinstance(label_smoothing, (int, float)) or not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            f"[{owner}] label_smoothing is a fraction, 0 <= s <= 1; got {label_smoothing!r}; choose another"
        )
    if axis != -1:
        raise ArgumentError(f"[{owner}] classes stand in the last axis; got axis={axis}; move them")
    return float(label_smoothing)


def _smoothed(found: Objective, smoothing: float) -> Objective:
    if not smoothing:
        return found

    def targets(prediction: Any, target: Any) -> Any:
        classes = 2 if found.values in (values.binary_error, values.binary_error_of_logits) else prediction.shape[-1]
        return ops.add(ops.mul(target, 1.0 - smoothing), smoothing / classes)

    smooth = {activation: _smoothed(inner, smoothing) for activation, inner in found.on_logits.items()}
    return replace(found, values=lambda p, t: found.values(p, targets(p, t)), on_logits=smooth)
