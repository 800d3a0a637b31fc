"""Softmax and what follows from it: softmax, log_softmax, and the fused cross-entropy with integer labels.

The kernels work along the last axis; for another one the Tensor is turned there and back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.accepting import refuse_masked
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, DTypeError, ShapeError, ValueCheckFailed
from tinyres.kernels.dtypes import FLOAT32, FLOAT64, INT64
from tinyres.kernels.record import IGNORES, Kernel
from tinyres.launch import launch
from tinyres.ops.by_axis import by_axis
from tinyres.ops.casting import astype
from tinyres.ops.comparison import maximum, not_equal, where
from tinyres.ops.elementwise import exp
from tinyres.ops.movement import reshape, transpose
from tinyres.ops.reduction import one_axis, sum
from tinyres.ops.rules import same_shape


def _rowwise(kernel: Kernel) -> Callable[..., None]:
    def forward(out: Buffer, x: Tensor) -> None:
        columns = x.shape[-1]
        launch(kernel, (out,), (x.buffer,), (out.size // columns if columns else 0, columns))

    return forward


def _along(op: Op, x: Operand, axis: int) -> Tensor:
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    ndim = len(x.shape)
    if axis == -1 and ndim:
        return apply(op, (x,))
    at = one_axis(op.name, x.shape, axis)
    if at == ndim - 1:
        return apply(op, (x,))
    swapped = list(range(ndim))
    swapped[at], swapped[-1] = swapped[-1], swapped[at]
    return transpose(apply(op, (transpose(x, swapped),)), swapped)


def _softmax_vjp(g: Tensor, ctx: Context) -> Gradients:
    y = ctx.output
    weighted = g * y
    return (weighted - y * sum(weighted, -1, keepdims=True),)


SOFTMAX = Op(
    "softmax",
    shape=same_shape,
    forward=_rowwise(kernels.softmax),
    vjp=_softmax_vjp,
    reads_output=True,
    distributes=True,
)


@by_axis
def softmax(x: Operand, axis: int = -1) -> Tensor:
    """e^x divided by its sum along an axis; never overflows.

    Raises ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.softmax(tr.tensor([0.0, 0.0, 1000.0]))
    Tensor([0., 0., 1.], shape=(3,), dtype=float32)
    """
    return _along(SOFTMAX, x, axis)


def _log_softmax_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g - exp(ctx.output) * sum(g, -1, keepdims=True),)


LOG_SOFTMAX = Op(
    "log_softmax", shape=same_shape, forward=_rowwise(kernels.log_softmax), vjp=_log_softmax_vjp, reads_output=True
)


@by_axis
def log_softmax(x: Operand, axis: int = -1) -> Tensor:
    """The logarithm of the softmax along an axis, without its underflow.

    Raises ShapeError for an axis that is not there.

    >>> import tinyres as tr
    >>> tr.log_softmax(tr.tensor([0.0, 0.0, 1000.0]))
    Tensor([-1000., -1000.,     0.], shape=(3,), dtype=float32)
    """
    return _along(LOG_SOFTMAX, x, axis)


def _cross_entropy_shape(logits: Tensor, labels: Tensor, ignore_index: int | None, label_smoothing: float) -> Shape:
    if len(logits.shape) < 2:
        raise ShapeError(
            f"[softmax_cross_entropy] logits must have shape (batch, ..., classes); got {logits.shape}; reshape them"
        )
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            f"[softmax_cross_entropy] label_smoothing is a fraction, 0 <= s <= 1; got {label_smoothing!r}; "
            "choose another"
        )
    if 0 in logits.shape:
        raise ShapeError(
            f"[softmax_cross_entropy] the batch is empty, its mean is not defined: got logits of shape {logits.shape}; "
            "give at least one example and one class"
        )
    if labels.shape != logits.shape[:-1]:
        raise ShapeError(_wrong_labels_shape(logits.shape, labels.shape))
    return ()


def _wrong_labels_shape(logits: Shape, labels: Shape) -> str:
    remedy = "give one integer per example"
    if labels == logits:
        remedy = 'these look one-hot: use labels.argmax(axis=-1), or the loss "categorical_crossentropy"'
    elif labels == (*logits[:-1], 1):
        remedy = f"use labels.reshape({', '.join(map(str, (-1, *logits[1:-1])))})"
    return (
        f"[softmax_cross_entropy] labels must have shape {_told(logits)}, here {logits[:-1]}; "
        f"got labels {labels} for logits {logits}; {remedy}"
    )


def _told(logits: Shape) -> str:
    """The shape of labels in words."""
    return "(batch,)" if len(logits) <= 2 else "(batch, ...)"


def check_labels(labels: Tensor, classes: int, ignored: int | None = None) -> None:
    """Raise ArgumentError where a label lies outside of 0..classes - 1; recorded, the check is part of the step.

    ignored: a label that may stand there all the same.
    """
    number, flags = _of_ignored(ignored)
    try:
        launch(kernels.check_labels, (), (labels.buffer,), (labels.size, classes, number), (), flags)
    except ValueCheckFailed:
        values = labels.buffer.array
        values = values if ignored is None else values[values != ignored]
        raise ArgumentError(
            f"[softmax_cross_entropy] labels must lie in 0..{classes - 1} for {classes} classes; "
            f"got {values.min()}..{values.max()}; renumber the labels, or give the last layer more units"
        ) from None


def _of_ignored(ignored: int | None) -> tuple[int, int]:
    """The kernels' argument and flags for it."""
    return (0, 0) if ignored is None else (ignored, IGNORES)


