"""Products with weights of the file are Dense and Embedding; others are products of two values."""

from __future__ import annotations

import numpy as np

from tinyres import ops
from tinyres.layers.dense import Dense
from tinyres.layers.embedding import Embedding
from tinyres.onnx.reading.table import Reading, reads
from tinyres.onnx.values import Held, Known


def _dense(reading: Reading, x: Held, kernel: np.ndarray, bias: np.ndarray | None) -> Held:
    layer = Dense(kernel.shape[1], use_bias=bias is not None, kernel_initializer="zeros")
    found = reading.named(layer)(x.plain)
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    return Held(found)


@reads("Gemm")
def _gemm(reading: Reading) -> Held:
    """alpha · A B + beta · C, where A is data, and B and C are weights."""
    x, kernel = reading.held(), reading.known(1, "the matrix")
    alpha, beta = reading.attr("alpha", 1.0), reading.attr("beta", 1.0)
    if reading.attr("transA", 0):
        raise reading.refuse("rows are samples", "transA=1")
    kernel = (kernel.T if reading.attr("transB", 0) else kernel) * np.float32(alpha)
    bias = None
    if reading.given(2):
        bias = reading.known(2, "the bias")
        if bias.size != 1 and bias.shape not in ((kernel.shape[1],), (1, kernel.shape[1])):
            raise reading.refuse("a bias has a number per column", f"one of shape {bias.shape}")
        bias = np.broadcast_to(bias.reshape(-1) * np.float32(beta), kernel.shape[1:])
    return _dense(reading, x, kernel, bias)


@reads("MatMul")
def _matmul(reading: Reading) -> Held:
    a, b = reading.value(0), reading.value(1)
    if isinstance(a, Held) and isinstance(b, Known) and b.array.ndim == 2 and len(a.shape) > 1:
        return _dense(reading, a, b.array, None if reading.bias is None else reading.bias.array)
    return Held(reading.called(ops.matmul(reading.operand(0), reading.operand(1))))


@reads("Einsum")
def _einsum(reading: Reading) -> Held:
    values = [reading.value(i) for i in range(len(reading.inputs))]
    given = [value.array if isinstance(value, Known) else value.plain for value in values]
    return Held(reading.called(ops.einsum(reading.attr("equation"), *given)))


@reads("Gather")
def _gather(reading: Reading) -> Held:
    """Rows of a table of the file by ids of the data are an Embedding; rows of data by known ids, a choice of them."""
    x, ids, axis = reading.value(0), reading.value(1), reading.attr("axis", 0)
    if isinstance(x, Known) and isinstance(ids, Held):
        if x.array.ndim != 2 or axis != 0 or x.array.dtype.kind != "f":
            raise reading.refuse("a table has rows of numbers", f"one of shape {x.array.shape} along axis {axis}")
        classes, width = x.array.shape
        layer = Embedding(classes, width, embeddings_initializer="zeros")
        found = reading.named(layer)(ids.plain)
        layer.set_weights([x.array])
        return Held(found)
    rows = reading.held()
    chosen = reading.known(1, "which are chosen")
    at = reading.axis(axis, len(rows.shape))
    if chosen.ndim == 0:
        index = (slice(None),) * at + (int(chosen),)
        return Held(reading.called(rows.plain[index]))
    return Held(reading.called(ops.take(rows.plain, chosen.astype(np.int64), axis=at)))
