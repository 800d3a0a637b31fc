"""Convolution of images and its two gradients: x [n, h, w, c] (NHWC), kernel [kh, kw, c / groups, o] (HWIO).

y[i, oy, ox] = sum over taps of x[i, oy * sh - top + ky * dh, ox * sw - left + kx * dw] @ kernel[ky, kx], with zeros
beside the image. Each output channel belongs to one of the groups and sees the input channels of that group.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinyres.kernels.forms import PRODUCT, Epilogues
from tinyres.kernels.record import ACCUMULATE, RELU, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED

Index = tuple[Any, ...]

_SIZES = "n h w c kh kw o oh ow sh sw top left dh dw groups"
_WORK = "n oh ow o kh kw c"


class _Sizes(NamedTuple):
    """The sizes of a convolution, as all three kernels take them."""

    n: int
    h: int
    w: int
    c: int
    kh: int
    kw: int
    o: int
    oh: int
    ow: int
    sh: int
    sw: int
    top: int
    left: int
    dh: int
    dw: int
    groups: int

    @property
    def x(self) -> tuple[int, ...]:
        return self.n, self.h, self.w, self.c

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.kh, self.kw, self.c // self.groups, self.o

    @property
    def y(self) -> tuple[int, ...]:
        return self.n, self.oh, self.ow, self.o

    def taps(self) -> Iterator[tuple[Index, Index, Index]]:
        """Of each tap and group its place in the kernel, what it reads of x, and the part of y that it goes to."""
        c, o, whole = self.c // self.groups, self.o // self.groups, slice(None)
        for ky, kx, i in itertools.product(range(self.kh), range(self.kw), range(self.groups)):
            rows_of_x, rows = _seen(self.h, self.oh, self.sh, ky * self.dh - self.top)
            columns_of_x, columns = _seen(self.w, self.ow, self.sw, kx * self.dw - self.left)
            inputs, outputs = slice(i * c, (i + 1) * c), slice(i * o, (i + 1) * o)
            at_x = whole, rows_of_x, columns_of_x, inputs
            yield (ky, kx, whole, outputs), at_x, (whole, rows, columns, outputs)


def _seen(size: int, outputs: int, stride: int, shift: int) -> tuple[slice, slice]:
    """The positions i * stride + shift that lie in an image of this size, and the outputs i that read them."""
    first = max(-(shift // stride), 0)
    end = max(min((size - 1 - shift) // stride + 1, outputs), first)
    start = first * stride + shift
    return slice(start, start + (end - first) * stride, stride) if end > first else slice(0, 0), slice(first, end)


def _finish(out: Array, result: Array, bias: Array, mask: Array, flags: int) -> None:
    """The result to its place, through the epilogues of a product."""
    out = out.reshape(result.shape)
    out[...] = out + result if flags & ACCUMULATE else result
    if bias is not None:
        out += bias
    if flags & RELU:
        np.maximum(out, 0, out=out)
    if mask is not None:
        out[mask.reshape(out.shape) <= 0] = 0


@kernel(
    "f",
    "ffff",
    _SIZES,
    form=PRODUCT,
    sharing=UNDIVIDED,
    work=_WORK,
    epilogues=Epilogues(relu=True, accumulate=True, depth="kh kw c", bias="bias", mask="mask"),
)
def conv2d(y: Array, x: Array, kernel: Array, bias: Array, mask: Array, *sizes: int, flags: int) -> None:
    """The convolution (+ bias[o]); at last 0 where mask, of the shape of y, is not above 0. Both may be absent."""
    size = _Sizes(*sizes)
    x, kernel, result = x.reshape(size.x), kernel.reshape(size.kernel), np.zeros(size.y, x.dtype)
    for tap, at_x, at_y in size.taps():
        result[at_y] += x[at_x] @ kernel[tap]
    _finish(y, result, bias, mask, flags)


@kernel(
    "f",
    "ffff",
    _SIZES,
    form=PRODUCT,
    sharing=UNDIVIDED,
    work=_WORK,
    epilogues=Epilogues(relu=True, accumulate=True, depth="kh kw o", bias="bias", mask="mask"),
)
def conv2d_to_input(dx: Array, dy: Array, kernel: Array, bias: Array, mask: Array, *sizes: int, flags: int) -> None:
    """The gradient of `conv2d` to x: each pixel of dy goes back to those it was made of. bias[c], mask as in conv2d."""
    size = _Sizes(*sizes)
    dy, kernel, result = dy.reshape(size.y), kernel.reshape(size.kernel), np.zeros(size.x, dy.dtype)
    for tap, at_x, at_y in size.taps():
        result[at_x] += dy[at_y] @ kernel[tap].T
    _finish(dx, result, bias, mask, flags)


@kernel(
    "f",
    "ff",
    _SIZES,
    form=PRODUCT,
    sharing=UNDIVIDED,
    work=_WORK,
    epilogues=Epilogues(accumulate=True, depth="n oh ow"),
)
def conv2d_to_kernel(dkernel: Array, x: Array, dy: Array, *sizes: int, flags: int) -> None:
    """The gradient of `conv2d` to the kernel."""
    size = _Sizes(*sizes)
    x, dy, result = x.reshape(size.x), dy.reshape(size.y), np.zeros(size.kernel, x.dtype)
    for tap, at_x, at_y in size.taps():
        result[tap] = np.tensordot(x[at_x], dy[at_y], axes=((0, 1, 2), (0, 1, 2)))
    _finish(dkernel, result, None, None, flags)
