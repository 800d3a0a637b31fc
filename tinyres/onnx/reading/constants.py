"""Nodes of arrays of the file alone, done by the ops that read the same nodes of data, when the model is built.

Exporters that fold nothing leave them: the norm of a weight that is divided by it, angles of positions, two matrices
whose product is one. What comes out is an array like those of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor, tensor
from tinyres.kernels.dtypes import FLOAT32, FLOAT64
from tinyres.onnx.reading.elementwise import OPS
from tinyres.onnx.reading.folding import bounded, folds
from tinyres.onnx.reading.reducing import REDUCTIONS
from tinyres.onnx.reading.table import FOLDERS, Reading


def _done(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """What an op gives of float arrays, in the dtype of the first; there is no graph of it."""
    kind = FLOAT64 if arrays[0].dtype == np.float64 else FLOAT32
    with no_grad():
        found: Tensor = function(*[tensor(x, dtype=kind if x.dtype.kind == "f" else None) for x in arrays])
        return found.numpy().astype(arrays[0].dtype)


def _of_one(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    return lambda reading, x: _done(function, x)


ACTIVATIONS = {"Relu": ops.relu, "Sigmoid": ops.sigmoid, "Softplus": ops.softplus, "Tanh": ops.tanh}
FOLDERS.update({kind: _of_one(function) for kind, function in (OPS | ACTIVATIONS).items() if kind not in FOLDERS})


def _reduced(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    def fold(reading: Reading, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
        given = reading.ints(1, "axes")
        if not given and reading.attr("noop_with_empty_axes", 0):
            return x
        along = tuple(reading.axis(axis, x.ndim) for axis in given) if given else tuple(range(x.ndim))
        keepdims = bool(reading.attr("keepdims", 1))
        return _done(lambda t: function(t, axis=along, keepdims=keepdims), x)

    return fold


FOLDERS.update({kind: _reduced(function) for kind, function in REDUCTIONS.items()})


@folds("MatMul")
def _matmul(reading: Reading, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    rows, columns = a.shape[:-1] if a.ndim > 1 else (1,), b.shape[-1:] if b.ndim > 1 else (1,)
    batch = np.broadcast_shapes(rows[:-1], b.shape[:-2])
    bounded(reading, np.array([*batch, *rows[-1:], *columns]))
    return _done(ops.matmul, a, b)


@folds("Gemm")
def _gemm(reading: Reading, a: np.ndarray, b: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
    a = a.T if reading.attr("transA", 0) else a
    b = b.T if reading.attr("transB", 0) else b
    found = _matmul(reading, a, b) * np.float32(reading.attr("alpha", 1.0))
    return (found if c is None else found + c * np.float32(reading.attr("beta", 1.0))).astype(a.dtype)


@folds("Softmax", "LogSoftmax")
def _softmax(reading: Reading, x: np.ndarray) -> np.ndarray:
    function = ops.softmax if reading.kind == "Softmax" else ops.log_softmax
    axis = reading.axis(reading.attr("axis", -1 if reading.opset >= 13 else 1), x.ndim)
    if reading.opset < 13 and axis != x.ndim - 1:
        raise reading.refuse("before opset 13 it is read along the last axis", f"axis {axis} of shape {x.shape}")
    return _done(lambda t: function(t, axis=axis), x)


@folds("Clip")
def _clip(reading: Reading, x: np.ndarray, *bounds: np.ndarray | None) -> np.ndarray:
    lo, hi = reading.number(1, "min", -np.inf), reading.number(2, "max", np.inf)
    return np.clip(x, lo, hi).astype(x.dtype)
