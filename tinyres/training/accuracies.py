"""Accuracies: who is right, per sample (1 or 0) and as the share of a batch; none has a gradient."""

from __future__ import annotations

from tinyres import kernels, ops
from tinyres.backends.buffers import Buffer
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor
from tinyres.errors import ShapeError
from tinyres.kernels.dtypes import INT64
from tinyres.launch import launch


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
    _same_shape("accuracy", prediction, target)
    if prediction.ndim < 2 or classes == 1:
        return binary_accuracy(prediction, target)
    labels = Buffer(prediction.size // max(classes, 1), INT64)
    launch(kernels.argmax, (labels,), (as_dtype(target, prediction).buffer,), (labels.size, classes))
    return _share_of_labels(prediction, labels)


def binary_accuracy(prediction: Tensor, target: Tensor, threshold: float = 0.5) -> Tensor:
    """The share of outputs, each a label of its own, on the same side of the threshold as their target is of 0.5.

    prediction, target: of one shape.

    >>> import tinyres as tr
    >>> tr.metrics.binary_accuracy(tr.tensor([[0.1, 0.9], [0.8, 0.2]]), tr.tensor([[0.0, 1.0], [0.0, 0.0]])).item()
    0.75
    """
    with no_grad():
        return ops.mean(binary_hits(prediction, target, threshold))


def categorical_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """The share of samples whose largest prediction stands where the largest target does.

    prediction, target: (..., classes).

    >>> import tinyres as tr
    >>> tr.metrics.categorical_accuracy(tr.tensor([[0.1, 0.9], [0.8, 0.2]]), tr.tensor([[0.0, 1.0], [0.0, 1.0]])).item()
    0.5
    """
    with no_grad():
        return ops.mean(categorical_hits(prediction, target))


def sparse_categorical_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """The share of samples whose largest prediction stands at the label.

    prediction: (..., classes). target: integers (...).

    >>> import tinyres as tr
    >>> tr.metrics.sparse_categorical_accuracy(tr.tensor([[0.1, 0.9], [0.8, 0.2]]), tr.tensor([1, 1])).item()
    0.5
    """
    with no_grad():
        return ops.mean(sparse_hits(prediction, target))


def top_k_categorical_accuracy(prediction: Tensor, target: Tensor, k: int = 5) -> Tensor:
    """The share of samples whose largest target is among the k largest predictions.

    prediction, target: (n, classes). Raises ShapeError for shapes that differ.

    >>> import tinyres as tr
    >>> p = tr.tensor([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]])
    >>> tr.metrics.top_k_categorical_accuracy(p, tr.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), k=2).item()
    0.5
    """
    with no_grad():
        return ops.mean(top_k_hits(prediction, target, k))


def sparse_top_k_categorical_accuracy(prediction: Tensor, target: Tensor, k: int = 5) -> Tensor:
    """The share of samples whose label is among the k largest predictions.

    prediction: (n, classes). target: integers (n,).

    >>> import tinyres as tr
    >>> p = tr.tensor([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]])
    >>> tr.metrics.sparse_top_k_categorical_accuracy(p, tr.tensor([2, 2]), k=2).item()
    0.5
    """
    with no_grad():
        return ops.mean(sparse_top_k_hits(prediction, target, k))


def binary_hits(prediction: Tensor, target: Tensor, threshold: float = 0.5) -> Tensor:
    """1 where prediction and target are on the same side, else 0, elementwise."""
    _same_shape("binary_accuracy", prediction, target)
    sides = ops.greater(prediction, threshold), ops.greater(as_dtype(target, prediction), 0.5)
    above, wanted = (ops.astype(side, prediction.dtype) for side in sides)
    return 1.0 - ops.abs(above - wanted)


def sparse_hits(prediction: Tensor, target: Tensor) -> Tensor:
    """1 where the largest prediction stands at the label, else 0, per row."""
    labels = _labels("sparse_categorical_accuracy", prediction, target)
    chosen = ops.astype(ops.argmax(prediction, axis=-1), prediction.dtype)
    return ops.astype(ops.equal(chosen, ops.astype(labels, prediction.dtype)), prediction.dtype)


def categorical_hits(prediction: Tensor, target: Tensor) -> Tensor:
    """As `sparse_hits`, for one-hot targets."""
    _same_shape("categorical_accuracy", prediction, target)
    return sparse_hits(prediction, ops.argmax(as_dtype(target, prediction), axis=-1))


def sparse_top_k_hits(prediction: Tensor, target: Tensor, k: int) -> Tensor:
    """1 where the label's prediction is among the k largest, ties counted in, else 0, per row."""
    labels, classes = _labels("sparse_top_k_categorical_accuracy", prediction, target), prediction.shape[-1]
    at_label = ops.sum(ops.one_hot(labels, classes, prediction.dtype) * prediction, axis=-1, keepdims=True)
    below = ops.sum(ops.astype(ops.less_equal(prediction, at_label), prediction.dtype), axis=-1)
    return ops.astype(ops.greater(below, float(classes) - k), prediction.dtype)  # NaN is below nothing


def top_k_hits(prediction: Tensor, target: Tensor, k: int) -> Tensor:
    """As `sparse_top_k_hits`, for one-hot targets."""
    _same_shape("top_k_categorical_accuracy", prediction, target)
    return sparse_top_k_hits(prediction, ops.argmax(as_dtype(target, prediction), axis=-1), k)


def as_dtype(target: Tensor, prediction: Tensor) -> Tensor:
    """The target in the dtype of the prediction."""
    return target if target.dtype is prediction.dtype else ops.astype(target, prediction.dtype)


def _labels(op: str, prediction: Tensor, target: Tensor) -> Tensor:
    if target.shape == (*prediction.shape[:-1], 1):
        target = ops.reshape(target, prediction.shape[:-1])
    if prediction.ndim < 2 or target.shape != prediction.shape[:-1]:
        raise ShapeError(
            f"[{op}] labels are one integer per row of the prediction {prediction.shape}; got {target.shape}; "
            'for one-hot targets use "categorical_accuracy"'
        )
    return target if target.dtype is INT64 else ops.astype(target, INT64)


def _same_shape(op: str, prediction: Tensor, target: Tensor) -> None:
    if target.shape != prediction.shape:
        raise ShapeError(
            f"[{op}] targets are integer labels or have the shape of the prediction, {prediction.shape}; "
            f"got {target.dtype} of shape {target.shape}; reshape them"
        )


def _share_of_labels(prediction: Tensor, labels: Buffer) -> Tensor:
    out = Buffer(1, prediction.dtype)
    launch(kernels.accuracy, (out,), (prediction.buffer, labels), (labels.size, prediction.shape[-1]))
    return Tensor(out, (), prediction.dtype)
