"""Metrics of regions: intersection over union, from counts of pixels by true and predicted class.

Pixels are counted in whole numbers, so an epoch is exact however many there are; with weights the counts are floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tinyres import kernels, ops
from tinyres.backends.buffers import Buffer
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.dtypes import INT64
from tinyres.kernels.record import OPERATIONS, RELATION_SHIFT
from tinyres.launch import launch
from tinyres.layers.objective import along
from tinyres.training.accuracies import as_dtype
from tinyres.training.metric_classes import Metric, number_of

_ADD = OPERATIONS.index("add") << RELATION_SHIFT


class IoU(Metric):
    """Intersection over union of these classes, |both| / |either|, over all pixels; classes that never came left out.

    num_classes: counted from 0. target_class_ids: whose mean it is. ignore_class: a true class whose pixels do not
    count. sparse_y_true, sparse_y_pred: class ids, else one value per class in the last axis, of which the largest
    counts. A prediction that has one axis more than the ids, as after a softmax, is read that way too.
    Raises ArgumentError for classes out of range, ShapeError for shapes that do not fit.

    >>> import tinyres as tr
    >>> tr.metrics.IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1])
    0.3333333333333333
    """

    on_logits: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = (
        "num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred",
    )  # fmt: skip

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        owner = type(self).__name__
        super().__init__(name or {"IoU": "iou", "OneHotIoU": "one_hot_iou"}.get(owner))
        if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)) or num_classes < 1:
            raise ArgumentError(f"[{owner}] num_classes is a count from 1 on; got {num_classes!r}; choose another")
        wrong = [i for i in target_class_ids if not 0 <= i < num_classes]
        if wrong:
            raise ArgumentError(
                f"[{owner}] target_class_ids are classes from 0 to {num_classes - 1}; got {wrong[0]!r}; choose others"
            )
        if axis != -1:
            raise ArgumentError(f"[{owner}] classes stand in the last axis; got axis={axis}; move them")
        self.num_classes, self.target_class_ids = int(num_classes), [int(i) for i in target_class_ids]
        self.ignore_class, self.sparse_y_true, self.sparse_y_pred = ignore_class, sparse_y_true, sparse_y_pred
        self.sizes = (self.num_classes**2,) * 2  # type: ignore[misc]

    def start(self, dtype: np.dtype) -> list[Buffer]:
        whole, weighted = Buffer(self.sizes[0], INT64), Buffer(self.sizes[1], dtype)
        whole.array.fill(0)
        weighted.array.fill(0)
        return [whole, weighted]

    def update(self, sums: Sequence[Buffer], prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        true, predicted = self._classes(prediction, target)
        if true.shape != predicted.shape:
            raise ShapeError(
                f"[{self.name}] there is one class per pixel, true and predicted; got predictions {prediction.shape} "
                f"and targets {target.shape}; give ids, or {self.num_classes} values per pixel in the last axis"
            )
        factor = None if weight is None else _per_pixel(weight, true, sums[1].dtype)
        if self.ignore_class is not None:
            counts = ops.not_equal(true, self.ignore_class)
            true = ops.where(counts, true, 0)
            kept = ops.astype(counts, sums[1].dtype)
            factor = kept if factor is None else kept * factor
        rows, columns = (
            ops.one_hot(ops.reshape(each, (-1,)), self.num_classes, sums[1].dtype) for each in (true, predicted)
        )
        if factor is not None:
            rows = rows * ops.reshape(factor, (-1, 1))
        found = ops.matmul(ops.transpose(rows), columns)
        if weight is None:
            launch(kernels.integers, (sums[0],), (sums[0], ops.astype(found, INT64).buffer), (1, found.size), (), _ADD)
        else:
            launch(kernels.add, (sums[1],), (sums[1], found.buffer), (1, found.size))

    def value(self, sums: Sequence[np.ndarray], count: int) -> float:
        table = (sums[0] + np.asarray(sums[1], np.float64)).reshape(self.num_classes, self.num_classes)
        both = np.diagonal(table)
        either = table.sum(0) + table.sum(1) - both
        chosen = [i for i in self.target_class_ids if either[i] > 0]
        return float(np.mean(both[chosen] / either[chosen])) if chosen else 0.0

    def _classes(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        true = target if self.sparse_y_true else ops.argmax(as_dtype(target, prediction), axis=-1)
        spread = not self.sparse_y_pred or prediction.shape == (*true.shape, self.num_classes)
        predicted = ops.argmax(prediction, axis=-1) if spread else prediction
        return _ids(true), _ids(predicted)


class MeanIoU(IoU):
    """The mean of intersection over union of all classes that came, over all pixels. Options: see IoU.

    >>> import tinyres as tr
    >>> tr.metrics.MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1])
    0.3333333333333333
    """

    options: ClassVar[tuple[str, ...]] = ("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred")

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        every = range(num_classes) if isinstance(num_classes, int) else ()
        super().__init__(
            num_classes, every, name or "mean_io_u", dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        )


class OneHotIoU(IoU):
    """As IoU, of targets one-hot in the last axis. sparse_y_pred: whether predictions are ids; else a value per
    class.

    >>> import tinyres as tr
    >>> tr.metrics.OneHotIoU(2, [1])([[1.0, 0.0], [0.0, 1.0]], [[0.2, 0.8], [0.1, 0.9]])
    0.5
    """

    options: ClassVar[tuple[str, ...]] = ("num_classes", "target_class_ids", "ignore_class", "sparse_y_pred")

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """As MeanIoU, of targets one-hot in the last axis. sparse_y_pred: whether predictions are ids; else a value per
    class.

    >>> import tinyres as tr
    >>> tr.metrics.OneHotMeanIoU(2)([[1.0, 0.0], [0.0, 1.0]], [[0.2, 0.8], [0.1, 0.9]])
    0.25
    """

    options: ClassVar[tuple[str, ...]] = ("num_classes", "ignore_class", "sparse_y_pred")

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name or "one_hot_mean_io_u", dtype, ignore_class, False, sparse_y_pred, axis)


class BinaryIoU(IoU):
    """Intersection over union of two classes, told apart by a threshold: 1 where a prediction is at least that.

    target_class_ids: whose mean it is, of 0 and 1. threshold: of the predictions, probabilities in 0 … 1.

    >>> import tinyres as tr
    >>> tr.metrics.BinaryIoU(target_class_ids=[1])([0.0, 0.0, 1.0, 1.0], [0.1, 0.6, 0.7, 0.8])
    0.6666666666666666
    """

    on_logits: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ("target_class_ids", "threshold")

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.threshold = number_of("BinaryIoU", "threshold", threshold)
        super().__init__(2, target_class_ids, name or "binary_io_u")

    def _classes(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        above = ops.astype(ops.greater_equal(prediction, self.threshold), INT64)
        return _ids(target), above


def _ids(given: Tensor) -> Tensor:
    return given if given.dtype is INT64 else ops.astype(given, INT64)


def _per_pixel(weight: Tensor, ids: Tensor, dtype: np.dtype) -> Tensor:
    """Weights of samples, or of pixels, as one per pixel. Not in the dtype of the ids, which has no fractions."""
    return ops.broadcast_to(along(weight, ops.astype(ids, dtype)), ids.shape)
