"""Pooling of images: maxima and means over windows, and nearest upsampling, the transpose of a sum over windows."""

from __future__ import annotations

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.record import MEAN
from tinyres.launch import launch
from tinyres.ops.geometry import Geometry, Padding, Pairs, judged, pair, window_geometry


def _sizes(n: int, c: int, g: Geometry) -> tuple[int, ...]:
    """The sizes that all kernels of pooling take."""
    return n, g.h, g.w, c, g.kh, g.kw, g.oh, g.ow, g.sh, g.sw, g.top, g.left


def _checked(op: str, given: tuple[int, ...], x: Shape | None, y: Shape | None) -> Geometry:
    """The geometry, if those shapes that are there fit it and one another."""
    g = judged(op, given)
    if g.groups != 1 or g.dh != 1 or g.dw != 1:
        raise ShapeError(f"[{op}] windows of pooling have neighbouring pixels and no groups; got {g}; leave both at 1")
    for what, shape, sizes in (("x", x, (g.h, g.w)), ("y", y, (g.oh, g.ow))):
        if shape is not None and (len(shape) != 4 or shape[1:3] != sizes):
            raise ShapeError(
                f"[{op}] {what} must have shape (n, {sizes[0]}, {sizes[1]}, channels); got {shape}; give such"
            )
    if x is not None and y is not None and (x[0], x[3]) != (y[0], y[3]):
        raise ShapeError(f"[{op}] x and y must have the same images and channels; got {x} and {y}; give the same")
    return g


def _max_shape(x: Tensor, geometry: tuple[int, ...]) -> Shape:
    g = _checked("max_pool2d", geometry, x.shape, None)
    return x.shape[0], g.oh, g.ow, x.shape[3]


def _max_forward(out: Buffer, x: Tensor, geometry: tuple[int, ...]) -> None:
    launch(kernels.pool_max, (out,), (x.buffer,), _sizes(x.shape[0], x.shape[3], Geometry(*geometry)))


def _max_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(MAX_POOL2D_GRAD, (g, *ctx.inputs), *ctx.attrs),)


MAX_POOL2D = Op("max_pool2d", shape=_max_shape, forward=_max_forward, vjp=_max_vjp, saves=(0,))


def _max_grad_shape(g: Tensor, x: Tensor, geometry: tuple[int, ...]) -> Shape:
    _checked("max_pool2d_grad", geometry, x.shape, g.shape)
    return x.shape


def _max_grad_forward(out: Buffer, g: Tensor, x: Tensor, geometry: tuple[int, ...]) -> None:
    sizes = _sizes(x.shape[0], x.shape[3], Geometry(*geometry))
    launch(kernels.pool_max_grad, (out,), (g.buffer, x.buffer), sizes)


def _max_grad_vjp(c: Tensor, ctx: Context) -> Gradients:
    """Which tap is the maximum does not change with x."""
    return apply(MAX_POOL2D_PICK, (c, ctx.inputs[1]), *ctx.attrs) if ctx.needs[0] else None, None


MAX_POOL2D_GRAD = Op("max_pool2d_grad", shape=_max_grad_shape, forward=_max_grad_forward, vjp=_max_grad_vjp, saves=(1,))


def _pick_shape(values: Tensor, x: Tensor, geometry: tuple[int, ...]) -> Shape:
    g = _checked("max_pool2d_pick", geometry, x.shape, None)
    if values.shape != x.shape:
        raise ShapeError(
            f"[max_pool2d_pick] values are picked by an x of their shape; got {values.shape}, {x.shape}; give one"
        )
    return x.shape[0], g.oh, g.ow, x.shape[3]


def _pick_forward(out: Buffer, values: Tensor, x: Tensor, geometry: tuple[int, ...]) -> None:
    sizes = _sizes(x.shape[0], x.shape[3], Geometry(*geometry))
    launch(kernels.pool_max_pick, (out,), (values.buffer, x.buffer), sizes)


def _pick_vjp(c: Tensor, ctx: Context) -> Gradients:
    return apply(MAX_POOL2D_GRAD, (c, ctx.inputs[1]), *ctx.attrs) if ctx.needs[0] else None, None


MAX_POOL2D_PICK = Op("max_pool2d_pick", shape=_pick_shape, forward=_pick_forward, vjp=_pick_vjp, saves=(1,))


def _sum_shape(x: Tensor, geometry: tuple[int, ...], mean: bool) -> Shape:
    g = _checked("sum_pool2d", geometry, x.shape, None)
    return x.shape[0], g.oh, g.ow, x.shape[3]


