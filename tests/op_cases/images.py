"""Rows of convolutions, their gradients, and pooling: each against a sum over windows, written out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import tinyres as tr
from tinyres.engine.op import apply
from tinyres.kernels.random import uniform
from tinyres.kernels.record import ALIKE, FLIP_COLUMNS, FLIP_ROWS
from tinyres.ops import augmentation, conv, pooling
from tinyres.ops.geometry import Geometry

from .case import Case


def windows(x: np.ndarray, g: Geometry, value: float = 0.0) -> np.ndarray:
    """(n, oh, ow, kh, kw, channels): what each window sees."""
    around = ((0, 0), (g.top, g.bottom), (g.left, g.right), (0, 0))
    x = np.pad(x, around, constant_values=value)
    seen = np.lib.stride_tricks.sliding_window_view(x, (g.dh * (g.kh - 1) + 1, g.dw * (g.kw - 1) + 1), (1, 2))
    return np.moveaxis(seen[:, :: g.sh, :: g.sw, :, :: g.dh, :: g.dw], 3, 5)


def np_conv2d(x: np.ndarray, kernel: np.ndarray, g: Geometry) -> np.ndarray:
    seen, outputs = windows(x, g), kernel.shape[3] // g.groups
    parts = []
    for i in range(g.groups):
        own = seen[..., i * kernel.shape[2] : (i + 1) * kernel.shape[2]]
        parts.append(np.einsum("nyxijc,ijco->nyxo", own, kernel[..., i * outputs : (i + 1) * outputs]))
    return np.concatenate(parts, -1)


def np_to_input(y: np.ndarray, kernel: np.ndarray, g: Geometry) -> np.ndarray:
    """The transpose of the matrix that the convolution is."""
    shape = (y.shape[0], g.h, g.w, kernel.shape[2] * g.groups)
    units = np.eye(int(np.prod(shape[1:]))).reshape(-1, *shape[1:])
    return np.einsum("uyxo,nyxo->nu", np_conv2d(units, kernel, g), y).reshape(shape)


def np_to_kernel(x: np.ndarray, y: np.ndarray, g: Geometry) -> np.ndarray:
    shape = (g.kh, g.kw, x.shape[3] // g.groups, y.shape[3])
    units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.array([np.sum(np_conv2d(x, unit, g) * y) for unit in units]).reshape(shape)


def convolved(**options: Any) -> tuple[Callable[..., tr.Tensor], Callable[..., np.ndarray]]:
    """conv2d with these options, and what it is."""

    def oracle(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | float = 0.0) -> np.ndarray:
        chosen = {key: value for key, value in options.items() if key != "activation"}
        y = np_conv2d(x, kernel, geometry(x.shape, kernel.shape, **chosen)) + bias
        return np.maximum(y, 0) if options.get("activation") else y

    return functools.partial(tr.conv2d, **options), oracle


def geometry(x: Any, kernel: Any, strides: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: int = 1) -> Any:
    return conv._geometry("conv2d", x, kernel, strides, padding, dilation, groups)


def gradient(op: Any, oracle: Callable[..., np.ndarray], g: Geometry) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return (lambda *inputs: apply(op, inputs, g)), (lambda *arrays: oracle(*arrays, g))


def pooled(
    run: Callable[..., tr.Tensor], reduce: Callable[..., np.ndarray], fill: float, **options: Any
) -> tuple[Callable[..., tr.Tensor], Callable[..., np.ndarray]]:
    """A pooling with these options, and what it is; where there is no pixel stands `fill`."""

    def oracle(x: np.ndarray) -> np.ndarray:
        g = pooling._geometry("pool", x.shape, options["pool_size"], options.get("strides"), options["padding"])
        return reduce(windows(x, g, fill), axis=(3, 4))

    return functools.partial(run, **options), oracle


def picked(values: np.ndarray, x: np.ndarray, g: Geometry) -> np.ndarray:
    """What stands in `values` where windows of x have their maximum."""
    n, h, w, _, _, c = windows(x, g).shape
    seen = windows(values, g).reshape(n, h, w, -1, c), windows(x, g, -np.inf).reshape(n, h, w, -1, c)
    return np.take_along_axis(seen[0], seen[1].argmax(3)[:, :, :, None], 3)[:, :, :, 0]


def np_pool_grad(y: np.ndarray, x: np.ndarray, g: Geometry) -> np.ndarray:
    units = np.eye(x[0].size).reshape(-1, *x.shape[1:])
    own = [picked(units, np.broadcast_to(image, units.shape), g) for image in x]
    return np.array([np.einsum("uyxc,yxc->u", *pair) for pair in zip(own, y)]).reshape(x.shape)


def np_window(x: np.ndarray, height: int, width: int, flags: int) -> np.ndarray:
    """What a generator of seed 7 draws: four numbers an image say where its window is, and how it is read."""
    found = np.empty((len(x), height, width, x.shape[3]))
    for i, image in enumerate(x):
        top, left, upside, mirrored = uniform(np.array([7, 0 if flags & ALIKE else 4 * i]), 4)
        top, left = int(top * (x.shape[1] - height + 1)), int(left * (x.shape[2] - width + 1))
        window = image[top : top + height, left : left + width]
        window = window[::-1] if flags & FLIP_ROWS and upside >= 0.5 else window
        found[i] = window[:, ::-1] if flags & FLIP_COLUMNS and mirrored >= 0.5 else window
    return found


def np_unwindow(y: np.ndarray, shape: tuple[int, ...], flags: int) -> np.ndarray:
    units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.array([np.sum(np_window(unit, *y.shape[1:3], flags) * y) for unit in units]).reshape(shape)


def drawn(op: Any, oracle: Callable[..., np.ndarray], *attrs: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def run(x: Any) -> tr.Tensor:
        return apply(op, (x,), *attrs, tr.Generator(7).key(4 * x.shape[0]))

    return run, lambda x: oracle(x, *attrs)


_POOLED = pooling._geometry("pool", (2, 4, 5, 3), (2, 3), (2, 1), ((1, 0), (1, 1)))
_PLAIN = geometry((2, 5, 4, 3), (3, 2, 3, 4), padding="same")
_STRIDED = geometry((1, 6, 5, 2), (3, 3, 1, 4), strides=(2, 3), padding=((1, 0), (2, 1)), groups=2)
_SPREAD = geometry((1, 7, 7, 2), (3, 3, 2, 2), strides=2, padding=2, dilation=2)

CASES = [
    Case(
        "conv2d",
        *convolved(padding="same"),
        (((2, 4, 5, 3), (3, 3, 3, 2), (2,)), ((1, 1, 1, 1), (1, 1, 1, 1), (1,)), ((0, 3, 3, 2), (3, 3, 2, 1), (1,))),
        bench=((8, 32, 32, 16), (3, 3, 16, 16), (16,)),
    ),
    Case(
        "conv2d",
        *convolved(padding="same", activation="relu"),
        (((2, 4, 5, 3), (3, 3, 3, 2), (2,)),),
        bench=((8, 16, 16, 32), (3, 3, 32, 32), (32,)),
    ),
    Case(
        "conv2d_without_bias",
        *convolved(),
        (((2, 4, 5, 3), (2, 3, 3, 2)), ((1, 3, 3, 2), (3, 3, 2, 5)), ((1, 2, 2, 1), (1, 1, 1, 3))),
        bench=((8, 8, 8, 64), (3, 3, 64, 64)),
    ),
    Case(
        "conv2d_without_bias",
        *convolved(padding="same", activation="relu"),
        (((1, 4, 4, 2), (3, 3, 2, 3)),),
    ),
    Case(
        "conv2d_without_bias",
        *convolved(strides=(2, 3), padding="same"),
        (((1, 5, 7, 2), (3, 2, 2, 3)), ((1, 2, 2, 2), (5, 5, 2, 1)), ((1, 6, 6, 2), (1, 1, 2, 3))),
        bench=((8, 32, 32, 16), (3, 3, 16, 32)),
    ),
    Case("conv2d_without_bias", *convolved(padding=((2, 0), (1, 3))), (((1, 3, 3, 2), (3, 3, 2, 2)),)),
    Case("conv2d_without_bias", *convolved(padding=2, dilation=(2, 1)), (((1, 5, 4, 2), (3, 3, 2, 2)),)),
    Case(
        "conv2d_without_bias",
        *convolved(groups=2, padding="same"),
        (((1, 3, 4, 4), (3, 2, 2, 6)),),
        bench=((4, 16, 16, 32), (3, 3, 16, 32)),
    ),
    Case(
        "conv2d_without_bias",
        *convolved(groups=3, padding="same", strides=2),
        (((2, 4, 5, 3), (3, 3, 1, 3)),),
    ),
    Case(
        "conv2d_without_bias",
        *convolved(groups=5, padding="same"),
        (((1, 3, 3, 5), (2, 3, 1, 5)),),
        bench=((4, 16, 16, 5), (3, 3, 1, 5)),
    ),
    Case(
        "conv2d_to_input",
        *gradient(conv.CONV2D_TO_INPUT, np_to_input, _PLAIN),
        (((2, 5, 4, 4), (3, 2, 3, 4)),),
    ),
    Case("conv2d_to_input", *gradient(conv.CONV2D_TO_INPUT, np_to_input, _STRIDED), (((1, 3, 2, 4), (3, 3, 1, 4)),)),
    Case("conv2d_to_input", *gradient(conv.CONV2D_TO_INPUT, np_to_input, _SPREAD), (((1, 4, 4, 2), (3, 3, 2, 2)),)),
    Case("conv2d_to_kernel", *gradient(conv.CONV2D_TO_KERNEL, np_to_kernel, _PLAIN), (((2, 5, 4, 3), (2, 5, 4, 4)),)),
    Case("conv2d_to_kernel", *gradient(conv.CONV2D_TO_KERNEL, np_to_kernel, _STRIDED), (((1, 6, 5, 2), (1, 3, 2, 4)),)),
    Case("conv2d_to_kernel", *gradient(conv.CONV2D_TO_KERNEL, np_to_kernel, _SPREAD), (((1, 7, 7, 2), (1, 4, 4, 2)),)),
    Case(
        "max_pool2d",
        *pooled(tr.max_pool2d, np.max, -np.inf, pool_size=2, padding="valid"),
        (((2, 4, 5, 3),), ((1, 2, 2, 1),), ((0, 2, 2, 1),)),
        bench=((8, 32, 32, 32),),
    ),
    Case(
        "max_pool2d",
        *pooled(tr.max_pool2d, np.max, -np.inf, pool_size=3, strides=2, padding="same"),
        (((2, 5, 6, 3),), ((1, 1, 1, 2),)),
        bench=((8, 32, 32, 32),),
    ),
    Case("max_pool2d_grad", *gradient(pooling.MAX_POOL2D_GRAD, np_pool_grad, _POOLED), (((2, 2, 5, 3), (2, 4, 5, 3)),)),
    Case("max_pool2d_pick", *gradient(pooling.MAX_POOL2D_PICK, picked, _POOLED), (((2, 4, 5, 3), (2, 4, 5, 3)),)),
    Case(
        "sum_pool2d",
        *pooled(tr.average_pool2d, np.nanmean, np.nan, pool_size=(2, 3), padding="same"),
        (((2, 5, 4, 3),), ((1, 1, 1, 1),)),
        bench=((8, 32, 32, 32),),
    ),
    Case(
        "sum_pool2d",
        *pooled(tr.average_pool2d, np.mean, 0.0, pool_size=3, strides=1, padding="valid"),
        (((1, 4, 5, 2),),),
    ),
    Case(
        "spread2d",
        lambda x: tr.upsample2d(x, (2, 3)),
        lambda x: x.repeat(2, 1).repeat(3, 2),
        (((2, 3, 2, 3),), ((1, 1, 1, 1),)),
        bench=((8, 16, 16, 32),),
    ),
    Case(
        "random_window",
        *drawn(augmentation.RANDOM_WINDOW, np_window, 3, 2, FLIP_ROWS | FLIP_COLUMNS),
        (((9, 4, 5, 2),), ((1, 3, 2, 1),), ((0, 3, 2, 1),)),
    ),
    Case(
        "random_window",
        *drawn(augmentation.RANDOM_WINDOW, np_window, 28, 28, ALIKE),
        (((2, 32, 30, 1),),),
        bench=((32, 32, 32, 3),),
    ),
    Case(
        "random_window_grad",
        *drawn(augmentation.RANDOM_WINDOW_GRAD, np_unwindow, (4, 5, 4, 2), FLIP_ROWS | FLIP_COLUMNS),
        (((4, 3, 2, 2),),),
    ),
]
