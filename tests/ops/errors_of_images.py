"""Errors of ops of images: what was called, the class, the whole text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinyres as tr
from tinyres.engine.op import apply
from tinyres.errors import ArgumentError, DTypeError, ShapeError, TinyresError
from tinyres.ops import conv, pooling


def z(*shape: int, dtype: str = "float32") -> tr.Tensor:
    return tr.tensor(np.zeros(shape), dtype=dtype)


IMAGE = (2, 5, 5, 3)

CASES: list[tuple[Callable[[], object], type[TinyresError], str]] = [
    (
        lambda: tr.conv2d(z(28, 28), z(3, 3, 1, 2)),
        ShapeError,
        "[conv2d] images have shape (n, height, width, channels); got (28, 28); add the missing axes, as in "
        "x.reshape(-1, 28, 28, 1)",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3)),
        ShapeError,
        "[conv2d] a kernel has shape (rows, columns, channels / groups, outputs); got (3, 3); reshape it",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 4, 2)),
        ShapeError,
        "[conv2d] the channels of the images must be those of the kernel; got images of shape (2, 5, 5, 3) and a "
        "kernel of shape (3, 3, 4, 2); give 4 channels, or another kernel",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 1, 2), groups=3),
        ShapeError,
        "[conv2d] groups must divide channels and outputs; got 3 groups for 2 outputs; choose a divisor of both",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(7, 3, 3, 2)),
        ShapeError,
        "[conv2d] an image must be at least as large as the window: got images of 5 x 5 for windows of 7 x 3; give "
        'larger images, a smaller window or padding="same"',
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 3, 2), padding=1, dilation=4),
        ShapeError,
        "[conv2d] an image must be at least as large as the window: got images of 5 x 5 with padding 2 x 2 for windows "
        'of 3 x 3 and dilation 4 x 4; give larger images, a smaller window or padding="same"',
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 3, 2), z(3)),
        ShapeError,
        "[conv2d] the bias must have one element per output, shape (2,); got (3,) for a kernel of shape (3, 3, 3, 2); "
        "reshape the bias",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 3, 2), strides=0),
        ArgumentError,
        "[conv2d] strides is a count from 1 on, or one for rows and one for columns; got 0; write 2 or (2, 2)",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 3, 2), dilation=(1, 2, 3)),
        ArgumentError,
        "[conv2d] dilation is a count from 1 on, or one for rows and one for columns; got (1, 2, 3); write 2 or (2, 2)",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 3, 2), padding="full"),
        ArgumentError,
        '[conv2d] padding is "valid", "same", a number of pixels from 0 on, or ((top, bottom), (left, right)); got '
        "'full'; choose one of them",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 3, 2), padding=-1),
        ArgumentError,
        '[conv2d] padding is "valid", "same", a number of pixels from 0 on, or ((top, bottom), (left, right)); got -1; '
        "choose one of them",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 3, 2), groups=0),
        ArgumentError,
        "[conv2d] groups is a count from 1 on; got 0; leave it out for one",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE), z(3, 3, 3, 2), activation="tanh"),
        ArgumentError,
        "[conv2d] the fused activation is None or \"relu\"; got 'tanh'; apply another one to the output",
    ),
    (
        lambda: tr.conv2d(z(*IMAGE, dtype="int64"), z(3, 3, 3, 2)),
        DTypeError,
        '[conv2d_without_bias] takes float Tensors; got int64 of shape (2, 5, 5, 3); use .astype("float32")',
    ),
    (
        lambda: tr.conv2d_transpose(z(*IMAGE), z(3, 3, 2, 3), strides=2, output_padding=2),
        ShapeError,
        "[conv2d_transpose] output_padding is below the strides; got 2 for strides 2; give less, or leave it out",
    ),
    (
        lambda: tr.conv2d_transpose(z(*IMAGE), z(3, 3, 2, 3), activation="tanh"),
        ArgumentError,
        "[conv2d_transpose] the fused activation is None or \"relu\"; got 'tanh'; apply another one to the output",
    ),
    (
        lambda: apply(conv.CONV2D_TO_INPUT, (z(2, 4, 4, 2), z(3, 3, 3, 2)), (5, 5, 3, 3, 1, 1, 0, 0, 0, 0, 1, 1, 1)),
        ShapeError,
        "[conv2d_to_input] y must have shape (n, 3, 3, channels); got (2, 4, 4, 2); give such",
    ),
    (
        lambda: apply(conv.CONV2D_WITHOUT_BIAS, (z(*IMAGE), z(3, 3, 3, 2)), (5, 5, 3, 3, 0, 1, 0, 0, 0, 0, 1, 1, 1), 0),
        ShapeError,
        "[conv2d] taps, strides, dilation and groups are counts from 1 on, padding from 0 on; got Geometry(h=5, w=5, "
        "kh=3, kw=3, sh=0, sw=1, top=0, bottom=0, left=0, right=0, dh=1, dw=1, groups=1); correct them",
    ),
    (
        lambda: apply(conv.CONV2D_WITHOUT_BIAS, (z(*IMAGE), z(3, 3, 3, 2)), (5, 5, 3, 3), 0),
        ShapeError,
        "[conv2d] a geometry is h, w, kh, kw, sh, sw, top, bottom, left, right, dh, dw, groups; got 4 numbers; give 13",
    ),
    (
        lambda: tr.max_pool2d(z(5, 5, 3)),
        ShapeError,
        "[max_pool2d] images have shape (n, height, width, channels); got (5, 5, 3); add the missing axes, as in "
        "x.reshape(-1, 28, 28, 1)",
    ),
    (
        lambda: tr.average_pool2d(z(*IMAGE), 7),
        ShapeError,
        "[average_pool2d] an image must be at least as large as the window: got images of 5 x 5 for windows of 7 x 7; "
        'give larger images, a smaller window or padding="same"',
    ),
    (
        lambda: tr.max_pool2d(z(*IMAGE), 2, padding=2),
        ArgumentError,
        "[max_pool2d] padding is below the window, else one has no pixel; got 2 for pool_size (2, 2); give less",
    ),
    (
        lambda: tr.upsample2d(z(*IMAGE), 0),
        ArgumentError,
        "[upsample2d] size is a count from 1 on, or one for rows and one for columns; got 0; write 2 or (2, 2)",
    ),
    (
        lambda: apply(pooling.SUM_POOL2D, (z(*IMAGE),), (5, 5, 2, 2, 2, 2, 0, 0, 0, 0, 2, 1, 1), True),
        ShapeError,
        "[sum_pool2d] windows of pooling have neighbouring pixels and no groups; got Geometry(h=5, w=5, kh=2, kw=2, "
        "sh=2, sw=2, top=0, bottom=0, left=0, right=0, dh=2, dw=1, groups=1); leave both at 1",
    ),
]
