"""Convolutions of images (n, height, width, channels) and of sequences (n, steps, channels), by Keras' names.

Kernels are stored as Keras has them, (rows, columns, channels / groups, filters): weights of Keras go in as they are.
PyTorch pads alike on both sides where strides leave an odd pixel: for its weights write ZeroPadding2D and "valid".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.affine import Affine
from tinyres.nn import regularizers
from tinyres.nn.layer import made_by_build
from tinyres.nn.layouts import IMAGE_KERNEL, Layout
from tinyres.ops.geometry import pair, sides

Pairs = Any  # an int, or one for rows and one for columns
Shape = tuple["int | None", ...]


def channels_last(owner: str, data_format: str | None) -> str:
    """The one order of axes there is; ArgumentError with the remedy for the other."""
    if data_format not in (None, "channels_last"):
        raise ArgumentError(
            f"[{owner}] images are (n, height, width, channels); got data_format={data_format!r}; transpose them once, "
            "as in x.transpose(0, 2, 3, 1), and leave it out"
        )
    return "channels_last"


def count(owner: str, what: str, given: Any) -> int:
    """An integer of at least 1."""
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < 1:
        raise ArgumentError(f"[{owner}] {what} is a count from 1 on; got {given!r}; give an integer")
    return int(given)


class Convolution(Affine):
    """What all convolutions share: geometry, and the channels that they were built for."""

    _input = "(n, height, width, channels)"

    def __init__(
        self,
        kernel_size: Pairs,
        strides: Pairs,
        padding: Any,
        data_format: str | None,
        dilation_rate: Pairs,
        activation: str | Callable[[Tensor], Tensor] | None,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        name: str | None,
    ) -> None:
        super().__init__(activation, use_bias, bias_initializer, bias_regularizer, name)
        owner = type(self).__name__
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.strides = self._sizes("strides", strides)
        self.padding = padding.lower() if isinstance(padding, str) else padding
        self.data_format = channels_last(owner, data_format)
        self.dilation_rate = self._sizes("dilation_rate", dilation_rate)
        self._check_padding(owner)

    def _sizes(self, what: str, given: Any) -> tuple[int, ...]:
        return pair(type(self).__name__, what, given)

    def _check_padding(self, owner: str) -> None:
        if self.padding not in ("valid", "same"):
            self.padding = sides(owner, self.padding)

    def _channels_of(self, input_shape: Any) -> int:
        """The channels of what the layer is built for."""
        axes = self._input.count(",") + 1
        if not isinstance(input_shape, tuple) or len(input_shape) != axes or input_shape[-1] is None:
            raise ShapeError(
                f"[{type(self).__name__}] {self.path} takes a batch of shape {self._input}; got shape {input_shape}; "
                "add the missing axes, as in x[..., None] for one channel"
            )
        self._channels = input_shape[-1]
        return self._channels

    def _check(self, x: Tensor) -> None:
        if x.ndim != self._input.count(",") + 1 or x.shape[-1] != self._channels:
            raise ShapeError(
                f"[{type(self).__name__}] {self.path} was built for {self._channels} channels, {self._input}; got "
                f"shape {x.shape}; use another layer for other images"
            )


class Conv2D(Convolution):
    """activation(convolution of images with `filters` kernels + bias): (n, height, width, channels) to (…, filters).

    filters: the number of outputs. kernel_size, strides, dilation_rate: a number, or one for rows and one for columns.
    padding: "valid" for none, "same" for as many outputs as pixels over strides, the odd pixel below and right, so many
    pixels, or ((top, bottom), (left, right)). groups: of channels that see only one another. activation: a name or
    function; "relu" is computed within the same op. Weights: kernel (rows, columns, channels / groups, filters), bias
    (filters,) unless use_bias=False.
    Raises ArgumentError for what is no such option, ShapeError for images that do not fit.

    >>> import tinyres as tr
    >>> layer = tr.layers.Conv2D(4, 3, padding="same", activation="relu")
    >>> layer(tr.zeros((2, 8, 8, 1))).shape, layer.kernel.shape
    ((2, 8, 8, 4), (3, 3, 1, 4))
    """

    layouts = {"kernel": IMAGE_KERNEL}
    kernel: Parameter = made_by_build()

    def __init__(
        self,
        filters: int,
        kernel_size: Pairs,
        strides: Pairs = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Pairs = 1,
        groups: int = 1,
        activation: str | Callable[[Tensor], Tensor] | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, name,
        )  # fmt: skip
        owner = type(self).__name__
        self.filters = count(owner, "filters", filters)
        self.groups = count(owner, "groups", groups)
        if self.filters % self.groups:
            raise ArgumentError(
                f"[{owner}] groups must divide filters; got {self.groups} groups for {self.filters} filters; choose a "
                "divisor of it"
            )
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for the channels of the images."""
        channels = self._channels_of(input_shape)
        if channels % self.groups:
            raise ShapeError(
                f"[{type(self).__name__}] {self.path}: groups must divide the channels; got {self.groups} groups for "
                f"images of shape {input_shape}; choose a divisor of {channels}"
            )
        shape = *self.kernel_size, channels // self.groups, self.filters
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        self._add_bias(self.filters)

    def _product(self, x: Tensor, fused: str | None) -> Tensor:
        self._check(x)
        return ops.conv2d(x, self.kernel, self.bias, self.strides, self.padding, self.dilation_rate, self.groups, fused)


