"""Layers that make images (n, height, width, channels) smaller or larger without weights, by Keras' names."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.conv import channels_last
from tinyres.nn.layer import SingleInput
from tinyres.ops.geometry import pair, sides

Pairs = Any  # an int, or one for rows and one for columns


class _Pooling(SingleInput):
    passes_values = True

    def __init__(
        self,
        pool_size: Pairs = (2, 2),
        strides: Pairs = None,
        padding: Any = "valid",
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        owner = type(self).__name__
        self.pool_size = pair(owner, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair(owner, "strides", strides)
        self.padding = padding.lower() if isinstance(padding, str) else padding
        if self.padding not in ("valid", "same"):
            self.padding = sides(owner, self.padding)
        self.data_format = channels_last(owner, data_format)


class MaxPooling2D(_Pooling):
    """The maximum of each window, per channel; the gradient goes to the first maximum of the window.

    pool_size: of a window; strides: how far they are apart, pool_size if left out; padding: "valid" or "same".

    >>> import tinyres as tr
    >>> tr.layers.MaxPooling2D()(tr.zeros((1, 5, 4, 3))).shape
    (1, 2, 2, 3)
    """

    def call(self, x: Tensor) -> Tensor:
        """The maxima."""
        return ops.max_pool2d(x, self.pool_size, self.strides, self.padding)


class AveragePooling2D(_Pooling):
    """The mean of each window, per channel, over those of its pixels that lie in the image. Options: see MaxPooling2D.

    >>> import tinyres as tr
    >>> tr.layers.AveragePooling2D(3, strides=1, padding="same")(tr.zeros((1, 5, 4, 3))).shape
    (1, 5, 4, 3)
    """

    def call(self, x: Tensor) -> Tensor:
        """The means."""
        return ops.average_pool2d(x, self.pool_size, self.strides, self.padding)


class _GlobalPooling(SingleInput):
    passes_values = True

    def __init__(self, data_format: str | None = None, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.data_format = channels_last(type(self).__name__, data_format)
        self.keepdims = bool(keepdims)


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over all pixels: (n, height, width, channels) gives (n, channels), with keepdims (n, 1, 1, channels).

    >>> import tinyres as tr
    >>> tr.layers.GlobalAveragePooling2D()(tr.ones((1, 5, 4, 3)))
    Tensor([[1., 1., 1.]], shape=(1, 3), dtype=float32)
    """

    def call(self, x: Tensor) -> Tensor:
        """The means."""
        return ops.mean(_images(self, x), (1, 2), self.keepdims)


