"""Layers that change images by chance in training, so that a net sees more than the data holds; by Keras' names."""

from __future__ import annotations

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Tensor, constant
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.conv import channels_last, count
from tinyres.layers.drawing import Drawing
from tinyres.nn.layer import SingleInput
from tinyres.ops.augmentation import random_crop, random_flip

_MODES = {"horizontal": (False, True), "vertical": (True, False), "horizontal_and_vertical": (True, True)}


class _Augmentation(Drawing, SingleInput):
    """What changes images, all alike in their shape."""

    passes_values = True

    def __init__(self, seed: int | None, data_format: str | None, name: str | None) -> None:
        super().__init__(seed, name)
        self.data_format = channels_last(type(self).__name__, data_format)

    def _images(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ShapeError(
                f"[{type(self).__name__}] {self.path} takes images (n, height, width, channels); got shape {x.shape}; "
                "add the missing axes, as in x[..., None] for one channel"
            )
        return x


class RandomFlip(_Augmentation):
    """In training each image is turned right side left, upside down, or both, by chance; else x.

    mode: "horizontal", "vertical", or "horizontal_and_vertical", where each is drawn by itself; the probability is 1/2.
    seed: for a generator of its own; default: the library's, `tr.manual_seed`. Raises ArgumentError for another mode.

    >>> import tinyres as tr
    >>> tr.layers.RandomFlip("horizontal")(tr.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed, data_format, name)
        if mode not in _MODES:
            raise ArgumentError(f"[RandomFlip] the mode is one of {', '.join(_MODES)}; got {mode!r}; choose one")
        self.mode = mode

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """x, in training with images flipped."""
        self._images(x)
        return random_flip(x, *_MODES[self.mode], self._source) if training else x


LARGEST = 1 << 16  # rows or columns of a window: what resizes to it has as many weights times those of the image


class RandomCrop(_Augmentation):
    """In training a window of height x width pixels at a place that is drawn, the same for all images of a batch.

    Else, and where an image is smaller than the window: the largest part of the middle that has the window's aspect
    ratio, resized to it (bilinear), as in Keras. So behind a ZeroPadding2D it shows a smaller image when not training.
    seed: for a generator of its own; default: the library's, `tr.manual_seed`. Raises ArgumentError for a window of no
    pixels.

    >>> import tinyres as tr
    >>> layer = tr.layers.RandomCrop(28, 28)
    >>> layer(tr.ones((2, 32, 40, 3)), training=True).shape, layer(tr.ones((2, 32, 40, 3))).shape
    ((2, 28, 28, 3), (2, 28, 28, 3))
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed, data_format, name)
        self.height = count("RandomCrop", "height", height)
        self.width = count("RandomCrop", "width", width)
        if max(self.height, self.width) > LARGEST:
            raise ArgumentError(
                f"[RandomCrop] a window has up to {LARGEST} rows and columns; got {height} x {width}; crop less"
            )

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """The windows."""
        _, h, w, _ = self._images(x).shape
        if training and h >= self.height and w >= self.width:
            return random_crop(x, self.height, self.width, self._source)
        rows = max(min(h, w * self.height // self.width), 1)
        columns = max(min(w, h * self.width // self.height), 1)
        top, left = (h - rows) // 2, (w - columns) // 2
        return _resized(x[:, top : top + rows, left : left + columns], self.height, self.width)


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    """Images of another size, each pixel a weighted mean of the two nearest rows and columns."""
    _, h, w, _ = x.shape
    if h != height:
        x = ops.einsum("ah,nhwc->nawc", constant(_weights(height, h), x.dtype), x)
    if w != width:
        x = ops.einsum("bw,nawc->nabc", constant(_weights(width, w), x.dtype), x)
    return x


def _weights(size: int, of: int) -> np.ndarray:
    """(size, of): how much of each old pixel a new one has. Pixels are areas, so centres lie at a half."""
    centres = np.clip((np.arange(size) + 0.5) * of / size - 0.5, 0, of - 1)
    return np.maximum(1 - np.abs(centres[:, None] - np.arange(of)), 0)
