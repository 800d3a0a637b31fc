"""Geometry: where the windows of a convolution or a pooling lie in an image, in numbers that any op can be given.

An op of images takes one Geometry, so that its gradients take the same one. `window_geometry` reads what users write:
strides, padding, dilation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyres.engine.layout import Shape
from tinyres.errors import ArgumentError, ShapeError

Pairs = int | Sequence[int]
Padding = str | int | Sequence[Any]


class Geometry(NamedTuple):
    """Windows of kh x kw taps over an image of h x w pixels.

    The windows are sh, sw apart, their taps dh, dw; around the image stand rows and columns that are no pixels. groups:
    of channels that see only one another.
    """

    h: int
    w: int
    kh: int
    kw: int
    sh: int
    sw: int
    top: int
    bottom: int
    left: int
    right: int
    dh: int
    dw: int
    groups: int

    @property
    def oh(self) -> int:
        """Rows of windows."""
        return (self.h + self.top + self.bottom - self.dh * (self.kh - 1) - 1) // self.sh + 1

    @property
    def ow(self) -> int:
        """Columns of windows."""
        return (self.w + self.left + self.right - self.dw * (self.kw - 1) - 1) // self.sw + 1

    @property
    def met(self) -> float:
        """How many pairs of a window and a tap meet a pixel."""
        rows = _met(self.h, self.oh, self.sh, self.top, self.kh, self.dh)
        return rows * _met(self.w, self.ow, self.sw, self.left, self.kw, self.dw)


@functools.lru_cache(maxsize=1024)
def _met(size: int, windows: int, stride: int, before: int, taps: int, apart: int) -> int:
    if taps > windows:  # the two are alike: what stands at place i · stride + j · apart
        windows, stride, taps, apart = taps, apart, windows, stride
    first = before - np.arange(taps) * apart
    last = np.minimum((first + size - 1) // stride, windows - 1)
    return int(np.maximum(last - np.maximum(-(-first // stride), 0) + 1, 0).sum())


@functools.lru_cache(maxsize=1024)
def judged(op: str, geometry: tuple[int, ...]) -> Geometry:
    """The Geometry in these numbers, which may come from a file.

    Raises ShapeError for what is none: windows without taps, or larger than the image with what stands around it.
    """
    names = Geometry._fields
    if len(geometry) != len(names):
        raise ShapeError(f"[{op}] a geometry is {', '.join(names)}; got {len(geometry)} numbers; give {len(names)}")
    g = Geometry(*geometry)
    least = Geometry(0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1)
    if any(given < low or given > 1 << 31 for given, low in zip(g, least)):
        raise ShapeError(
            f"[{op}] taps, strides, dilation and groups are counts from 1 on, padding from 0 on; got {g}; correct them"
        )
    if g.oh < 1 or g.ow < 1:
        size = f"{g.h} x {g.w}" + (f" with padding {g.top + g.bottom} x {g.left + g.right}" if sum(g[6:10]) else "")
        spread = f" and dilation {g.dh} x {g.dw}" if g.dh * g.dw > 1 else ""
        raise ShapeError(
            f"[{op}] an image must be at least as large as the window: got images of {size} for windows of "
            f'{g.kh} x {g.kw}{spread}; give larger images, a smaller window or padding="same"'
        )
    return g


def window_geometry(
    op: str,
    image: Shape,
    window: tuple[int, int],
    strides: Pairs | None,
    padding: Padding,
    dilation: Pairs = 1,
    groups: int = 1,
) -> Geometry:
    """The Geometry of windows over images of shape (n, h, w, channels), from what users write.

    strides: one for rows and columns, or one for each; None: the size of the window. padding: "valid" for none, "same"
    for as many windows as pixels over stride, the odd row and column below and right, as in Keras; a number of rows and
    columns on each side, or ((top, bottom), (left, right)).
    Raises ArgumentError for what cannot be read, ShapeError for images smaller than the window.
    """
    hashable = _hashable(strides), _hashable(padding), _hashable(dilation)
    return _window_geometry(op, image, tuple(window), *hashable, groups)


def _hashable(given: Any) -> Any:
    """Lists and arrays as tuples, so that what has been read once is found again."""
    if isinstance(given, np.ndarray):
        given = given.tolist()
    return tuple(map(_hashable, given)) if isinstance(given, (list, tuple)) else given


@functools.lru_cache(maxsize=1024)
def _window_geometry(
    op: str, image: Shape, window: tuple[int, int], strides: Any, padding: Any, dilation: Any, groups: int
) -> Geometry:
    if len(image) != 4:
        raise ShapeError(
            f"[{op}] images have shape (n, height, width, channels); got {image}; add the missing axes, as in "
            "x.reshape(-1, 28, 28, 1)"
        )
    h, w = image[1:3]
    if h is None or w is None:
        raise ShapeError(
            f"[{op}] height and width must be known; got {image}; give them, as in tr.Input(shape=(32, 32, 3))"
        )
    sh, sw = window if strides is None else pair(op, "strides", strides)
    dh, dw = pair(op, "dilation", dilation)
    kh, kw = window
    if padding == "same":
        top, bottom = _same(h, sh, dh * (kh - 1) + 1)
        left, right = _same(w, sw, dw * (kw - 1) + 1)
    elif padding == "valid":
        top = bottom = left = right = 0
    else:
        (top, bottom), (left, right) = sides(op, padding)
    return judged(op, (h, w, kh, kw, sh, sw, top, bottom, left, right, dh, dw, groups))


def pair(op: str, what: str, given: Any) -> tuple[int, int]:
    """(rows, columns) from one count for both or one for each; ArgumentError for what is no count from 1 on."""
    numbers = np.asarray(given)
    if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (1,), (2,)) or numbers.min() < 1:
        raise ArgumentError(
            f"[{op}] {what} is a count from 1 on, or one for rows and one for columns; got {given!r}; write 2 or (2, 2)"
        )
    rows, columns = np.broadcast_to(numbers, 2).tolist()
    return rows, columns


def sides(op: str, given: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)) from a number for all, one for rows and one for columns, or all four."""
    try:
        numbers = np.asarray(given)
        if numbers.dtype.kind not in "iu" or numbers.min() < 0:
            raise ValueError
        if numbers.shape == (2,):
            numbers = numbers[:, None]
        (top, bottom), (left, right) = np.broadcast_to(numbers, (2, 2)).tolist()
    except ValueError:
        raise ArgumentError(
            f'[{op}] padding is "valid", "same", a number of pixels from 0 on, or ((top, bottom), (left, right)); got '
            f"{given!r}; choose one of them"
        ) from None
    return (top, bottom), (left, right)


def _same(size: int, stride: int, window: int) -> tuple[int, int]:
    """Before and after, so that there is a window per `stride` pixels: the odd one after."""
    padding = max((-(-size // stride) - 1) * stride + window - size, 0)
    return padding // 2, padding - padding // 2
