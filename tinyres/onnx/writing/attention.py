"""Attention, spelled out: opset 18 has no op for it."""

from __future__ import annotations

import numpy as np

from tinyres.onnx.recording import Recorded
from tinyres.onnx.writer import TYPES, Writer
from tinyres.onnx.writing.table import writes

Inputs = list[Recorded]
_UNSEEN = -1e30  # the score of what is not seen: a row of -inf alone would make the softmax NaN


@writes("attention", "attention_with_bias")
def _attention(writer: Writer, node: Recorded, inputs: Inputs, scale: float, is_causal: bool, offset: int) -> str:
    query, key, value, *bias = inputs
    q, v = (writer.emit("Transpose", writer.plain(x), perm=[0, 2, 1, 3]) for x in (query, value))
    k = writer.emit("Transpose", writer.plain(key), perm=[0, 2, 3, 1])
    scores = writer.emit("Mul", writer.emit("MatMul", q, k), writer.like(node, scale))
    if bias:
        scores = writer.emit("Add", scores, writer.plain(bias[0]))
    if is_causal:
        seen = _causal(writer, node, query, key, offset)
        scores = writer.emit("Where", seen, scores, writer.like(node, _UNSEEN))
    scores = writer.emit("Max", scores, writer.like(node, _UNSEEN)) if bias else scores
    weights = writer.emit("Softmax", scores, axis=-1)
    if bias or offset < 0:
        weights = writer.emit("Mul", weights, _sees_any(writer, node, scores))
    return writer.emit("Transpose", writer.emit("MatMul", weights, v), perm=[0, 2, 1, 3])


def _causal(writer: Writer, node: Recorded, query: Recorded, key: Recorded, offset: int) -> str:
    """Which query sees which key."""
    sizes = [(q[1], k[1]) for q, k in zip(query.shapes, key.shapes)]
    if sizes[0] == sizes[1]:
        return writer.constant(np.tri(*sizes[0], offset, dtype=bool))
    square = writer.emit("Expand", writer.ints([1]), writer.shape(node, (sizes[0], sizes[1]), [query, key]))
    lower = writer.emit("Trilu", square, writer.constant(offset, "int64"), upper=0)
    return writer.emit("Cast", lower, to=TYPES["bool"])


def _sees_any(writer: Writer, node: Recorded, scores: str) -> str:
    """1 for a query that sees a key, 0 for one that sees none and gives 0."""
    best = writer.emit("ReduceMax", scores, writer.ints([-1]), keepdims=1)
    sees = writer.emit("Greater", best, writer.like(node, _UNSEEN / 2))
    return writer.emit("Cast", sees, to=TYPES[node.first.dtype.name])