class _OverTokens(SingleInput):
    def __init__(self, data_format: str | None = None, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.data_format = channels_last(type(self).__name__, data_format)
        self.keepdims = bool(keepdims)

    def build(self, input_shape: Any) -> None:
        """Check that there are tokens."""
        if not isinstance(input_shape, tuple) or len(input_shape) != 3:
            raise ShapeError(
                f"[{type(self).__name__}] it takes (batch, tokens, features); got shape {input_shape}; reshape x"
            )


class GlobalAveragePooling1D(_OverTokens):
    """The mean over all tokens: (n, tokens, features) gives (n, features), with keepdims (n, 1, features).

    mask, of a call: (n, tokens), true for tokens that count; without any the mean is 0.

    >>> import tinyres as tr
    >>> tr.layers.GlobalAveragePooling1D()(tr.ones((1, 5, 3)))
    Tensor([[1., 1., 1.]], shape=(1, 3), dtype=float32)
    """

    passes_values = True

    def call(self, x: Tensor, mask: Any = None) -> Tensor:
        """The means."""
        if mask is None:
            return ops.mean(x, 1, self.keepdims)
        counted = mask if isinstance(mask, Tensor) else tensor(np.asarray(mask), dtype=x.dtype)
        if counted.shape != x.shape[:2]:
            raise ShapeError(
                f"[GlobalAveragePooling1D] mask has shape (batch, tokens), here {x.shape[:2]}; got {counted.shape}; "
                "give one truth per token"
            )
        counted = ops.expand_dims(counted.astype(x.dtype), 2)
        count = ops.maximum(ops.sum(counted, 1, keepdims=True), 1.0)
        return ops.sum(x * (counted / count), 1, self.keepdims)


class GlobalMaxPooling1D(_OverTokens):
    """The maximum over all tokens: (n, tokens, features) gives (n, features), with keepdims (n, 1, features).

    >>> import tinyres as tr
    >>> tr.layers.GlobalMaxPooling1D()(tr.ones((1, 5, 3)))
    Tensor([[1., 1., 1.]], shape=(1, 3), dtype=float32)
    """

    passes_values = True

    def call(self, x: Tensor) -> Tensor:
        """The maxima."""
        return ops.max(x, 1, self.keepdims)


class GlobalMaxPooling2D(_GlobalPooling):
    """The maximum over all pixels: (n, height, width, channels) gives (n, channels), with keepdims (n, 1, 1, channels).

    >>> import tinyres as tr
    >>> tr.layers.GlobalMaxPooling2D()(tr.ones((1, 5, 4, 3)))
    Tensor([[1., 1., 1.]], shape=(1, 3), dtype=float32)
    """

    def call(self, x: Tensor) -> Tensor:
        """The maxima."""
        return ops.max(_images(self, x), (1, 2), self.keepdims)


class UpSampling2D(SingleInput):
    """Each pixel as `size` rows and columns of it. size: a number, or one for rows and one for columns.

    (n, height, width, channels) gives (n, size · height, size · width, channels). Raises ArgumentError for another
    interpolation.

    >>> import tinyres as tr
    >>> tr.layers.UpSampling2D((2, 3))(tr.zeros((1, 2, 2, 3))).shape
    (1, 4, 6, 3)
    """

    passes_values = True

    def __init__(
        self,
        size: Pairs = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.size = pair("UpSampling2D", "size", size)
        self.data_format = channels_last("UpSampling2D", data_format)
        if interpolation != "nearest":
            raise ArgumentError(
                f'[UpSampling2D] interpolation is "nearest"; got {interpolation!r}; use that, or a Conv2DTranspose'
            )
        self.interpolation = interpolation

    def call(self, x: Tensor) -> Tensor:
        """The larger image."""
        return ops.upsample2d(x, self.size)


class ZeroPadding2D(SingleInput):
    """Rows and columns of zeros around an image.

    padding: a number of pixels on each side, one for rows and one for columns, or ((top, bottom), (left, right)).

    >>> import tinyres as tr
    >>> tr.layers.ZeroPadding2D(((1, 0), (2, 2)))(tr.ones((1, 2, 2, 3))).shape
    (1, 3, 6, 3)
    """

    passes_values = True

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.padding = sides("ZeroPadding2D", padding)
        self.data_format = channels_last("ZeroPadding2D", data_format)

    def call(self, x: Tensor) -> Tensor:
        """The image with its zeros."""
        return ops.pad(_images(self, x), ((0, 0), *self.padding, (0, 0)))


class Cropping2D(SingleInput):
    """An image without some of its rows and columns. cropping: as the padding of ZeroPadding2D.

    >>> import tinyres as tr
    >>> tr.layers.Cropping2D(1)(tr.ones((1, 4, 5, 3))).shape
    (1, 2, 3, 3)
    """

    passes_values = True

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.cropping = sides("Cropping2D", cropping)
        self.data_format = channels_last("Cropping2D", data_format)

    def call(self, x: Tensor) -> Tensor:
        """What is left."""
        _, h, w, _ = _images(self, x).shape
        (top, bottom), (left, right) = self.cropping
        if top + bottom >= h or left + right >= w:
            raise ShapeError(
                f"[Cropping2D] {self.path} must leave a pixel; got images of {h} x {w} for {self.cropping}; crop less"
            )
        return x[:, top : h - bottom, left : w - right]


def _images(layer: SingleInput, x: Tensor) -> Tensor:
    if x.ndim != 4:
        raise ShapeError(
            f"[{type(layer).__name__}] {layer.path} takes images (n, height, width, channels); got shape {x.shape}; "
            "add the missing axes"
        )
    return x


MaxPool2D, AvgPool2D = MaxPooling2D, AveragePooling2D
GlobalAvgPool2D, GlobalMaxPool2D = GlobalAveragePooling2D, GlobalMaxPooling2D
