"""Cases of the kernels of images: convolutions, pooling and their gradients at edges of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinyres.kernels.record import ACCUMULATE, MEAN, RELU

from .operands import ULP, Array, Case, floats, poison


class Image(NamedTuple):
    """A convolution: sizes of x and of the kernel, and (before, after) rows and columns of zeros around the image."""

    n: int
    h: int
    w: int
    c: int
    kh: int
    kw: int
    o: int
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, bottom, left, right
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def args(self) -> tuple[int, ...]:
        top, bottom, left, right = self.pad
        oh = (self.h + top + bottom - (self.kh - 1) * self.dilation[0] - 1) // self.stride[0] + 1
        ow = (self.w + left + right - (self.kw - 1) * self.dilation[1] - 1) // self.stride[1] + 1
        sizes = self.n, self.h, self.w, self.c, self.kh, self.kw, self.o, oh, ow
        return (*sizes, *self.stride, top, left, *self.dilation, self.groups)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Elements of x, kernel and y."""
        n, h, w, c, kh, kw, o, oh, ow, *_, groups = self.args
        return n * h * w * c, kh * kw * c // groups * o, n * oh * ow * o


IMAGES = (
    Image(1, 1, 1, 1, 1, 1, 1),
    Image(2, 5, 4, 3, 1, 1, 2),  # a product as it lies
    Image(2, 7, 5, 3, 1, 1, 17, stride=(2, 2)),
    Image(2, 8, 8, 3, 3, 3, 4, pad=(1, 1, 1, 1)),
    Image(3, 5, 5, 1, 3, 3, 1, pad=(1, 1, 1, 1)),  # one channel in and out
    Image(1, 2, 2, 3, 5, 5, 4, pad=(2, 2, 2, 2)),  # a kernel larger than the image
    Image(1, 2, 3, 2, 3, 3, 5, pad=(4, 3, 0, 5)),  # windows of zeros only
    Image(2, 9, 7, 5, 3, 3, 3, stride=(2, 2), pad=(1, 1, 1, 1)),
    Image(2, 8, 8, 4, 3, 3, 6, stride=(2, 2), pad=(0, 1, 0, 1)),  # odd padding
    Image(1, 9, 9, 3, 2, 2, 2, stride=(3, 3)),  # stride over size: rows that nobody sees
    Image(1, 10, 11, 2, 3, 2, 18, stride=(3, 1), pad=(1, 2, 1, 0)),
    Image(1, 22, 20, 3, 7, 7, 64, stride=(2, 2), pad=(3, 3, 3, 3)),
    Image(2, 12, 12, 6, 5, 5, 16),
    Image(1, 1, 40, 8, 1, 5, 24, pad=(0, 0, 2, 2)),
    Image(2, 9, 8, 3, 3, 3, 5, pad=(2, 2, 2, 2), dilation=(2, 2)),
    Image(1, 11, 9, 4, 3, 2, 6, stride=(2, 1), pad=(2, 1, 1, 0), dilation=(2, 3)),
    Image(1, 12, 12, 2, 3, 3, 3, stride=(4, 4), pad=(2, 2, 2, 2), dilation=(2, 2)),
    Image(2, 6, 5, 4, 3, 3, 6, pad=(1, 1, 1, 1), groups=2),
    Image(1, 7, 7, 6, 3, 3, 6, stride=(2, 2), pad=(1, 1, 1, 1), groups=6),  # depthwise
    Image(2, 6, 9, 37, 3, 3, 37, pad=(1, 1, 1, 1), groups=37),
    Image(1, 6, 6, 33, 5, 3, 33, pad=(2, 2, 2, 2), dilation=(2, 2), groups=33),
    Image(1, 6, 6, 3, 3, 3, 6, pad=(1, 1, 1, 1), groups=3),  # depthwise, twice as many outputs
    Image(1, 8, 8, 32, 3, 3, 64, pad=(1, 1, 1, 1), groups=2),
    Image(2, 32, 32, 16, 3, 3, 16, pad=(1, 1, 1, 1)),
    Image(1, 32, 32, 16, 3, 3, 32, stride=(2, 2), pad=(1, 1, 1, 1)),
    Image(2, 8, 8, 64, 3, 3, 65, pad=(1, 1, 1, 1)),  # k in two blocks
    Image(1, 7, 7, 130, 3, 3, 130, pad=(1, 1, 1, 1)),
    Image(0, 5, 5, 2, 3, 3, 2, pad=(1, 1, 1, 1)),
    Image(2, 6, 300, 2, 3, 3, 40, pad=(1, 1, 2, 1)),  # few channels to the input: lines of many products
    Image(1, 40, 6500, 1, 2, 3, 20, stride=(2, 3)),  # more lines than are summed at a time, pixels that nobody sees
    Image(1, 9, 8, 6, 3, 5, 40, pad=(2, 2, 1, 2), dilation=(2, 1), groups=2),
    Image(1, 5, 4, 1, 7, 7, 90, stride=(3, 2), pad=(5, 4, 6, 3)),
)
LARGE_IMAGE = Image(4, 33, 32, 16, 3, 3, 48, pad=(1, 1, 1, 1))