def _sum_forward(out: Buffer, x: Tensor, geometry: tuple[int, ...], mean: bool) -> None:
    sizes = _sizes(x.shape[0], x.shape[3], Geometry(*geometry))
    launch(kernels.pool_sum, (out,), (x.buffer,), sizes, (), MEAN if mean else 0)


def _sum_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(SPREAD2D, (g,), *ctx.attrs),)


SUM_POOL2D = Op("sum_pool2d", shape=_sum_shape, forward=_sum_forward, vjp=_sum_vjp)


def _spread_shape(y: Tensor, geometry: tuple[int, ...], mean: bool) -> Shape:
    g = _checked("spread2d", geometry, None, y.shape)
    return y.shape[0], g.h, g.w, y.shape[3]


def _spread_forward(out: Buffer, y: Tensor, geometry: tuple[int, ...], mean: bool) -> None:
    sizes = _sizes(y.shape[0], y.shape[3], Geometry(*geometry))
    launch(kernels.pool_spread, (out,), (y.buffer,), sizes, (), MEAN if mean else 0)


def _spread_vjp(c: Tensor, ctx: Context) -> Gradients:
    return (apply(SUM_POOL2D, (c,), *ctx.attrs),)


SPREAD2D = Op("spread2d", shape=_spread_shape, forward=_spread_forward, vjp=_spread_vjp)


def max_pool2d(x: Operand, pool_size: Pairs = 2, strides: Pairs | None = None, padding: Padding = "valid") -> Tensor:
    """The maximum of each window of an image, per channel; its gradient goes to the first maximum.

    x: (n, height, width, channels). pool_size: rows and columns of a window. strides: how many pixels the windows are
    apart; None: pool_size. padding: as in `conv2d`, of nothing instead of zeros. Gives (n, rows of windows, columns of
    windows, channels). Raises ShapeError for images smaller than a window, ArgumentError for what is no option.

    >>> import tinyres as tr
    >>> image = tr.tensor([[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 0.0, 1.0]]).reshape(1, 2, 4, 1)
    >>> tr.max_pool2d(image).numpy().reshape(-1).tolist()
    [5.0, 2.0]
    """
    (x,) = as_operands(x)
    return apply(MAX_POOL2D, (x,), _geometry("max_pool2d", x.shape, pool_size, strides, padding))


def average_pool2d(
    x: Operand, pool_size: Pairs = 2, strides: Pairs | None = None, padding: Padding = "valid"
) -> Tensor:
    """The mean of each window of an image, per channel, over those of its pixels that lie in the image.

    x: (n, height, width, channels). The rest is as in `max_pool2d`. Raises ShapeError and ArgumentError as that does.

    >>> import tinyres as tr
    >>> image = tr.tensor([[1.0, 5.0, 2.0], [3.0, 3.0, 0.0]]).reshape(1, 2, 3, 1)
    >>> tr.average_pool2d(image, padding="same").numpy().reshape(-1).tolist()
    [3.0, 1.0]
    """
    (x,) = as_operands(x)
    return apply(SUM_POOL2D, (x,), _geometry("average_pool2d", x.shape, pool_size, strides, padding), True)


def upsample2d(x: Operand, size: Pairs = 2) -> Tensor:
    """Each pixel of an image as `size` rows and columns of it: nearest upsampling.

    x: (n, height, width, channels). size: one number, or one for rows and one for columns. Raises ShapeError for what
    are no images, ArgumentError for sizes below 1.

    >>> import tinyres as tr
    >>> tr.upsample2d(tr.tensor([[1.0, 2.0]]).reshape(1, 1, 2, 1), (1, 2)).numpy().reshape(-1).tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    (x,) = as_operands(x)
    one = window_geometry("upsample2d", x.shape, (1, 1), 1, "valid")
    rows, columns = pair("upsample2d", "size", size)
    larger = 0, one.h * rows, one.w * columns, 0
    return apply(SPREAD2D, (x,), window_geometry("upsample2d", larger, (rows, columns), None, "valid"), False)


def _geometry(op: str, image: Shape, pool_size: Pairs, strides: Pairs | None, padding: Padding) -> Geometry:
    window = pair(op, "pool_size", pool_size)
    g = window_geometry(op, image, window, strides, padding)
    if max(g.top, g.bottom) >= g.kh or max(g.left, g.right) >= g.kw:
        raise ArgumentError(
            f"[{op}] padding is below the window, else one has no pixel; got {padding!r} for pool_size {window}; "
            "give less"
        )
    return g
