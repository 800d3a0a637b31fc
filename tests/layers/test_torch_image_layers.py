"""Every layer of images with its options against PyTorch, padded as Keras pads: values and both orders of gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from pytorch_images import channels_first as first
from pytorch_images import channels_last as last

import tinyres as tr
from tinyres import layers as L

torch = pytest.importorskip("torch")
F = torch.nn.functional


def same(x: Any, size: Sequence[int], strides: Sequence[int], taps: Sequence[int] = (1, 1), value: float = 0.0) -> Any:
    """Channels-first images with Keras' padding "same": as many windows as pixels over stride, the odd one behind."""
    pads: list[int] = []
    for pixels, k, s, d in zip(x.shape[2:], size, strides, taps):
        total = max((-(-pixels // s) - 1) * s + (k - 1) * d + 1 - pixels, 0)
        pads = [total // 2, total - total // 2, *pads]
    return F.pad(x, pads, value=value)


def conv(strides: Any = (1, 1), taps: Any = (1, 1), groups: int = 1, pad_same: bool = False) -> Callable[..., Any]:
    def run(x: Any, kernel: Any, bias: Any = None) -> Any:
        y = same(first(x), kernel.shape[:2], strides, taps) if pad_same else first(x)
        return last(F.conv2d(y, kernel.permute(3, 2, 0, 1), bias, stride=strides, dilation=taps, groups=groups))

    return run


def depthwise(strides: Any = (1, 1), taps: Any = (1, 1), pad_same: bool = False) -> Callable[..., Any]:
    def run(x: Any, kernel: Any, bias: Any = None) -> Any:
        rows, columns, channels, multiplier = kernel.shape
        spread = kernel.reshape(rows, columns, 1, channels * multiplier)
        return conv(strides, taps, channels, pad_same)(x, spread, bias)

    return run


def separable(**options: Any) -> Callable[..., Any]:
    return lambda x, deep, point, bias: conv()(depthwise(**options)(x, deep), point, bias)


def transposed(strides: int, pad_same: bool, taps: int = 1, more: int | None = None) -> Callable[..., Any]:
    """With "same" strides times the pixels: the gradient of the padded convolution that goes the other way."""

    def run(x: Any, kernel: Any, bias: Any) -> Any:
        full = F.conv_transpose2d(first(x), kernel.permute(3, 2, 0, 1), None, stride=strides, dilation=taps)
        if pad_same:
            for axis, k in ((2, kernel.shape[0]), (3, kernel.shape[1])):
                window = (k - 1) * taps + 1
                wanted = x.shape[axis - 1] * strides
                total = max(window - strides, 0)
                before = total // 2
                lacking = wanted + before - full.shape[axis]
                if lacking > 0:
                    full = F.pad(full, (0, 0, 0, lacking) if axis == 2 else (0, lacking, 0, 0))
                full = full.narrow(axis, before, wanted)
        return last(full) + bias

    return run


def conv1d(strides: int = 1, taps: int = 1, padding: str = "valid", groups: int = 1) -> Callable[..., Any]:
    def run(x: Any, kernel: Any, bias: Any) -> Any:
        y = x.permute(0, 2, 1)
        if padding == "causal":
            y = F.pad(y, ((kernel.shape[0] - 1) * taps, 0))
        elif padding == "same":
            total = max((-(-y.shape[2] // strides) - 1) * strides + (kernel.shape[0] - 1) * taps + 1 - y.shape[2], 0)
            y = F.pad(y, (total // 2, total - total // 2))
        y = F.conv1d(y, kernel.permute(2, 1, 0), bias, stride=strides, dilation=taps, groups=groups)
        return y.permute(0, 2, 1)

    return run


def mean_same(size: Any, strides: Any) -> Callable[..., Any]:
    """Pixels beyond the border do not count."""

    def run(x: Any) -> Any:
        y, ones = (F.avg_pool2d(same(first(v), size, strides), size, strides) for v in (x, torch.ones_like(x)))
        return last(y / ones)

    return run


def batchnorm(x: Any, gamma: Any, beta: Any) -> Any:
    y = F.batch_norm(first(x), None, None, gamma, beta, training=True, eps=1e-3)
    return last(y)


X, STEPS = (2, 7, 6, 4), (2, 9, 4)
Case = tuple[Callable[[], Any], Callable[..., Any], tuple[int, ...]]
CASES: dict[str, Case] = {
    "valid": (lambda: L.Conv2D(5, 3), conv(), X),
    "no bias, 2 x 3": (lambda: L.Conv2D(5, (2, 3), use_bias=False), conv(), X),
    "same": (lambda: L.Conv2D(5, 3, padding="same"), conv(pad_same=True), X),
    "same, even window": (lambda: L.Conv2D(5, (2, 4), padding="same"), conv(pad_same=True), X),
    "same, stride 2": (lambda: L.Conv2D(5, 3, 2, "same"), conv((2, 2), pad_same=True), X),
    "same, stride 2, even image": (lambda: L.Conv2D(5, 3, 2, "same"), conv((2, 2), pad_same=True), (2, 8, 8, 4)),
    "same, strides 2 and 3": (lambda: L.Conv2D(5, 5, (2, 3), "same"), conv((2, 3), pad_same=True), X),
    "same, stride over window": (lambda: L.Conv2D(5, 1, 3, "same"), conv((3, 3), pad_same=True), X),
    "same, dilation": (
        lambda: L.Conv2D(5, 3, padding="same", dilation_rate=(2, 1)), conv(taps=(2, 1), pad_same=True), X,
    ),
    "groups": (lambda: L.Conv2D(6, 3, 2, "same", groups=2), conv((2, 2), groups=2, pad_same=True), X),
    "ReLU": (
        lambda: L.Conv2D(5, 3, padding="same", activation="relu"), lambda *a: torch.relu(conv(pad_same=True)(*a)), X,
    ),
    "tanh": (lambda: L.Conv2D(5, 3, activation="tanh"), lambda *a: torch.tanh(conv()(*a)), X),
    "depthwise": (lambda: L.DepthwiseConv2D(3), depthwise(), X),
    "depthwise, multiplier, same": (
        lambda: L.DepthwiseConv2D(3, 2, "same", 2), depthwise((2, 2), pad_same=True), X,
    ),
    "depthwise, dilation": (
        lambda: L.DepthwiseConv2D((3, 2), padding="same", dilation_rate=2), depthwise(taps=(2, 2), pad_same=True), X,
    ),
    "separable": (lambda: L.SeparableConv2D(5, 3), separable(), X),
    "separable, stride, same": (
        lambda: L.SeparableConv2D(5, 3, 2, "same", depth_multiplier=2), separable(strides=(2, 2), pad_same=True), X,
    ),
    "transposed, valid": (lambda: L.Conv2DTranspose(3, 3, 2), transposed(2, False), X),
    "transposed, same": (lambda: L.Conv2DTranspose(3, 3, 2, "same"), transposed(2, True), X),
    "transposed, same, even window": (lambda: L.Conv2DTranspose(3, 4, 2, "same"), transposed(2, True), X),
    "transposed, same, stride 1": (lambda: L.Conv2DTranspose(3, 3, 1, "same"), transposed(1, True), X),
    "transposed, same, stride over window": (lambda: L.Conv2DTranspose(3, 2, 3, "same"), transposed(3, True), X),
    "transposed, dilation": (lambda: L.Conv2DTranspose(3, 3, dilation_rate=2), transposed(1, False, 2), X),
    "steps": (lambda: L.Conv1D(5, 3), conv1d(), STEPS),
    "steps, same, stride": (lambda: L.Conv1D(5, 4, 2, "same"), conv1d(2, padding="same"), STEPS),
    "steps, causal, dilation": (
        lambda: L.Conv1D(5, 3, padding="causal", dilation_rate=2), conv1d(taps=2, padding="causal"), STEPS,
    ),
    "steps, groups": (lambda: L.Conv1D(6, 3, groups=2), conv1d(groups=2), STEPS),
    "max": (lambda: L.MaxPooling2D(), lambda x: last(F.max_pool2d(first(x), 2)), X),
    "max, same": (
        lambda: L.MaxPooling2D(3, 2, "same"),
        lambda x: last(F.max_pool2d(same(first(x), (3, 3), (2, 2), value=-torch.inf), 3, 2)),
        X,
    ),
    "max, even image, same": (
        lambda: L.MaxPooling2D(3, 2, "same"),
        lambda x: last(F.max_pool2d(same(first(x), (3, 3), (2, 2), value=-torch.inf), 3, 2)),
        (2, 8, 8, 4),
    ),
    "mean": (lambda: L.AveragePooling2D((2, 3)), lambda x: last(F.avg_pool2d(first(x), (2, 3))), X),
    "mean, same": (lambda: L.AveragePooling2D(3, 2, "same"), mean_same((3, 3), (2, 2)), X),
    "mean, same, even image": (lambda: L.AveragePooling2D(3, 2, "same"), mean_same((3, 3), (2, 2)), (2, 8, 8, 4)),
    "global mean": (lambda: L.GlobalAveragePooling2D(), lambda x: x.mean((1, 2)), X),
    "global mean, axes kept": (
        lambda: L.GlobalAveragePooling2D(keepdims=True), lambda x: x.mean((1, 2), keepdim=True), X,
    ),
    "global max": (lambda: L.GlobalMaxPooling2D(), lambda x: x.amax((1, 2)), X),
    "upsampling": (
        lambda: L.UpSampling2D((2, 3)), lambda x: last(F.interpolate(first(x), scale_factor=(2, 3), mode="nearest")), X,
    ),
    "zero padding": (
        lambda: L.ZeroPadding2D(((1, 2), (3, 0))), lambda x: F.pad(x, (0, 0, 3, 0, 1, 2)), X,
    ),
    "cropping": (lambda: L.Cropping2D(((1, 2), (2, 1))), lambda x: x[:, 1:-2, 2:-1], X),
    "batch normalisation": (lambda: L.BatchNormalization(), batchnorm, X),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_both_orders(name: str) -> None:
    make, theirs, shape = CASES[name]
    random = np.random.default_rng(3)
    layer = make()
    layer(tr.zeros(shape, dtype="float32"))
    arrays = [random.normal(size=s) for s in (shape, *[w.shape for w in layer.trainable_weights])]
    model = tr.Sequential([tr.Input(shape[1:]), layer]).astype("float64")
    for weight, array in zip(model.trainable_weights, arrays[1:], strict=True):
        weight.assign(array)
    x = tr.tensor(arrays[0], requires_grad=True, dtype="float64")
    ours = [x, *model.trainable_weights]
    peers = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = model(x, training=True), theirs(*peers)
    weights = random.normal(size=tuple(z.shape))
    grads = tr.grad((y * y * weights).sum(), ours, create_graph=True)
    expected = torch.autograd.grad((z * z * torch.tensor(weights)).sum(), peers, create_graph=True)
    second = tr.grad(sum(((g * g).sum() for g in grads), tr.tensor(0.0, dtype="float64")), ours)
    expected_second = torch.autograd.grad(sum((g * g).sum() for g in expected), peers)
    for got, want in zip((y, *grads, *second), (z, *expected, *expected_second), strict=True):
        array = want.detach().numpy()
        np.testing.assert_allclose(got.numpy(), array, rtol=0, atol=1e-11 * max(1.0, np.abs(array).max()))