class Conv1D(Conv2D):
    """Conv2D along one axis: (n, steps, channels) to (n, steps, filters).

    kernel_size, strides, dilation_rate: numbers. padding: also "causal", zeros before the first step only, so that no
    output sees a later step. Weights: kernel (size, channels / groups, filters), bias. The rest is as in Conv2D. Raises
    ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> layer = tr.layers.Conv1D(4, 3, padding="causal")
    >>> layer(tr.zeros((2, 10, 1))).shape, layer.kernel.shape
    ((2, 10, 4), (3, 1, 4))
    """

    _input = "(n, steps, channels)"

    layouts = {"kernel": Layout("weight", ((2,), (1,), (0,)))}

    def _sizes(self, what: str, given: Any) -> tuple[int, ...]:
        return (pair(type(self).__name__, what, given)[0],)

    def _check_padding(self, owner: str) -> None:
        if self.padding not in ("valid", "same", "causal"):
            raise ArgumentError(
                f'[{owner}] padding is "valid", "same" or "causal"; got {self.padding!r}; choose one of them'
            )

    def _product(self, x: Tensor, fused: str | None) -> Tensor:
        self._check(x)
        n, steps, channels = x.shape
        (size,), (stride,), (dilation,) = self.kernel_size, self.strides, self.dilation_rate
        padding = ((0, 0), (dilation * (size - 1), 0)) if self.padding == "causal" else self.padding
        y = ops.conv2d(
            ops.reshape(x, (n, 1, steps, channels)), ops.reshape(self.kernel, (1, *self.kernel.shape)), self.bias,
            (1, stride), padding, (1, dilation), self.groups, fused,
        )  # fmt: skip
        return ops.reshape(y, (n, *y.shape[2:]))


class Conv2DTranspose(Convolution):
    """The way back of a Conv2D, with weights of its own: it makes images larger by the strides.

    Weights: kernel (rows, columns, filters, channels), bias (filters,). padding: "same" gives strides times the pixels;
    output_padding: rows and columns more, below and right. The rest is as in Conv2D.

    >>> import tinyres as tr
    >>> layer = tr.layers.Conv2DTranspose(2, 3, strides=2, padding="same")
    >>> layer(tr.zeros((1, 4, 4, 3))).shape, layer.kernel.shape
    ((1, 8, 8, 2), (3, 3, 2, 3))
    """

    layouts = {"kernel": IMAGE_KERNEL}
    kernel: Parameter = made_by_build()

    def __init__(
        self,
        filters: int,
        kernel_size: Pairs,
        strides: Pairs = 1,
        padding: Any = "valid",
        output_padding: Pairs | None = None,
        data_format: str | None = None,
        dilation_rate: Pairs = 1,
        activation: str | Callable[[Tensor], Tensor] | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, name,
        )  # fmt: skip
        self.filters = count(type(self).__name__, "filters", filters)
        self.output_padding = output_padding
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for the channels of the images."""
        shape = *self.kernel_size, self.filters, self._channels_of(input_shape)
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        self._add_bias(self.filters)

    def _product(self, x: Tensor, fused: str | None) -> Tensor:
        self._check(x)
        return ops.conv2d_transpose(
            x, self.kernel, self.bias, self.strides, self.padding, self.dilation_rate, 1, fused,
            self.output_padding,
        )  # fmt: skip
