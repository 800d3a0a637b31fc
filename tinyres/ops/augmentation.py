"""Images changed by chance: windows of them, and mirror images. What is drawn follows from a Generator's key alone."""

from __future__ import annotations

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.tensor import Tensor
from tinyres.errors import ShapeError
from tinyres.kernels.record import ALIKE, FLIP_COLUMNS, FLIP_ROWS
from tinyres.launch import launch
from tinyres.ops.random import Generator

_PER_DRAW = 4  # numbers of the stream
_FLAGS = FLIP_ROWS | FLIP_COLUMNS | ALIKE


def _sizes(image: Shape, window: Shape) -> tuple[int, ...]:
    n, h, w, c = image
    return n, h, w, c, window[1], window[2]


def _window_shape(x: Tensor, height: int, width: int, flags: int, key: Buffer) -> Shape:
    fits = len(x.shape) == 4 and 0 < height <= x.shape[1] and 0 < width <= x.shape[2]
    if not fits or flags & ~_FLAGS:
        raise ShapeError(
            f"[random_window] a window lies within images (n, height, width, channels); got {height} x {width} of "
            f"shape {x.shape}; choose a smaller one"
        )
    return x.shape[0], height, width, x.shape[3]


def _window_forward(out: Buffer, x: Tensor, height: int, width: int, flags: int, key: Buffer) -> None:
    sizes = _sizes(x.shape, (0, height, width))
    launch(kernels.random_window, (out,), (x.buffer, key), sizes, (), flags)


def _window_vjp(g: Tensor, ctx: Context) -> Gradients:
    (shape,), (_, _, flags, key) = ctx.shapes, ctx.attrs
    return (apply(RANDOM_WINDOW_GRAD, (g,), shape, flags, key),)


RANDOM_WINDOW = Op("random_window", shape=_window_shape, forward=_window_forward, vjp=_window_vjp)


def _grad_shape(g: Tensor, shape: Shape, flags: int, key: Buffer) -> Shape:
    fits = len(g.shape) == len(shape) == 4 and (g.shape[0], g.shape[3]) == (shape[0], shape[3])
    if not fits or not 0 < g.shape[1] <= shape[1] or not 0 < g.shape[2] <= shape[2] or flags & ~_FLAGS:
        raise ShapeError(
            f"[random_window_grad] windows lie within images; got windows {g.shape}, images {shape}; give what fits"
        )
    return shape


def _grad_forward(out: Buffer, g: Tensor, shape: Shape, flags: int, key: Buffer) -> None:
    launch(kernels.random_window_grad, (out,), (g.buffer, key), _sizes(shape, g.shape), (), flags)


def _grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    (_, height, width, _), (_, flags, key) = ctx.shapes[0], ctx.attrs
    return (apply(RANDOM_WINDOW, (c,), height, width, flags, key),)


RANDOM_WINDOW_GRAD = Op("random_window_grad", shape=_grad_shape, forward=_grad_forward, vjp=_grad_vjp)


def random_crop(x: Tensor, height: int, width: int, generator: Generator) -> Tensor:
    """A window of height x width pixels at a place that is drawn, the same for all images (n, h, w, channels).

    Raises ShapeError for images that are smaller.

    >>> import tinyres as tr
    >>> random_crop(tr.zeros((8, 32, 32, 3)), 28, 28, tr.Generator(0)).shape
    (8, 28, 28, 3)
    """
    return apply(RANDOM_WINDOW, (x,), height, width, ALIKE, generator.key(_PER_DRAW))


def random_flip(x: Tensor, rows: bool, columns: bool, generator: Generator) -> Tensor:
    """Each image (n, h, w, channels) upside down (rows) and right side left (columns), each with probability 1/2.

    >>> import tinyres as tr
    >>> x = tr.tensor([[[[1.0], [2.0]]]])
    >>> sorted({tuple(random_flip(x, False, True, tr.Generator(i)).numpy().ravel().tolist()) for i in range(9)})
    [(1.0, 2.0), (2.0, 1.0)]
    """
    if len(x.shape) != 4:
        raise ShapeError(f"[random_flip] images are (n, height, width, channels); got {x.shape}; add the missing axes")
    flags = FLIP_ROWS * rows | FLIP_COLUMNS * columns
    return apply(RANDOM_WINDOW, (x,), x.shape[1], x.shape[2], flags, generator.key(_PER_DRAW * x.shape[0]))