def _cross_entropy_forward(
    out: Buffer, logits: Tensor, labels: Tensor, ignore_index: int | None, label_smoothing: float
) -> tuple[Buffer, ...]:
    columns = logits.shape[-1]
    check_labels(labels, columns, ignore_index)
    probabilities = Buffer(logits.buffer.size, logits.dtype)
    number, flags = _of_ignored(ignore_index)
    sizes = labels.buffer.size, columns, number
    ins = logits.buffer, labels.buffer
    launch(kernels.softmax_cross_entropy, (out, probabilities), ins, sizes, (label_smoothing,), flags)
    return (probabilities,)


def _cross_entropy_vjp(g: Tensor, ctx: Context) -> Gradients:
    logits, labels = ctx.inputs
    ignored, smoothing = ctx.attrs
    columns = logits.shape[-1]
    target = one_hot(labels, columns, logits.dtype) * (1.0 - smoothing) + smoothing / columns
    gradient = softmax(logits) - target
    if ignored is None:
        return gradient * (g * (1.0 / labels.size)), None
    counts = not_equal(labels, ignored)
    count = maximum(sum(astype(counts, logits.dtype)), 1.0)
    return where(reshape(counts, (*labels.shape, 1)), gradient, 0.0) * (g / count), None


def _cross_entropy_fast_vjp(g: Tensor, ctx: Context) -> Gradients:
    logits, labels = ctx.inputs
    ignored, smoothing = ctx.attrs
    (probabilities,) = ctx.saved
    out = Buffer(logits.buffer.size, logits.dtype)
    number, flags = _of_ignored(ignored)
    sizes = labels.buffer.size, logits.shape[-1], number
    ins = probabilities, labels.buffer, g.buffer
    launch(kernels.softmax_cross_entropy_grad, (out,), ins, sizes, (smoothing,), flags)
    return Tensor(out, logits.shape, logits.dtype), None


SOFTMAX_CROSS_ENTROPY = Op(
    "softmax_cross_entropy",
    shape=_cross_entropy_shape,
    forward=_cross_entropy_forward,
    vjp=_cross_entropy_vjp,
    fast_vjp=_cross_entropy_fast_vjp,
    saves=(0, 1),
    takes="fl",
    distributes=True,
)


