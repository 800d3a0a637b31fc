"""What `dense` and `conv2d` share, a product with a kernel + bias: ReLU as a flag of the kernel, and the fast VJP."""

from __future__ import annotations

from typing import Annotated

from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer
from tinyres.engine.attributes import OneOf
from tinyres.engine.op import Context, Gradients
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.record import RELU, Kernel
from tinyres.launch import Launch, launch_list

Activated = Annotated[int, OneOf((0, RELU))]  # the last attribute of such an op
Product = tuple[Kernel, tuple[int, ...], int]  # the kernel of a gradient, its sizes and flags


def activated(op: str, activation: str | None) -> int:
    """The flag of an activation that the kernel computes; ArgumentError for one that it does not."""
    if activation is None:
        return 0
    if activation != "relu":
        raise ArgumentError(
            f'[{op}] the fused activation is None or "relu"; got {activation!r}; apply another one to the output'
        )
    return RELU


def is_activated(*attrs: int) -> bool:
    """Whether an op of these attrs rectifies."""
    return bool(attrs[-1] & RELU)


def affine_fast_vjp(
    g: Tensor, ctx: Context, x: Tensor, kernel: Tensor, through_kernel: Product, through_x: Product
) -> Gradients:
    """The gradients of x (through the kernel), of the kernel (through x) and of the bias, as one list of calls.

    The last axis of the kernel are the outputs. through_kernel reads (gradient, kernel), through_x (x, gradient); what
    else they take is absent.
    """
    needs, dtype = ctx.needs, x.dtype
    dy, to_x, to_kernel, to_bias = g.buffer, None, None, None
    calls: list[Launch] = []
    if ctx.attrs[-1] & RELU:
        dy = Buffer(g.buffer.size, dtype)
        calls.append((kernels.relu_grad, (dy,), (g.buffer, ctx.output.buffer), (dy.size,), (), 0))
    if needs[0]:
        to_x = Tensor(Buffer(x.buffer.size, dtype), x.shape, dtype)
        wanted, sizes, flags = through_kernel
        calls.append((wanted, (to_x.buffer,), (dy, kernel.buffer, ABSENT, ABSENT), sizes, (), flags))
    if needs[1]:
        to_kernel = Tensor(Buffer(kernel.buffer.size, dtype), kernel.shape, dtype)
        wanted, sizes, flags = through_x
        operands = (x.buffer, dy, ABSENT, ABSENT)[: len(wanted.ins)]
        calls.append((wanted, (to_kernel.buffer,), operands, sizes, (), flags))
    if len(needs) == 2:
        launch_list(calls)
        return to_x, to_kernel
    if needs[2]:
        outputs = kernel.shape[-1]
        to_bias = Tensor(Buffer(outputs, dtype), (outputs,), dtype)
        calls.append((kernels.sum, (to_bias.buffer,), (dy,), (1, dy.size // max(outputs, 1), outputs), (1.0,), 0))
    launch_list(calls)
    return to_x, to_kernel, to_bias
