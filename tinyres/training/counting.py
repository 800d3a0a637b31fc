"""Metrics that count hits and misses at thresholds: the area under a curve, precision and recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres import kernels, ops
from tinyres.backends.buffers import Buffer
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.launch import launch
from tinyres.layers.objective import along
from tinyres.training import accuracies
from tinyres.training.metric_classes import Metric, add_to, number_of


class _Counts(Metric):
    """Sums of hits and misses at thresholds: base of AUC, Precision and Recall."""

    thresholds: list[float]

    def start(self, dtype: np.dtype) -> list[Buffer]:
        if not hasattr(self, "_levels"):
            self._levels: dict[np.dtype, Tensor] = {}
        if dtype not in self._levels:
            self._levels[dtype] = tensor([self.thresholds], dtype=dtype)
        return super().start(dtype)

    def _above(self, prediction: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(n x thresholds: 1 where the score is above, the positives 1 x n, the negatives 1 x n), weighted."""
        if target.shape != prediction.shape:
            raise ShapeError(
                f"[{self.name}] each output is a score for its own target of 0 or 1; got outputs {prediction.shape} "
                f"and targets {target.shape}; one-hot encode labels, or use one sigmoid unit for two classes"
            )
        levels = self._levels[prediction.dtype]
        positive = accuracies.as_dtype(target, prediction)
        negative = 1.0 - positive
        if weight is not None:
            factor = along(weight, positive)
            positive, negative = positive * factor, negative * factor
        above = ops.astype(ops.greater(ops.reshape(prediction, (-1, 1)), levels), prediction.dtype)
        return above, ops.reshape(positive, (1, -1)), ops.reshape(negative, (1, -1))


class AUC(_Counts):
    """The area under the ROC or precision-recall curve, by Keras' rule: counts at 200 thresholds, interpolated.

    The counts stand in buffers and follow a captured step; they are no exact ranking of all scores, from which the area
    differs by what falls between two thresholds. Exact in float32 up to 16.7 million samples. NaN where only one class
    came. num_thresholds: how many, evenly from 0 to 1; thresholds: those in between, instead. curve: "ROC" or "PR".
    summation_method: "interpolation", "minoring" or "majoring". from_logits: outputs go through a sigmoid first.
    Several outputs are taken together (Keras' multi_label=False). Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.metrics.AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """

    options = ("num_thresholds", "curve", "summation_method", "from_logits")

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name)
        if str(curve).upper() not in ("ROC", "PR"):
            raise ArgumentError(f'[AUC] curve is "ROC" or "PR"; got {curve!r}; choose one of them')
        if summation_method not in ("interpolation", "minoring", "majoring"):
            raise ArgumentError(
                f'[AUC] summation_method is "interpolation", "minoring" or "majoring"; got {summation_method!r}; '
                "choose one of them"
            )
        if thresholds is None and (isinstance(num_thresholds, bool) or int(num_thresholds) < 2):
            raise ArgumentError(f"[AUC] num_thresholds is an integer >= 2; got {num_thresholds!r}; choose another")
        count = int(num_thresholds) - 2
        inner = sorted(thresholds) if thresholds is not None else [(i + 1) / (count + 1) for i in range(count)]
        self.thresholds = [-1e-7, *map(float, inner), 1 + 1e-7]
        self.num_thresholds = len(self.thresholds)
        self.sizes = (len(self.thresholds),) * 2  # type: ignore[misc]
        self.curve, self.summation_method, self.from_logits = str(curve).upper(), summation_method, bool(from_logits)

    def update(self, sums: Sequence[Buffer], prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        above, positive, negative = self._above(
            ops.sigmoid(prediction) if self.from_logits else prediction, target, weight
        )
        for total, kind in zip(sums, (positive, negative)):
            found = ops.matmul(kind, above)
            launch(kernels.add, (total,), (total, found.buffer), (1, total.size))

    def value(self, sums: Sequence[np.ndarray], count: int) -> float:
        hits, alarms = (np.asarray(each, np.float64) for each in sums)
        if not hits[0] > 0 or not alarms[0] > 0:
            return math.nan
        recall, fall_out = hits / hits[0], alarms / alarms[0]
        if self.curve == "PR":
            if self.summation_method == "interpolation":
                return _interpolated_precision(hits, alarms)
            with np.errstate(invalid="ignore"):
                heights = np.nan_to_num(hits / (hits + alarms))
            return self._area(recall, heights)
        return self._area(fall_out, recall)

    def _area(self, x: np.ndarray, y: np.ndarray) -> float:
        if self.summation_method == "minoring":
            heights = np.minimum(y[:-1], y[1:])
        elif self.summation_method == "majoring":
            heights = np.maximum(y[:-1], y[1:])
        else:
            heights = (y[:-1] + y[1:]) / 2
        return float(np.sum((x[:-1] - x[1:]) * heights))


def _interpolated_precision(hits: np.ndarray, alarms: np.ndarray) -> float:
    """The area under the precision-recall curve, interpolated by counts (Davis and Goadrich 2006)."""
    gained = hits[:-1] - hits[1:]
    taken = hits + alarms
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.nan_to_num(gained / np.maximum(taken[:-1] - taken[1:], 0), posinf=0.0)
        intercept = hits[1:] - slope * taken[1:]
        both = (taken[:-1] > 0) & (taken[1:] > 0)
        ratio = np.where(both, taken[:-1] / np.where(both, taken[1:], 1), 1.0)
        area = slope * (gained + intercept * np.log(ratio))
    return float(np.sum(area / hits[0]))


class Precision(_Counts):
    """Of the outputs above the threshold, the share whose target is 1; 0 where there are none.

    Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.metrics.Precision()([0, 1, 1, 1], [0.9, 0.9, 0.9, 0.1])
    0.6666666666666666
    """

    options = ("thresholds",)

    def __init__(
        self,
        thresholds: float = 0.5,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name)
        if top_k is not None or class_id is not None:
            raise ArgumentError(
                f"[{type(self).__name__}] all outputs are counted, at one threshold; got top_k={top_k}, "
                f"class_id={class_id}; leave them out"
            )
        given = 0.5 if thresholds is None else thresholds
        self.thresholds = [number_of(type(self).__name__, "thresholds", given)]

    def update(self, sums: Sequence[Buffer], prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        above, positive, negative = self._above(prediction, target, weight)
        hits = ops.matmul(positive, above)
        add_to(sums[0], hits)
        add_to(sums[1], self._others(hits, positive, negative, above))

    def value(self, sums: Sequence[np.ndarray], count: int) -> float:
        hits, others = (float(each[0]) for each in sums)
        return hits / (hits + others) if hits + others else 0.0

    def config(self) -> dict[str, Any]:
        return {"thresholds": self.thresholds[0], "name": self.name}

    @staticmethod
    def _others(hits: Tensor, positive: Tensor, negative: Tensor, above: Tensor) -> Tensor:
        return ops.matmul(negative, above)


class Recall(Precision):
    """Of the targets that are 1, the share whose output is above the threshold; 0 where there are none.

    Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.metrics.Recall()([0, 1, 1, 1], [0.9, 0.9, 0.9, 0.1])
    0.6666666666666666
    """

    @staticmethod
    def _others(hits: Tensor, positive: Tensor, negative: Tensor, above: Tensor) -> Tensor:
        return ops.sum(positive) - hits
