"""Pooling of images [n, h, w, c] over windows of kh x kw pixels to [n, oh, ow, c]: maxima, sums, and their gradients.

Window (oy, ox) begins at row oy * sh - top and column ox * sw - left, and has those of its pixels that lie in the
image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinyres.kernels.forms import REDUCTION
from tinyres.kernels.record import MEAN, Array, kernel
from tinyres.kernels.sharing import Columns

_SIZES = "n h w c kh kw oh ow sh sw top left"
_WORK = "n oh ow c kh kw"
_Pixels = tuple[slice, slice, slice]


def _windows(sizes: tuple[int, ...]) -> Iterator[tuple[int, int, _Pixels]]:
    """Every window, and which pixels of all images it has."""
    _, h, w, _, kh, kw, oh, ow, sh, sw, top, left = sizes
    for oy in range(oh):
        for ox in range(ow):
            y, x = oy * sh - top, ox * sw - left
            rows, columns = slice(max(y, 0), max(min(y + kh, h), 0)), slice(max(x, 0), max(min(x + kw, w), 0))
            yield oy, ox, (slice(None), rows, columns)


def _image(array: Array, sizes: tuple[int, ...]) -> Array:
    n, h, w, c = sizes[:4]
    return array.reshape(n, h, w, c)


def _pooled(array: Array, sizes: tuple[int, ...]) -> Array:
    n, _, _, c, _, _, oh, ow = sizes[:8]
    return array.reshape(n, oh, ow, c)


def _first(window: Array) -> Array:
    """Where the first maximum of each channel of a window is, NaN being one: one True per image and channel."""
    n, h, w, c = window.shape
    pixels = window.reshape(n, h * w, c)
    is_most = (pixels == pixels.max(axis=1, keepdims=True, initial=-np.inf)) | np.isnan(pixels)
    return (is_most & (np.cumsum(is_most, axis=1) == 1)).reshape(window.shape)


@kernel("f", "f", _SIZES, form=REDUCTION, sharing=Columns("c"), work=_WORK)
def pool_max(y: Array, x: Array, *sizes: int, flags: int) -> None:
    """The maximum of each window; -inf where it has no pixel."""
    x, y = _image(x, sizes), _pooled(y, sizes)
    for oy, ox, pixels in _windows(sizes):
        y[:, oy, ox] = x[pixels].max(axis=(1, 2), initial=-np.inf)


@kernel("f", "ff", _SIZES, form=REDUCTION, sharing=Columns("c"), work=_WORK)
def pool_max_grad(dx: Array, g: Array, x: Array, *sizes: int, flags: int) -> None:
    """The gradient of `pool_max`: all of it to the first maximum of each window, which is found again."""
    dx, x = _image(dx, sizes), _image(x, sizes)
    g = _pooled(g, sizes)
    dx[...] = 0
    for oy, ox, pixels in _windows(sizes):
        dx[pixels] += np.where(_first(x[pixels]), g[:, oy, ox].reshape(_one(g)), 0)


def _one(pooled: Array) -> tuple[int, ...]:
    """The shape of one pixel of each image."""
    return pooled.shape[0], 1, 1, pooled.shape[3]


@kernel("f", "ff", _SIZES, form=REDUCTION, sharing=Columns("c"), work=_WORK)
def pool_max_pick(picked: Array, values: Array, x: Array, *sizes: int, flags: int) -> None:
    """The transpose of `pool_max_grad`: of each window the value that stands where x has its first maximum."""
    values, x = _image(values, sizes), _image(x, sizes)
    picked = _pooled(picked, sizes)
    for oy, ox, pixels in _windows(sizes):
        picked[:, oy, ox] = np.where(_first(x[pixels]), values[pixels], 0).sum(axis=(1, 2))


@kernel("f", "f", _SIZES, form=REDUCTION, sharing=Columns("c"), work=_WORK)
def pool_sum(y: Array, x: Array, *sizes: int, flags: int) -> None:
    """The sum over each window; with MEAN over the number of its pixels."""
    x, y = _image(x, sizes), _pooled(y, sizes)
    for oy, ox, pixels in _windows(sizes):
        y[:, oy, ox] = x[pixels].sum(axis=(1, 2)) * _share(x[pixels], flags)


@kernel("f", "f", _SIZES, form=REDUCTION, sharing=Columns("c"), work=_WORK)
def pool_spread(x: Array, y: Array, *sizes: int, flags: int) -> None:
    """The transpose of `pool_sum`: to each pixel what the windows that have it bring."""
    x, y = _image(x, sizes), _pooled(y, sizes)
    x[...] = 0
    for oy, ox, pixels in _windows(sizes):
        x[pixels] += y[:, oy, ox].reshape(_one(y)) * _share(x[pixels], flags)


def _share(window: Array, flags: int) -> float:
    return 1 / max(window.shape[1] * window.shape[2], 1) if flags & MEAN else 1.0
