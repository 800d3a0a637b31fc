"""Metrics: functions (prediction, target) -> mean over the batch, and the meters that average them over an epoch.

A meter adds in buffers, by kernels, so that a captured step carries it along; the sums are read once per epoch, or
when somebody wants to see them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyres import kernels, ops
from tinyres.backends.buffers import Buffer
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.dtypes import INT64
from tinyres.kernels.record import ACCUMULATE
from tinyres.launch import launch, refuse_while_recording

Metric = Callable[[Tensor, Tensor], Tensor]


def accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """The share of samples that are predicted right, as a Tensor of one number without gradient.

    Integer targets are labels: the largest of the last axis must stand there. Float targets of the prediction's shape
    are one-hot, or, with one output per sample, 0 and 1, told apart at 0.5. Raises ShapeError for other shapes.

    >>> import tinyres as tr
    >>> tr.metrics.accuracy(tr.tensor([[0.1, 0.9], [0.8, 0.2]]), tr.tensor([1, 1], dtype="int64")).item()
    0.5
    """
    classes = prediction.shape[-1] if prediction.ndim else 1
    if target.dtype is INT64 and target.shape == prediction.shape[:-1] and classes > 1:
        return _share_of_labels(prediction, target.buffer)
    if target.shape != prediction.shape:
        raise ShapeError(
            f"[accuracy] targets are integer labels or have the shape of the prediction, {prediction.shape}; "
            f"got {target.dtype} of shape {target.shape}; reshape them"
        )
    if prediction.ndim < 2 or classes == 1:
        return _share_at_half(prediction, target)
    labels = Buffer(prediction.size // max(classes, 1), INT64)
    launch(kernels.argmax, (labels,), (_as(target, prediction.dtype),), (labels.size, classes))
    return _share_of_labels(prediction, labels)


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean absolute error, as a Tensor of one number without gradient. Never broadcasts.

    >>> import tinyres as tr
    >>> tr.metrics.mae(tr.tensor([[1.0], [3.0]]), tr.tensor([[0.0], [0.0]])).item()
    2.0
    """
    if target.shape != prediction.shape:
        raise ShapeError(
            f"[mae] prediction {prediction.shape} and target {target.shape} differ; "
            f"use y.reshape{(-1, *prediction.shape[1:])}"
        )
    count, dtype = prediction.size, prediction.dtype
    difference, out = Buffer(count, dtype), Buffer(1, dtype)
    launch(kernels.sub, (difference,), (prediction.buffer, _as(target, dtype)), (1, count))
    launch(kernels.abs, (difference,), (difference,), (count,))
    launch(kernels.sum, (out,), (difference,), (1, count, 1), (1 / max(count, 1),))
    return Tensor(out, (), dtype)


BY_NAME: dict[str, Metric] = {"accuracy": accuracy, "acc": accuracy, "mae": mae, "mean_absolute_error": mae}


def _share_of_labels(prediction: Tensor, labels: Buffer) -> Tensor:
    out = Buffer(1, prediction.dtype)
    launch(kernels.accuracy, (out,), (prediction.buffer, labels), (labels.size, prediction.shape[-1]))
    return Tensor(out, (), prediction.dtype)


def _share_at_half(prediction: Tensor, target: Tensor) -> Tensor:
    with no_grad():
        dtype = prediction.dtype
        target = Tensor(_as(target, dtype), target.shape, dtype)
        above = [ops.astype(ops.greater(t, 0.5), dtype) for t in (prediction, target)]
        return 1.0 - ops.mean(ops.abs(above[0] - above[1]))


def _as(t: Tensor, dtype: np.dtype) -> Buffer:
    return t.buffer if t.dtype is dtype else t.astype(dtype).buffer


class Meter:
    """Means over the samples seen so far: of the loss, and of each metric."""

    def __init__(self, metrics: Sequence[tuple[str, Metric]], dtype: np.dtype) -> None:
        self.names = ["loss", *[name for name, _ in metrics]]
        self._metrics = list(metrics)
        self.totals = [Buffer(1, dtype) for _ in self.names]
        self.count = 0
        self.reset()

    def reset(self) -> None:
        """Start again from nothing."""
        self.count = 0
        for total in self.totals:
            total.array.fill(0)

    def add(self, loss: Tensor, prediction: Any, target: Tensor) -> None:
        """Add one batch, by kernels. The caller counts its samples in `count`, which no capture would do."""
        with no_grad():
            values = [loss, *[metric(prediction, target) for _, metric in self._metrics]]
        weight = float(len(target))
        for total, value in zip(self.totals, values):
            launch(kernels.sum, (total,), (value.buffer,), (1, 1, 1), (weight,), ACCUMULATE)

    def rehearse(self, prediction: Any, target: Tensor) -> None:
        """Run the metrics on placeholders. Raises ArgumentError unless each gives one number, as a Tensor."""
        for name, metric in self._metrics:
            value = metric(prediction, target)
            if not isinstance(value, Tensor) or value.size != 1:
                got = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
                raise ArgumentError(
                    f"[{name}] a metric returns one number, as a Tensor; got {got}; end it with .mean()"
                )

    def restore(self, totals: Sequence[float], count: int) -> None:
        """Go on from these sums over `count` samples."""
        for total, value in zip(self.totals, totals):
            total.array[0] = value
        self.count = count

    def read(self) -> dict[str, float]:
        """The means, by name."""
        refuse_while_recording("metrics")
        return {name: float(total.array[0]) / max(self.count, 1) for name, total in zip(self.names, self.totals)}


def resolve(op: str, metrics: Any) -> list[tuple[str, Metric]]:
    """(name, function) for what the user gave as metrics: a list of names and functions."""
    if metrics is None:
        return []
    if isinstance(metrics, str) or callable(metrics) or not isinstance(metrics, (list, tuple)):
        given = f'"{metrics}"' if isinstance(metrics, str) else "accuracy"
        raise ArgumentError(f"[{op}] metrics come as a list; got {metrics!r}; write metrics=[{given}]")
    found: list[tuple[str, Metric]] = []
    for metric in metrics:
        if callable(metric):
            name = getattr(metric, "__name__", type(metric).__name__)
            found.append((name, metric))
        elif isinstance(metric, str) and metric in BY_NAME:
            found.append((metric, BY_NAME[metric]))
        else:
            raise ArgumentError(
                f"[{op}] a metric is one of {sorted(BY_NAME)} or a function (prediction, target); got {metric!r}; "
                "choose one of them"
            )
    names = ["loss", *[name for name, _ in found]]
    if len(set(names)) < len(names):
        raise ArgumentError(f"[{op}] metrics have different names, and none is named loss; got {names[1:]}; rename one")
    return found
