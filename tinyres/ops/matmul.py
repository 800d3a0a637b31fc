"""Matrix products: `matmul` of matrices, vectors and batches of them, and `dense`, x @ kernel + bias with a ReLU.

Transposes are flags of the kernel, in forward and in both gradients: nothing is ever copied to turn it around.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Annotated, NamedTuple

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer, Window
from tinyres.engine.attributes import OneOf
from tinyres.engine.layout import Shape, contiguous_strides, merged_axes
from tinyres.engine.op import Context, Fans, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands, sum_to
from tinyres.engine.tensor import Tensor
from tinyres.errors import ShapeError
from tinyres.kernels.record import RELU, TRANSPOSE_A, TRANSPOSE_B
from tinyres.launch import launch
from tinyres.ops.affine import Activated, activated, affine_fast_vjp, is_activated
from tinyres.ops.arithmetic import mul
from tinyres.ops.elementwise import relu_grad
from tinyres.ops.movement import reshape
from tinyres.ops.reduction import sum

_Turned = Annotated[int, OneOf((0, TRANSPOSE_A, TRANSPOSE_B, TRANSPOSE_A | TRANSPOSE_B))]


Starts = tuple[int, int, int]


class _Product(NamedTuple):
    """A product of Tensors as products of matrices (m, k) @ (k, n).

    sizes, flags: the kernel's. starts: where in a, b and out its matrices begin, in elements, for each call of several;
    none where one matrix is multiplied by another.
    """

    shape: Shape
    sizes: tuple[int, ...]
    flags: int
    starts: tuple[Starts, ...] = ()


@functools.lru_cache(maxsize=1024)
def _product(a: Shape, b: Shape, flags: int) -> _Product:
    if not a or not b:
        raise ShapeError(f"[matmul] each input must have at least one axis; got {a} @ {b}; multiply by a number with *")
    flags &= ~((TRANSPOSE_A if len(a) == 1 else 0) | (TRANSPOSE_B if len(b) == 1 else 0))
    left, right = a if len(a) > 1 else (1, *a), b if len(b) > 1 else (*b, 1)
    m, k = left[-2:] if not flags & TRANSPOSE_A else (left[-1], left[-2])
    inner, n = right[-2:] if not flags & TRANSPOSE_B else (right[-1], right[-2])
    if k != inner:
        turned = " after transposing" if flags else ""
        raise ShapeError(
            "[matmul] the last dimension of the left input must equal the first of the right: "
            f"got {(m, k)} @ {(inner, n)}{turned}; transpose or reshape one of them"
        )
    lead = _common_lead(left[:-2], right[:-2], a, b)
    shape = (*lead, *((m,) if len(a) > 1 else ()), *((n,) if len(b) > 1 else ()))
    if math.prod(right[:-2]) == 1 and not flags & TRANSPOSE_A:  # one matrix on the right: all rows in one product
        return _Product(shape, (math.prod(lead) * m, n, k), flags)
    if math.prod(lead) == 1:
        return _Product(shape, (m, n, k), flags)
    lines = m if flags & TRANSPOSE_A else k, k if flags & TRANSPOSE_B else n, n
    steps = zip(lead, _steps(left[:-2], lead, m * k), _steps(right[:-2], lead, k * n), _steps(lead, lead, m * n))
    sizes, starts = _batch(merged_axes(steps), lines)
    return _Product(shape, (m, n, k, *sizes), flags, starts)


def _batch(axes: list[tuple[int, ...]], lines: tuple[int, int, int]) -> tuple[tuple[int, ...], tuple[Starts, ...]]:
    """Matrices along these axes (size, steps in a, b and out) as calls over the last two of them: sizes, and starts."""
    *more, outer, inner = [(1, 0, 0, 0), (1, 0, 0, 0), *axes]
    starts: list[Starts] = [(0, 0, 0)]
    for size, *steps in more:
        starts = [(a + i * steps[0], b + i * steps[1], out + i * steps[2]) for a, b, out in starts for i in range(size)]
    steps_of_each = [
        step for of_outer, of_inner, line in zip(outer[1:], inner[1:], lines) for step in (of_outer, of_inner, line)
    ]
    return (outer[0], inner[0], *steps_of_each), tuple(starts)


def _common_lead(left: Shape, right: Shape, a: Shape, b: Shape) -> Shape:
    try:
        return np.broadcast_shapes(left, right)
    except ValueError:
        raise ShapeError(
            "[matmul] the axes before the last two must broadcast, each pair of sizes equal or one of them 1; "
            f"got {a} @ {b}; reshape one of them"
        ) from None


def _steps(own: Shape, lead: Shape, size: int) -> list[int]:
    """How far matrices of `size` elements are apart along each axis of `lead`, to which their axes `own` broadcast."""
    strides = [0 if n == 1 else stride * size for n, stride in zip(own, contiguous_strides(own))]
    return [0] * (len(lead) - len(own)) + strides


def _matmul_shape(a: Tensor, b: Tensor, flags: _Turned) -> Shape:
    if len(a.shape) != 2 or len(b.shape) != 2:
        return _product(a.shape, b.shape, flags).shape
    m, k = a.shape if not flags & TRANSPOSE_A else (a.shape[1], a.shape[0])
    inner, n = b.shape if not flags & TRANSPOSE_B else (b.shape[1], b.shape[0])
    return (m, n) if k == inner else _product(a.shape, b.shape, flags).shape


def _matmul_forward(out: Buffer, a: Tensor, b: Tensor, flags: int) -> None:
    if len(a.shape) == 2 == len(b.shape):
        rows, columns = a.shape
        m, k = (columns, rows) if flags & TRANSPOSE_A else (rows, columns)
        n = b.shape[0] if flags & TRANSPOSE_B else b.shape[1]
        launch(kernels.matmul, (out,), (a.buffer, b.buffer, ABSENT, ABSENT), (m, n, k), (), flags)
        return
    product = _product(a.shape, b.shape, flags)
    if not product.starts:
        launch(kernels.matmul, (out,), (a.buffer, b.buffer, ABSENT, ABSENT), product.sizes, (), product.flags)
    for start in product.starts:
        left, right, to = (_from(buffer, at) for buffer, at in zip((a.buffer, b.buffer, out), start))
        launch(kernels.matmul_batch, (to,), (left, right), product.sizes, (), product.flags)


def _from(whole: Buffer, start: int) -> Buffer:
    return whole if start == 0 else Window(whole, start * whole.dtype.itemsize, whole.size - start, whole.dtype)


def _matmul_vjp(g: Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    (flags,) = ctx.attrs
    turn_a, turn_b = bool(flags & TRANSPOSE_A), bool(flags & TRANSPOSE_B)
    if len(a.shape) != 2 or len(b.shape) != 2:
        return _batched_vjp(g, a, b, turn_a, turn_b, ctx.needs)
    to_a = to_b = None
    if ctx.needs[0]:
        to_a = matmul(b, g, turn_b, True) if turn_a else matmul(g, b, False, not turn_b)
    if ctx.needs[1]:
        to_b = matmul(g, a, True, turn_a) if turn_b else matmul(a, g, not turn_a, False)
    return to_a, to_b


def _batched_vjp(g: Tensor, a: Tensor, b: Tensor, turn_a: bool, turn_b: bool, needs: tuple[bool, ...]) -> Gradients:
    """Vectors as matrices; a matrix that many products shared gets the sum, in one product where rows can be joined."""
    shapes = a.shape, b.shape
    if len(a.shape) == 1:
        a, turn_a = reshape(a, (1, -1)), False
        g = reshape(g, (*g.shape[:-1], 1, g.shape[-1]) if len(b.shape) > 1 else (1, 1))
    if len(b.shape) == 1:
        b, turn_b = reshape(b, (-1, 1)), False
        g = g if len(shapes[0]) == 1 else reshape(g, (*g.shape, 1))
    to_a = to_b = None
    if needs[0]:
        to_a = matmul(b, g, turn_b, True) if turn_a else matmul(g, b, False, not turn_b)
        to_a = reshape(sum_to(to_a, a.shape), shapes[0])
    if needs[1]:
        if len(b.shape) == 2 and not turn_a:
            a, g = _joined_rows(a), _joined_rows(g)
        to_b = matmul(g, a, True, turn_a) if turn_b else matmul(a, g, not turn_a, False)
        to_b = reshape(sum_to(to_b, b.shape), shapes[1])
    return to_a, to_b


def _joined_rows(x: Tensor) -> Tensor:
    return reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_fans(a: Shape, b: Shape, flags: int) -> tuple[Fans | None, Fans | None]:
    fans_a = a[::-1] if not flags & TRANSPOSE_A else a
    fans_b = b if not flags & TRANSPOSE_B else b[::-1]
    return (fans_a if len(a) == 2 else None), (fans_b if len(b) == 2 else None)  # type: ignore[return-value]


MATMUL = Op(
    "matmul",
    shape=_matmul_shape,
    forward=_matmul_forward,
    vjp=_matmul_vjp,
    saves=(0, 1),
    multiplies=True,
    fans=_matmul_fans,
)


def matmul(a: Operand, b: Operand, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """The matrix product a @ b: (m, k) and (k, n) give (m, n).

    Axes before the last two are a batch of matrices and broadcast, (..., m, k) @ (..., k, n) is (..., m, n); a vector
    is a row on the left and a column on the right, and its axis goes, as in np.matmul.
    transpose_a, transpose_b: take the last two axes of that input turned around, without copying it.
    Raises ShapeError where the sizes do not agree, or for an input without axes.

    >>> import tinyres as tr
    >>> tr.matmul(tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]]), transpose_b=True)
    Tensor([[11.]], shape=(1, 1), dtype=float32)
    >>> tr.matmul(tr.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), tr.tensor([1.0, 10.0]))
    Tensor([[21.],
            [43.]], shape=(2, 1), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    flags = TRANSPOSE_A if transpose_a else 0
    return apply(MATMUL, (a, b), flags | TRANSPOSE_B if transpose_b else flags)


def dot(a: Operand, b: Operand) -> Tensor:
    """The product as np.dot has it: of vectors the sum of products, of matrices a @ b, with a number the multiple.

    Raises ShapeError where a is multiplied by a b of more than 2 axes: write tr.einsum.

    >>> import tinyres as tr
    >>> tr.dot(tr.tensor([1.0, 2.0]), tr.tensor([3.0, 4.0]))
    Tensor(11., shape=(), dtype=float32)
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        a, b = as_operands(a, b)
    if not a.shape or not b.shape:
        return mul(a, b)
    if len(b.shape) > 2:
        raise ShapeError(
            f"[dot] the right input has 2 axes at most; got {a.shape} and {b.shape}; use tr.matmul or tr.einsum"
        )
    return matmul(a, b)


def _dense_shape(x: Tensor, kernel: Tensor, bias: Tensor, flags: Activated) -> Shape:
    shape = _dense_without_bias_shape(x, kernel, flags)
    if bias.shape != (shape[-1],):
        raise ShapeError(
            f"[dense] the bias must have one element per unit, shape {(shape[-1],)}; got {bias.shape} for a kernel "
            f"of shape {kernel.shape}; reshape the bias"
        )
    return shape


def _dense_without_bias_shape(x: Tensor, kernel: Tensor, flags: Activated) -> Shape:
    if len(kernel.shape) != 2 or len(x.shape) < 2:
        raise ShapeError(
            "[dense] the input must have shape (..., features) with at least 2 axes, the kernel (features, units); "
            f"got {x.shape} and {kernel.shape}; reshape them"
        )
    if x.shape[-1] != kernel.shape[0]:
        raise ShapeError(
            "[dense] the last axis of the input must equal the first of the kernel (the features): "
            f"got {x.shape} @ {kernel.shape}; give {kernel.shape[0]} features, or build the layer for {x.shape[-1]}"
        )
    return (*x.shape[:-1], kernel.shape[1])


def _dense_forward(out: Buffer, x: Tensor, kernel: Tensor, bias: Tensor, flags: int) -> None:
    k, n = kernel.shape
    rows = x.shape[0] if len(x.shape) == 2 else out.size // max(n, 1)
    launch(kernels.matmul, (out,), (x.buffer, kernel.buffer, bias.buffer, ABSENT), (rows, n, k), (), flags)


def _dense_without_bias_forward(out: Buffer, x: Tensor, kernel: Tensor, flags: int) -> None:
    k, n = kernel.shape
    rows = x.shape[0] if len(x.shape) == 2 else out.size // max(n, 1)
    launch(kernels.matmul, (out,), (x.buffer, kernel.buffer, ABSENT, ABSENT), (rows, n, k), (), flags)


def _dense_vjp(g: Tensor, ctx: Context) -> Gradients:
    x, kernel, *_ = ctx.inputs
    needs, shape = ctx.needs, x.shape
    if ctx.attrs[0] & RELU:
        g = relu_grad(g, ctx.output)
    if len(shape) != 2:
        g, x = reshape(g, (-1, kernel.shape[1])), reshape(x, (-1, kernel.shape[0]))
    to_x = matmul(g, kernel, transpose_b=True) if needs[0] else None
    if to_x is not None and len(shape) != 2:
        to_x = reshape(to_x, shape)
    to_kernel = matmul(x, g, transpose_a=True) if needs[1] else None
    if len(needs) == 2:
        return to_x, to_kernel
    return to_x, to_kernel, sum(g, 0) if needs[2] else None


def _dense_fast_vjp(g: Tensor, ctx: Context) -> Gradients:
    x, kernel, *_ = ctx.inputs
    features, units = kernel.shape
    rows = g.buffer.size // max(units, 1)
    through_kernel = kernels.matmul, (rows, features, units), TRANSPOSE_B
    through_x = kernels.matmul, (features, units, rows), TRANSPOSE_A
    return affine_fast_vjp(g, ctx, x, kernel, through_kernel, through_x)


def _dense_fans(x: Shape, kernel: Shape, *rest: object) -> tuple[Fans | None, ...]:
    return None, (kernel[0], kernel[1]), None


DENSE = Op(
    "dense",
    shape=_dense_shape,
    forward=_dense_forward,
    vjp=_dense_vjp,
    fast_vjp=_dense_fast_vjp,
    saves=(0, 1),
    reads_output=True,
    multiplies=True,
    rectifies=is_activated,
    fans=_dense_fans,
)
DENSE_WITHOUT_BIAS = replace(
    DENSE, name="dense_without_bias", shape=_dense_without_bias_shape, forward=_dense_without_bias_forward
)


def dense(x: Operand, kernel: Operand, bias: Operand | None = None, activation: str | None = None) -> Tensor:
    """x @ kernel + bias, and ReLU on top if asked for, in one kernel.

    x: (..., features), at least 2 axes. kernel: (features, units). bias: (units,). activation: None or "relu".
    Raises ShapeError where these do not fit, ArgumentError for another activation.

    >>> import tinyres as tr
    >>> tr.dense(tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, -3.0], [1.0, -1.0]]), tr.tensor([1.0, 1.0]), "relu")
    Tensor([[6., 0.]], shape=(1, 2), dtype=float32)
    """
    flags = activated("dense", activation)
    if bias is None:
        if not isinstance(x, Tensor) or not isinstance(kernel, Tensor):
            x, kernel = as_operands(x, kernel)
        return apply(DENSE_WITHOUT_BIAS, (x, kernel), flags)
    if not isinstance(x, Tensor) or not isinstance(kernel, Tensor) or not isinstance(bias, Tensor):
        x, kernel, bias = as_operands(x, kernel, bias)
    return apply(DENSE, (x, kernel, bias), flags)
