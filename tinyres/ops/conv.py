"""Convolution of images: `conv2d` and its two gradients, whose gradients are one another.

Images are (n, height, width, channels), kernels (rows, columns, channels / groups, outputs), as Keras has them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Fans, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.record import RELU
from tinyres.launch import launch
from tinyres.ops.affine import Activated, activated, affine_fast_vjp, is_activated
from tinyres.ops.arithmetic import add
from tinyres.ops.elementwise import relu, relu_grad
from tinyres.ops.geometry import Geometry, Padding, Pairs, judged, pair, sides, window_geometry
from tinyres.ops.reduction import sum


def _sizes(n: int, c: int, o: int, g: Geometry) -> tuple[int, ...]:
    """The sizes that all three kernels take."""
    return (n, g.h, g.w, c, g.kh, g.kw, o, g.oh, g.ow, g.sh, g.sw, g.top, g.left, g.dh, g.dw, g.groups)


def _checked(op: str, given: tuple[int, ...], x: Shape | None, kernel: Shape | None, y: Shape | None) -> Geometry:
    """The geometry, if those shapes that are there fit it and one another."""
    g = judged(op, given)
    for what, shape, sizes in (("x", x, (g.h, g.w)), ("y", y, (g.oh, g.ow))):
        if shape is not None and (len(shape) != 4 or shape[1:3] != sizes):
            raise ShapeError(
                f"[{op}] {what} must have shape (n, {sizes[0]}, {sizes[1]}, channels); got {shape}; give such"
            )
    if kernel is not None and (len(kernel) != 4 or kernel[:2] != (g.kh, g.kw)):
        raise ShapeError(
            f"[{op}] the kernel must have shape ({g.kh}, {g.kw}, channels / groups, outputs); got {kernel}; give such"
        )
    if x is not None and y is not None and x[0] != y[0]:
        raise ShapeError(f"[{op}] x and y must have as many images; got {x} and {y}; give as many")
    _check_channels(op, g.groups, x, kernel, y)
    return g


def _check_channels(op: str, groups: int, x: Shape | None, kernel: Shape | None, y: Shape | None) -> None:
    if x is not None and kernel is not None and x[3] != kernel[2] * groups:
        by = f" times {groups} groups" if groups > 1 else ""
        raise ShapeError(
            f"[{op}] the channels of the images must be those of the kernel{by}; got images of shape {x} and a kernel "
            f"of shape {kernel}; give {kernel[2] * groups} channels, or another kernel"
        )
    for what, shape in (("channels", x), ("outputs", kernel), ("outputs", y)):
        if shape is not None and shape[3] % groups:
            raise ShapeError(
                f"[{op}] groups must divide channels and outputs; got {groups} groups for {shape[3]} {what}; choose a "
                "divisor of both"
            )
    if kernel is not None and y is not None and kernel[3] != y[3]:
        raise ShapeError(f"[{op}] y must have the outputs of the kernel; got {y} and {kernel}; give as many")


def _conv2d_shape(x: Tensor, kernel: Tensor, bias: Tensor, geometry: tuple[int, ...], flags: Activated) -> Shape:
    shape = _without_bias_shape(x, kernel, geometry, flags)
    if bias.shape != shape[3:]:
        raise ShapeError(
            f"[conv2d] the bias must have one element per output, shape {shape[3:]}; got {bias.shape} for a kernel of "
            f"shape {kernel.shape}; reshape the bias"
        )
    return shape


def _without_bias_shape(x: Tensor, kernel: Tensor, geometry: tuple[int, ...], flags: Activated) -> Shape:
    g = _checked("conv2d", geometry, x.shape, kernel.shape, None)
    return x.shape[0], g.oh, g.ow, kernel.shape[3]


def _conv2d_forward(
    out: Buffer, x: Tensor, kernel: Tensor, bias: Tensor, geometry: tuple[int, ...], flags: int
) -> None:
    sizes = _sizes(x.shape[0], x.shape[3], kernel.shape[3], Geometry(*geometry))
    launch(kernels.conv2d, (out,), (x.buffer, kernel.buffer, bias.buffer, ABSENT), sizes, (), flags)


def _without_bias_forward(out: Buffer, x: Tensor, kernel: Tensor, geometry: tuple[int, ...], flags: int) -> None:
    sizes = _sizes(x.shape[0], x.shape[3], kernel.shape[3], Geometry(*geometry))
    launch(kernels.conv2d, (out,), (x.buffer, kernel.buffer, ABSENT, ABSENT), sizes, (), flags)


def _conv2d_vjp(g: Tensor, ctx: Context) -> Gradients:
    x, kernel, *_ = ctx.inputs
    needs, (geometry, flags) = ctx.needs, ctx.attrs
    if flags & RELU:
        g = relu_grad(g, ctx.output)
    to_x = apply(CONV2D_TO_INPUT, (g, kernel), geometry) if needs[0] else None
    to_kernel = apply(CONV2D_TO_KERNEL, (x, g), geometry) if needs[1] else None
    if len(needs) == 2:
        return to_x, to_kernel
    return to_x, to_kernel, sum(g, (0, 1, 2)) if needs[2] else None


def _conv2d_fast_vjp(g: Tensor, ctx: Context) -> Gradients:
    x, kernel, *_ = ctx.inputs
    sizes = _sizes(x.shape[0], x.shape[3], kernel.shape[3], Geometry(*ctx.attrs[0]))
    through_kernel, through_x = (kernels.conv2d_to_input, sizes, 0), (kernels.conv2d_to_kernel, sizes, 0)
    return affine_fast_vjp(g, ctx, x, kernel, through_kernel, through_x)


def _conv2d_fans(x: Shape, kernel: Shape, *rest: Any) -> tuple[Fans | None, ...]:
    field, groups = kernel[0] * kernel[1], Geometry(*rest[-2]).groups
    return None, (field * kernel[2], field * kernel[3] // groups), None


def _conv2d_coverage(geometry: tuple[int, ...], *flags: Any) -> float:
    """Taps beyond the border meet nothing."""
    g = Geometry(*geometry)
    return g.met / (g.oh * g.ow * g.kh * g.kw)


CONV2D = Op(
    "conv2d",
    shape=_conv2d_shape,
    forward=_conv2d_forward,
    vjp=_conv2d_vjp,
    fast_vjp=_conv2d_fast_vjp,
    saves=(0, 1),
    reads_output=True,
    multiplies=True,
    rectifies=is_activated,
    fans=_conv2d_fans,
    coverage=_conv2d_coverage,
)
CONV2D_WITHOUT_BIAS = replace(
    CONV2D, name="conv2d_without_bias", shape=_without_bias_shape, forward=_without_bias_forward
)


def _to_input_shape(y: Tensor, kernel: Tensor, geometry: tuple[int, ...]) -> Shape:
    g = _checked("conv2d_to_input", geometry, None, kernel.shape, y.shape)
    return y.shape[0], g.h, g.w, kernel.shape[2] * g.groups


def _to_input_forward(out: Buffer, y: Tensor, kernel: Tensor, geometry: tuple[int, ...]) -> None:
    g = Geometry(*geometry)
    sizes = _sizes(y.shape[0], kernel.shape[2] * g.groups, y.shape[3], g)
    launch(kernels.conv2d_to_input, (out,), (y.buffer, kernel.buffer, ABSENT, ABSENT), sizes)


def _to_input_vjp(c: Tensor, ctx: Context) -> Gradients:
    y, kernel = ctx.inputs
    to_y = apply(CONV2D_WITHOUT_BIAS, (c, kernel), *ctx.attrs, 0) if ctx.needs[0] else None
    return to_y, apply(CONV2D_TO_KERNEL, (c, y), *ctx.attrs) if ctx.needs[1] else None


def _to_input_fans(y: Shape, kernel: Shape, geometry: tuple[int, ...]) -> tuple[Fans | None, ...]:
    field, groups = kernel[0] * kernel[1], Geometry(*geometry).groups
    return None, (field * kernel[3] // groups, field * kernel[2])


def _to_input_coverage(geometry: tuple[int, ...]) -> float:
    """Between the strides a pixel is met by few of the taps."""
    g = Geometry(*geometry)
    return g.met / (g.h * g.w * g.kh * g.kw)


CONV2D_TO_INPUT = Op(
    "conv2d_to_input",
    shape=_to_input_shape,
    forward=_to_input_forward,
    vjp=_to_input_vjp,
    saves=(0, 1),
    multiplies=True,
    fans=_to_input_fans,
    coverage=_to_input_coverage,
)


def _to_kernel_shape(x: Tensor, y: Tensor, geometry: tuple[int, ...]) -> Shape:
    g = _checked("conv2d_to_kernel", geometry, x.shape, None, y.shape)
    return g.kh, g.kw, x.shape[3] // g.groups, y.shape[3]


def _to_kernel_forward(out: Buffer, x: Tensor, y: Tensor, geometry: tuple[int, ...]) -> None:
    sizes = _sizes(x.shape[0], x.shape[3], y.shape[3], Geometry(*geometry))
    launch(kernels.conv2d_to_kernel, (out,), (x.buffer, y.buffer), sizes)


def _to_kernel_vjp(c: Tensor, ctx: Context) -> Gradients:
    x, y = ctx.inputs
    to_x = apply(CONV2D_TO_INPUT, (y, c), *ctx.attrs) if ctx.needs[0] else None
    return to_x, apply(CONV2D_WITHOUT_BIAS, (x, c), *ctx.attrs, 0) if ctx.needs[1] else None


CONV2D_TO_KERNEL = Op(
    "conv2d_to_kernel",
    shape=_to_kernel_shape,
    forward=_to_kernel_forward,
    vjp=_to_kernel_vjp,
    saves=(0, 1),
    multiplies=True,
)


def conv2d(
    x: Operand,
    kernel: Operand,
    bias: Operand | None = None,
    strides: Pairs = 1,
    padding: Padding = "valid",
    dilation: Pairs = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Tensor:
    """Each pixel's window of an image times a kernel, + bias, and ReLU on top if asked for, in one kernel.

    x: (n, height, width, channels). kernel: (rows, columns, channels / groups, outputs). bias: (outputs,).
    strides: how many pixels the windows are apart; dilation: their taps; a number, or one for rows and one for columns.
    padding: of zeros: "valid" (none), "same" (as many windows as pixels over stride, the odd row and column below and
    right, as in Keras), a number of pixels on each side, or ((top, bottom), (left, right)). activation: None or "relu".
    Gives (n, rows of windows, columns of windows, outputs). As in all such libraries the kernel is not turned around.
    Raises ShapeError where shapes do not fit, also for images smaller than the kernel, ArgumentError for what is no
    option.

    >>> import tinyres as tr
    >>> image = tr.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).reshape(1, 2, 3, 1)
    >>> tr.conv2d(image, tr.ones((2, 2, 1, 1))).numpy().tolist()
    [[[[12.0], [16.0]]]]
    """
    flags = activated("conv2d", activation)
    operands = as_operands(x, kernel) if bias is None else as_operands(x, kernel, bias)
    geometry = _geometry("conv2d", operands[0].shape, operands[1].shape, strides, padding, dilation, groups)
    op = CONV2D if len(operands) == 3 else CONV2D_WITHOUT_BIAS
    return apply(op, operands, geometry, flags)


def conv2d_transpose(
    x: Operand,
    kernel: Operand,
    bias: Operand | None = None,
    strides: Pairs = 1,
    padding: Padding = "valid",
    dilation: Pairs = 1,
    groups: int = 1,
    activation: str | None = None,
    output_padding: Pairs | None = None,
) -> Tensor:
    """The gradient of `conv2d` to its image, as an operation of its own: it makes images larger by the strides.

    x: (n, height, width, channels). kernel: (rows, columns, outputs / groups, channels), that of the conv2d which goes
    the other way. padding "same" gives strides times the pixels, "valid" room for each window, with numbers so much of
    that is cut off. output_padding: so many rows and columns are added below and right.
    Raises ShapeError where shapes do not fit, ArgumentError for what is no option.

    >>> import tinyres as tr
    >>> tr.conv2d_transpose(tr.ones((1, 1, 2, 1)), tr.ones((1, 3, 1, 1)), strides=(1, 2)).numpy().reshape(-1).tolist()
    [1.0, 1.0, 2.0, 1.0, 1.0]
    """
    flags = activated("conv2d_transpose", activation)
    x, kernel = as_operands(x, kernel)
    image = _grown("conv2d_transpose", x.shape, kernel.shape, strides, padding, dilation, output_padding)
    geometry = _geometry("conv2d_transpose", image, kernel.shape, strides, padding, dilation, groups)
    if (geometry.oh, geometry.ow) != x.shape[1:3]:
        raise ShapeError(
            f"[conv2d_transpose] output_padding is below the strides; got {output_padding!r} for strides {strides!r}; "
            "give less, or leave it out"
        )
    y = apply(CONV2D_TO_INPUT, (x, kernel), geometry)
    y = y if bias is None else add(y, bias)
    return relu(y) if flags & RELU else y


def _grown(
    op: str, x: Shape, kernel: Shape, strides: Pairs, padding: Padding, dilation: Pairs, more: Pairs | None
) -> tuple[Any, ...]:
    """The shape of the image whose convolution has shape x: none is smaller, and with padding "same" or "valid" and
    strides beyond the kernel it is the largest, as in Keras."""
    window_geometry(op, x, (1, 1), 1, 0)  # it has rows and columns
    apart, taps = pair(op, "strides", strides), pair(op, "dilation", dilation)
    grown = []
    added = [0, 0] if more is None else [side[0] for side in sides(op, more)]
    for i, (size, stride, tap, extra) in enumerate(zip(x[1:3], apart, taps, added)):
        window = (kernel[i] - 1) * tap + 1
        if padding == "same":
            least = size * stride if more is None else (size - 1) * stride + window % 2 + extra
        elif padding == "valid":
            least = (size - 1) * stride + (max(window, stride) if more is None else window + extra)
        else:
            before, after = sides(op, padding)[i]
            least = (size - 1) * stride + window - before - after + extra
        grown.append(least)
    return x[0], *grown, 0


def _geometry(
    op: str, x: Shape, kernel: Shape, strides: Pairs, padding: Padding, dilation: Pairs, groups: int
) -> Geometry:
    if len(kernel) != 4:
        raise ShapeError(
            f"[{op}] a kernel has shape (rows, columns, channels / groups, outputs); got {kernel}; reshape it"
        )
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise ArgumentError(f"[{op}] groups is a count from 1 on; got {groups!r}; leave it out for one")
    return window_geometry(op, x, kernel[:2], strides, padding, dilation, groups)
