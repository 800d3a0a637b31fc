"""Shape rules and forwards that many ops share: one kernel over same-shaped or broadcast inputs."""

from __future__ import annotations

from collections.abc import Callable

from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape, broadcast_shapes, launch_broadcast
from tinyres.engine.op import Context, Gradients
from tinyres.engine.tensor import Tensor
from tinyres.errors import ShapeError
from tinyres.kernels.record import Kernel
from tinyres.launch import launch


def same_shape(x: Tensor) -> Shape:
    """The output has the shape of the input."""
    return x.shape


def same_shapes(name: str) -> Callable[..., Shape]:
    """The shape rule of an op `name` whose two inputs have one shape, which is the output's."""

    def shape(a: Tensor, b: Tensor) -> Shape:
        return equal_shapes(name, a, b)

    return shape


def equal_shapes(name: str, a: Tensor, b: Tensor) -> Shape:
    """The shape of both. Raises ShapeError, which names the op, if they differ."""
    if a.shape != b.shape:
        raise ShapeError(f"[{name}] the inputs must have one shape; got {a.shape} and {b.shape}; reshape one of them")
    return a.shape


def unary(kernel: Kernel) -> Callable[..., None]:
    """A forward that runs `kernel` once over all elements; numbers among the op's attrs are the kernel's scalars."""

    def forward(out: Buffer, x: Tensor, *scalars: float) -> None:
        launch(kernel, (out,), (x.buffer,), (out.size,), scalars)

    return forward


def pairwise(kernel: Kernel) -> Callable[..., None]:
    """As `unary`, for two inputs of the same shape."""

    def forward(out: Buffer, a: Tensor, b: Tensor, *scalars: float) -> None:
        launch(kernel, (out,), (a.buffer, b.buffer), (out.size,), scalars)

    return forward


def broadcast(name: str) -> Callable[..., Shape]:
    """The shape rule of an op `name` whose two inputs broadcast against each other."""

    def shape(a: Tensor, b: Tensor) -> Shape:
        return broadcast_shapes(name, a.shape, b.shape)

    return shape


def binary(kernel: Kernel) -> Callable[..., None]:
    """A forward that runs `kernel` over two inputs, broadcast against each other; an attr is the kernel's flags."""

    def forward(out: Buffer, a: Tensor, b: Tensor, flags: int = 0) -> None:
        if a.shape == b.shape:
            launch(kernel, (out,), (a.buffer, b.buffer), (1, out.size), (), flags)
        else:
            launch_broadcast(kernel, out, broadcast_shapes(kernel.name, a.shape, b.shape), (a, b), flags)

    return forward


def zero_gradient(g: Tensor, ctx: Context) -> Gradients:
    """The VJP of what is constant between its jumps: no cotangent for any input."""
    return (None,) * len(ctx.needs)
