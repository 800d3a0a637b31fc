"""Products of matrices, with a bias and a ReLU where the op has them."""

from __future__ import annotations

from tinyres.kernels.record import RELU, TRANSPOSE_A, TRANSPOSE_B
from tinyres.onnx.recording import Recorded
from tinyres.onnx.writer import Writer
from tinyres.onnx.writing.table import writes

Inputs = list[Recorded]


@writes("dense", "dense_without_bias")
def _dense(writer: Writer, node: Recorded, inputs: Inputs, flags: int) -> str:
    x, kernel, *bias = [writer.plain(each) for each in inputs]
    if bias and len(node.first.shape) == 2:
        name = writer.emit("Gemm", x, kernel, *bias)
    else:
        name = writer.emit("MatMul", x, kernel)
        name = writer.emit("Add", name, *bias) if bias else name
    return writer.emit("Relu", name) if flags & RELU else name


@writes("matmul")
def _matmul(writer: Writer, node: Recorded, inputs: Inputs, flags: int) -> str:
    a, b = inputs
    return writer.emit("MatMul", _turned(writer, a, flags & TRANSPOSE_A), _turned(writer, b, flags & TRANSPOSE_B))


def _turned(writer: Writer, x: Recorded, wanted: int) -> str:
    ndim = len(x.first.shape)
    if not wanted or ndim < 2:
        return writer.plain(x)
    return writer.emit("Transpose", writer.plain(x), perm=[*range(ndim - 2), ndim - 1, ndim - 2])


@writes("contract")
def _contract(writer: Writer, node: Recorded, inputs: Inputs, of_a: str, of_b: str, order: str) -> str:
    a, b = (writer.plain(x) for x in inputs)
    return writer.emit("Einsum", a, b, equation=f"{of_a},{of_b}->{order}")
