"""Convolutions of each channel by itself, and with a pointwise one behind it, by Keras' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres import ops
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.layers.conv import Convolution, Pairs, Shape, count
from tinyres.nn import regularizers
from tinyres.nn.layer import made_by_build
from tinyres.nn.layouts import IMAGE_KERNEL, Layout

_BY_CHANNEL = ((2, 3), (), (0,), (1,))  # (rows, columns, channels, multiplier) as PyTorch's kernel of groups


class _Depthwise(Convolution):
    """A convolution of which a part is of each channel by itself."""

    def _keep(self, depth_multiplier: int, depthwise_initializer: Any, depthwise_regularizer: Any) -> None:
        self.depth_multiplier = count(type(self).__name__, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = depthwise_initializer
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)

    def _add_by_channel(self, name: str, channels: int) -> Parameter:
        """The kernel (rows, columns, channels, depth_multiplier)."""
        shape = *self.kernel_size, channels, self.depth_multiplier
        return self.add_weight(name, shape, self.depthwise_initializer, regularizer=self.depthwise_regularizer)


class DepthwiseConv2D(_Depthwise):
    """A convolution of each channel by itself, with depth_multiplier kernels each: that many times the channels.

    Weights: kernel (rows, columns, channels, depth_multiplier), bias. The rest is as in Conv2D.

    >>> import tinyres as tr
    >>> layer = tr.layers.DepthwiseConv2D(3, depth_multiplier=2)
    >>> layer(tr.zeros((1, 5, 5, 3))).shape, layer.kernel.shape
    ((1, 3, 3, 6), (3, 3, 3, 2))
    """

    layouts = {"kernel": Layout("weight", _BY_CHANNEL)}
    kernel: Parameter = made_by_build()

    def __init__(
        self,
        kernel_size: Pairs,
        strides: Pairs = 1,
        padding: Any = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Pairs = 1,
        activation: str | Callable[[Tensor], Tensor] | None = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, name,
        )  # fmt: skip
        self._keep(depth_multiplier, depthwise_initializer, depthwise_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for the channels of the images."""
        channels = self._channels_of(input_shape)
        self.kernel = self._add_by_channel("kernel", channels)
        self._add_bias(channels * self.depth_multiplier)

    def _product(self, x: Tensor, fused: str | None) -> Tensor:
        self._check(x)
        return ops.conv2d(
            x, _by_channel(self.kernel), self.bias, self.strides, self.padding, self.dilation_rate, self._channels,
            fused,
        )  # fmt: skip


class SeparableConv2D(_Depthwise):
    """A depthwise convolution, then a pointwise one: (n, height, width, channels) to (…, filters).

    Weights: depthwise_kernel (rows, columns, channels, depth_multiplier), pointwise_kernel (1, 1, channels ·
    depth_multiplier, filters), bias (filters,). The rest is as in Conv2D. Source: Chollet 2017.

    >>> import tinyres as tr
    >>> layer = tr.layers.SeparableConv2D(4, 3)
    >>> layer(tr.zeros((1, 5, 5, 3))).shape, [w.shape for w in layer.weights]
    ((1, 3, 3, 4), [(3, 3, 3, 1), (1, 1, 3, 4), (4,)])
    """

    layouts = {
        "depthwise_kernel": Layout("depthwise.weight", _BY_CHANNEL),
        "pointwise_kernel": Layout("pointwise.weight", IMAGE_KERNEL.axes),
        "bias": Layout("pointwise.bias"),
    }
    depthwise_kernel: Parameter = made_by_build()
    pointwise_kernel: Parameter = made_by_build()

    def __init__(
        self,
        filters: int,
        kernel_size: Pairs,
        strides: Pairs = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Pairs = 1,
        depth_multiplier: int = 1,
        activation: str | Callable[[Tensor], Tensor] | None = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, name,
        )  # fmt: skip
        self.filters = count(type(self).__name__, "filters", filters)
        self._keep(depth_multiplier, depthwise_initializer, depthwise_regularizer)
        self.pointwise_initializer = pointwise_initializer
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Make both kernels and the bias for the channels of the images."""
        channels = self._channels_of(input_shape)
        self.depthwise_kernel = self._add_by_channel("depthwise_kernel", channels)
        self.pointwise_kernel = self.add_weight(
            "pointwise_kernel",
            (1, 1, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
        )
        self._add_bias(self.filters)

    def _product(self, x: Tensor, fused: str | None) -> Tensor:
        self._check(x)
        kernel = _by_channel(self.depthwise_kernel)
        x = ops.conv2d(x, kernel, None, self.strides, self.padding, self.dilation_rate, self._channels)
        return ops.conv2d(x, self.pointwise_kernel, self.bias, activation=fused)


def _by_channel(kernel: Tensor) -> Tensor:
    """A depthwise kernel (rows, columns, channels, multiplier) as that of so many groups."""
    rows, columns, channels, multiplier = kernel.shape
    return ops.reshape(kernel, (rows, columns, 1, channels * multiplier))