def softmax_cross_entropy(
    logits: Operand,
    labels: Tensor | ArrayLike,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The mean over the batch of -log softmax(logits)[label], in one fused kernel.

    logits: (batch, ..., classes), before any softmax. labels: integers (batch, ...) in 0..classes-1. ignore_index: a
    label whose rows do not count: the mean is over the others, and 0 if there are none. label_smoothing: of each target
    this part is shared out among all classes (Szegedy et al. 2016).
    Raises ArgumentError for labels out of range or logits that are a softmax already, DTypeError for labels that are
    not integers, ShapeError where the shapes do not fit or the batch is empty.

    >>> import tinyres as tr
    >>> tr.losses.softmax_cross_entropy(tr.tensor([[0.0, 0.0], [0.0, 9.0]]), [0, 1])
    Tensor(0.3466, shape=(), dtype=float32)
    """
    if not isinstance(logits, Tensor):
        (logits,) = as_operands(logits)
    if isinstance(logits, Tensor) and logits.node is not None and logits.node.op is SOFTMAX:
        raise ArgumentError(
            f"[softmax_cross_entropy] takes logits, from which it makes the softmax itself; got a softmax of shape "
            f"{logits.shape}; pass what went into the softmax"
        )
    if not isinstance(labels, Tensor) or labels.dtype is not INT64:
        labels = as_labels(logits.shape, labels)
    return apply(SOFTMAX_CROSS_ENTROPY, (logits, labels), ignore_index, float(label_smoothing))


def as_labels(logits: Shape, labels: Tensor | ArrayLike) -> Tensor:
    """The labels as a Tensor of integers. Raises DTypeError, with a remedy, for anything else."""
    if hasattr(labels, "__tinyres_apply__"):
        return labels  # type: ignore[return-value]
    refuse_masked("labels", labels)
    array = np.asarray(labels)
    if array.dtype.kind in "iu":
        return tensor(array, dtype=INT64)
    remedy = 'use labels.astype("int64")'
    what = str(array.dtype)
    if array.dtype.kind in "USO":
        what = "strings" if array.dtype.kind in "US" else "objects"
        remedy = "number them with classes, y = np.unique(y, return_inverse=True)"
    elif array.shape == logits and array.ndim >= 2:
        remedy = 'these look one-hot: use labels.argmax(axis=-1), or the loss "categorical_crossentropy"'
    elif array.dtype.kind == "f" and np.isnan(array).any():
        what = f"{array.dtype} with {np.isnan(array).sum()} NaN"
        remedy = "remove the examples without a label"
    raise DTypeError(
        f"[softmax_cross_entropy] labels must be integers of shape {_told(logits)}; "
        f"got {what} of shape {array.shape}; {remedy}"
    )


def _one_hot_shape(labels: Tensor, classes: int) -> Shape:
    if classes < 0:
        raise ShapeError(f"[one_hot] the number of classes is at least 0; got {classes}; count the labels")
    return (*labels.shape, classes)


def _one_hot_forward(out: Buffer, labels: Tensor, classes: int) -> None:
    launch(kernels.one_hot, (out,), (labels.buffer,), (labels.buffer.size, classes))


_ONE_HOT: dict[np.dtype, Op] = {
    dtype: Op(f"one_hot_{dtype}", shape=_one_hot_shape, forward=_one_hot_forward, dtype=dtype, takes="l")
    for dtype in (FLOAT32, FLOAT64)
}


def one_hot(labels: Tensor | ArrayLike, classes: int, dtype: DTypeLike = FLOAT32) -> Tensor:
    """1 where the class is the label, else 0: labels (...) become (..., classes). No gradient.

    >>> import tinyres as tr
    >>> tr.one_hot([0, 2], 3)
    Tensor([[1., 0., 0.],
            [0., 0., 1.]], shape=(2, 3), dtype=float32)
    """
    if not isinstance(labels, Tensor):
        labels = tensor(labels, dtype=INT64)
    return apply(_ONE_HOT[np.dtype(dtype)], (labels,), classes)
