"""Windows over images: layers with channels last, weights turned around once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.layers.conv import Conv1D, Conv2D, Conv2DTranspose
from tinyres.layers.pooling import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    UpSampling2D,
    ZeroPadding2D,
)
from tinyres.nn.layer import Layer
from tinyres.onnx.reading.elementwise import of_one
from tinyres.onnx.reading.table import Reading, reads
from tinyres.onnx.values import Held


def _padding(reading: Reading) -> Any:
    """As layers take it: "same", or ((top, bottom), (left, right))."""
    auto = reading.attr("auto_pad", "NOTSET")
    if auto == "SAME_UPPER":
        return "same"
    if auto not in ("NOTSET", "VALID"):
        raise reading.refuse("the odd pixel stands below and right", f"auto_pad={auto}")
    top, left, bottom, right = reading.attr("pads", [0, 0, 0, 0])
    return (top, bottom), (left, right)


def _of_images(reading: Reading, kernel: np.ndarray) -> None:
    if kernel.ndim != 4:
        raise reading.refuse("convolutions are over images", f"a kernel of shape {kernel.shape}")


@reads("Conv")
def _conv(reading: Reading) -> Held:
    kernel = reading.known(1, "the kernel")
    if kernel.ndim == 3:
        return _conv1d(reading, kernel)
    _of_images(reading, kernel)
    bias = reading.known(2, "the bias") if reading.given(2) else None
    layer = Conv2D(
        kernel.shape[0],
        kernel.shape[2:],
        strides=reading.attr("strides", [1, 1]),
        padding=_padding(reading),
        dilation_rate=reading.attr("dilations", [1, 1]),
        groups=reading.attr("group", 1),
        use_bias=bias is not None,
        kernel_initializer="zeros",
    )
    return Held(last=_called(reading, layer, reading.held().last, kernel, bias))


def _conv1d(reading: Reading, kernel: np.ndarray) -> Held:
    pads = reading.attr("pads", [0, 0])
    x = ops.transpose(reading.plain(), (0, 2, 1))
    x = ops.pad(x, ((0, 0), tuple(pads), (0, 0))) if any(pads) else x
    if reading.attr("group", 1) != 1:
        raise reading.refuse("convolutions of sequences have no groups", f"group={reading.attr('group')}")
    bias = reading.known(2, "the bias") if reading.given(2) else None
    layer = Conv1D(
        kernel.shape[0],
        kernel.shape[2],
        strides=reading.attr("strides", [1])[0],
        dilation_rate=reading.attr("dilations", [1])[0],
        use_bias=bias is not None,
        kernel_initializer="zeros",
    )
    return Held(ops.transpose(_called(reading, layer, x, kernel, bias), (0, 2, 1)))


def _called(reading: Reading, layer: Layer, x: Any, kernel: np.ndarray, bias: np.ndarray | None) -> Any:
    """The layer on x, with these weights: ONNX has the channels first in a kernel, (…, windows), Keras last."""
    found = reading.named(layer)(x)
    turned = kernel.transpose(*range(2, kernel.ndim), 1, 0)
    layer.set_weights([turned] if bias is None else [turned, bias])
    return found


@reads("ConvTranspose")
def _conv_transpose(reading: Reading) -> Held:
    """The layer gives room for each window or cuts so much of it off; what is added behind that is padded."""
    kernel = reading.known(1, "the kernel")
    _of_images(reading, kernel)
    strides, taps = reading.attr("strides", [1, 1]), reading.attr("dilations", [1, 1])
    extra = reading.attr("output_padding", [0, 0])
    if reading.attr("group", 1) != 1 or reading.attr("output_shape") is not None:
        raise reading.refuse("transposed convolutions have no groups and no output_shape", "one of them")
    bias = reading.known(2, "the bias") if reading.given(2) else None
    layer = Conv2DTranspose(
        kernel.shape[1],
        kernel.shape[2:],
        strides=strides,
        padding=_padding(reading),
        dilation_rate=taps,
        output_padding=extra if any(extra) else None,
        use_bias=bias is not None,
        kernel_initializer="zeros",
    )
    return Held(last=_called(reading, layer, reading.held().last, kernel, bias))


@reads("MaxPool", "AveragePool")
def _pool(reading: Reading) -> Held:
    window = reading.attr("kernel_shape")
    if len(window) != 2 or any(n != 1 for n in reading.attr("dilations", [1, 1])):
        raise reading.refuse("windows are over images, their pixels neighbours", f"kernel_shape {window}")
    x, padding = reading.held().last, _padding(reading)
    strides = reading.attr("strides", [1, 1])
    given = padding
    if reading.attr("ceil_mode", 0):
        padding = _to_the_end(reading, x.shape[1:3], window, strides, padding)
    counted = reading.kind == "AveragePool" and reading.attr("count_include_pad", 0)
    if counted and padding != "same" and any(map(any, given)):  # what ceil_mode adds does not count
        x = ZeroPadding2D(given)(x)
        padding = tuple([(0, whole[1] - own[1]) for whole, own in zip(padding, given)])
    layer = (MaxPooling2D if reading.kind == "MaxPool" else AveragePooling2D)(window, strides, padding)
    return Held(last=reading.named(layer)(x))


def _to_the_end(reading: Reading, size: Any, window: Any, strides: Any, padding: Any) -> Any:
    """Padding with which the windows reach beyond the last pixel, as ceil_mode has it."""
    if padding == "same":
        return padding
    grown = []
    for n, taps, stride, (before, after) in zip(size, window, strides, padding):
        rest = (n + before + after - taps) % stride
        more = (stride - rest) % stride
        reached = n + before + after + more - taps
        grown.append((before, after + (more if reached < n + before else 0)))
    return tuple(grown)


@reads("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(reading: Reading) -> Held:
    kind = GlobalAveragePooling2D if reading.kind == "GlobalAveragePool" else GlobalMaxPooling2D
    return Held(last=reading.named(kind(keepdims=True))(reading.held().last))


@reads("Resize", "Upsample")
def _resize(reading: Reading) -> Held:
    """Nearest upsampling by whole numbers; all ways to choose the nearest agree on it."""
    x = reading.held()
    at = 1 if reading.kind == "Upsample" else 2
    if reading.given(at) and reading.known(at, "scales").size:
        scales = [float(n) for n in reading.known(at, "scales")]
    elif reading.given(3):
        sizes = reading.ints(3, "sizes") or []
        scales = [m / n if n else 1.0 for m, n in zip(sizes, x.shape)]
    else:
        scales = [float(n) for n in reading.attr("scales", [])]
    whole = len(scales) == 4 and scales[:2] == [1.0, 1.0] and all(s >= 1 and s == math.floor(s) for s in scales)
    if reading.attr("mode", "nearest") != "nearest" or not whole:
        raise reading.refuse("images are enlarged by whole numbers, to the nearest pixel", f"scales {scales}")
    return Held(last=reading.named(UpSampling2D((int(scales[2]), int(scales[3]))))(x.last))


@reads("Pad")
def _pad(reading: Reading) -> Held:
    x, pads = reading.held(), reading.ints(1, "pads") or []
    value = reading.number(2, "value", 0.0)
    if reading.attr("mode", "constant") != "constant" or min(pads, default=0) < 0 or reading.given(3):
        raise reading.refuse("padding is by one value, on all sides", f"mode {reading.attr('mode')} and pads {pads}")
    ndim = len(x.shape)
    widths = list(zip(pads[:ndim], pads[ndim:]))
    if x.is_last:
        order = [widths[i] for i in (0, 2, 3, 1)]
        if value == 0 and order[0] == order[3] == (0, 0):
            return Held(last=reading.named(ZeroPadding2D(order[1:3]))(x.last))
        return Held(last=reading.called(ops.pad(x.last, order, value)))
    return of_one(reading, lambda t: reading.called(ops.pad(t, widths, value)))