def _products(image: Image, name: str) -> int:
    """How many products an element of the output sums at most."""
    n, _, _, c, kh, kw, o, oh, ow, *_, groups = image.args
    return {"conv2d": kh * kw * c // groups, "conv2d_to_input": kh * kw * o // groups}.get(name, n * oh * ow)


def _conv_case(
    name: str, rng: np.random.Generator, image: Image, flags: int = 0, with_bias: bool = False, with_mask: bool = False
) -> Case:
    x, kernel, y = (floats(rng, size) for size in image.sizes)
    out, ins, features = {
        "conv2d": (y, [x, kernel], image.o),
        "conv2d_to_input": (x, [y, kernel], image.c),
        "conv2d_to_kernel": (kernel, [x, y], 0),
    }[name]
    extra: list[Array | None] = []
    if features:
        mask = np.maximum(floats(rng, out.size), 0) if with_mask else None
        extra = [floats(rng, features) if with_bias else None, mask]
    k = _products(image, name)
    atol = 2.25 * (k + 1) * ULP * (1 + np.sqrt(k)) / 2  # as for matmul
    before = out if flags & ACCUMULATE else poison(out.size)
    return Case(name, [before], [*ins, *extra], image.args, (), flags, 4 * ULP, atol)


def _conv_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for image in IMAGES:
        yield _conv_case(name, rng, image)
        yield _conv_case(name, rng, image, ACCUMULATE)
        if name != "conv2d_to_kernel":
            yield _conv_case(name, rng, image, RELU, with_bias=True)
            yield _conv_case(name, rng, image, ACCUMULATE | RELU, with_bias=True, with_mask=True)


class Pooled(NamedTuple):
    """Pooling: sizes of the images, windows, strides, and rows and columns before the image."""

    n: int
    h: int
    w: int
    c: int
    kh: int
    kw: int
    oh: int
    ow: int
    sh: int
    sw: int
    top: int = 0
    left: int = 0


POOLED = (
    Pooled(1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    Pooled(2, 4, 6, 3, 2, 2, 2, 3, 2, 2),
    Pooled(2, 5, 5, 17, 3, 3, 3, 3, 2, 2, 1, 1),  # windows that overlap, cut at all borders
    Pooled(1, 7, 5, 1, 2, 3, 2, 1, 3, 4),  # stride over size
    Pooled(1, 2, 2, 4, 5, 5, 2, 2, 1, 1, 2, 2),  # windows larger than the image
    Pooled(2, 5, 4, 33, 3, 2, 5, 4, 1, 1, 1, 0),
    Pooled(1, 2, 2, 3, 2, 2, 3, 3, 3, 3, 2, 2),  # windows without a pixel
    Pooled(3, 4, 4, 48, 2, 2, 2, 2, 2, 2),
    Pooled(1, 6, 6, 32, 3, 3, 3, 3, 2, 2),
    Pooled(0, 4, 4, 3, 2, 2, 2, 2, 2, 2),
)
LARGE_POOLED = Pooled(9, 33, 32, 40, 3, 3, 17, 16, 2, 2, 1, 1)


def _pooled_case(name: str, rng: np.random.Generator, sizes: Pooled, flags: int = 0, special: bool = False) -> Case:
    n, h, w, c, kh, kw, oh, ow, *_ = sizes
    x = np.round(floats(rng, n * h * w * c)).astype(np.float32)  # with ties
    if special:
        x = rng.choice(np.array([np.nan, -np.inf, np.inf, 0.0, 1.0], np.float32), x.size)
    y = np.empty(n * oh * ow * c, np.float32)
    g, values = floats(rng, y.size), floats(rng, x.size)
    out, ins = {
        "pool_max": (y, [x]),
        "pool_max_grad": (x, [g, x]),
        "pool_max_pick": (y, [values, x]),
        "pool_sum": (y, [values]),
        "pool_spread": (x, [g]),
    }[name]
    # Sums of up to all taps, each below 3.
    atol = 0.0 if name in ("pool_max", "pool_max_pick") else 3 * kh * kw * (kh * kw + 1) * ULP / 2
    return Case(name, [poison(out.size)], [*ins], tuple(sizes), (), flags, 2 * ULP, atol)


def _pooled_cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for sizes in POOLED:
        yield _pooled_case(name, rng, sizes)
        if name in ("pool_sum", "pool_spread"):
            yield _pooled_case(name, rng, sizes, MEAN)
        else:
            yield _pooled_case(name, rng, sizes, special=True)


_POOLS = ("pool_max", "pool_max_grad", "pool_max_pick", "pool_sum", "pool_spread")
_CONVOLUTIONS = ("conv2d", "conv2d_to_input", "conv2d_to_kernel")
CASES: dict[str, Any] = {**dict.fromkeys(_CONVOLUTIONS, _conv_cases), **dict.fromkeys(_POOLS, _pooled_cases)}
LARGE: dict[str, Any] = {
    **dict.fromkeys(_CONVOLUTIONS, lambda name, rng: _conv_case(name, rng, LARGE_IMAGE)),
    **dict.fromkeys(_POOLS, lambda name, rng: _pooled_case(name, rng, LARGE_POOLED)),
}
