"""Ops of images against PyTorch, where it is installed: values, gradients, and gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytorch_images import channels_first, channels_last

import tinyres as tr

torch = pytest.importorskip("torch")
F = torch.nn.functional


def torch_conv2d(x: Any, kernel: Any, bias: Any = None, **options: Any) -> Any:
    return channels_last(F.conv2d(channels_first(x), kernel.permute(3, 2, 0, 1), bias, **options))


def torch_transpose(x: Any, kernel: Any, bias: Any = None, **options: Any) -> Any:
    return channels_last(F.conv_transpose2d(channels_first(x), kernel.permute(3, 2, 0, 1), bias, **options))


X = (2, 7, 6, 4)
Pair = tuple[str, Callable[..., Any], Callable[..., Any], tuple[tuple[int, ...], ...]]
PAIRS: list[Pair] = [
    ("bias", tr.conv2d, torch_conv2d, (X, (3, 3, 4, 5), (5,))),
    ("same", lambda *a: tr.conv2d(*a, padding="same"), lambda *a: torch_conv2d(*a, padding=1), (X, (3, 3, 4, 5))),
    (
        "same, even window",
        lambda *a: tr.conv2d(*a, padding="same"),
        lambda x, k: torch_conv2d(F.pad(x, (0, 0, 1, 2, 0, 1)), k),
        (X, (2, 4, 4, 5)),
    ),
    (
        "strides",
        lambda *a: tr.conv2d(*a, strides=(2, 3), padding=((2, 2), (1, 1))),
        lambda *a: torch_conv2d(*a, stride=(2, 3), padding=(2, 1)),
        (X, (3, 3, 4, 5)),
    ),
    ("one pixel", lambda *a: tr.conv2d(*a, strides=2), lambda *a: torch_conv2d(*a, stride=2), (X, (1, 1, 4, 9))),
    (
        "dilation",
        lambda *a: tr.conv2d(*a, padding=2, dilation=(2, 1)),
        lambda *a: torch_conv2d(*a, padding=2, dilation=(2, 1)),
        (X, (3, 3, 4, 5)),
    ),
    (
        "strides and dilation",
        lambda *a: tr.conv2d(*a, strides=2, padding=2, dilation=2),
        lambda *a: torch_conv2d(*a, stride=2, padding=2, dilation=2),
        (X, (3, 2, 4, 5)),
    ),
    (
        "groups",
        lambda *a: tr.conv2d(*a, padding=1, groups=2),
        lambda *a: torch_conv2d(*a, padding=1, groups=2),
        (X, (3, 3, 2, 6), (6,)),
    ),
    (
        "depthwise",
        lambda *a: tr.conv2d(*a, padding=1, groups=4, strides=2),
        lambda *a: torch_conv2d(*a, padding=1, groups=4, stride=2),
        (X, (3, 3, 1, 8)),
    ),
    (
        "transposed",
        lambda *a: tr.conv2d_transpose(*a, strides=(2, 3), padding=1),
        lambda *a: torch_transpose(*a, stride=(2, 3), padding=1),
        (X, (3, 3, 5, 4), (5,)),
    ),
    (
        "transposed, output padding",
        lambda *a: tr.conv2d_transpose(*a, strides=2, padding=1, output_padding=1, dilation=2),
        lambda *a: torch_transpose(*a, stride=2, padding=1, output_padding=1, dilation=2),
        (X, (3, 3, 5, 4)),
    ),
    ("max", tr.max_pool2d, lambda x: channels_last(F.max_pool2d(channels_first(x), 2)), (X,)),
    (
        "max over windows that overlap",
        lambda x: tr.max_pool2d(x, 3, 2, padding=1),
        lambda x: channels_last(F.max_pool2d(channels_first(x), 3, 2, 1)),
        (X,),
    ),
    (
        "mean",
        lambda x: tr.average_pool2d(x, 3, 2, padding=1),
        lambda x: channels_last(F.avg_pool2d(channels_first(x), 3, 2, 1, count_include_pad=False)),
        (X,),
    ),
    (
        "upsampling",
        lambda x: tr.upsample2d(x, (2, 3)),
        lambda x: channels_last(F.interpolate(channels_first(x), scale_factor=(2, 3))),
        (X,),
    ),
    (
        "relu within a chain",
        lambda x, k, b: tr.conv2d(tr.conv2d(x, k, b, padding=1, activation="relu"), k, b, padding=1),
        lambda x, k, b: torch_conv2d(torch.relu(torch_conv2d(x, k, b, padding=1)), k, b, padding=1),
        (X, (3, 3, 4, 4), (4,)),
    ),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("ours", "theirs", "shapes"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_values_and_both_orders(ours: Callable[..., Any], theirs: Callable[..., Any], shapes: Any, dtype: str) -> None:
    random = np.random.default_rng(4)
    arrays = [random.normal(size=s).astype(dtype) for s in shapes]
    a = [tr.tensor(x, requires_grad=True, dtype=dtype) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*a), theirs(*b)
    weights = random.normal(size=tuple(z.shape)).astype(dtype)
    first = tr.grad((y * y * weights).sum(), a, create_graph=True)
    expected = torch.autograd.grad((z * z * torch.tensor(weights)).sum(), b, create_graph=True)
    second = tr.grad(sum(((g * g).sum() for g in first), tr.tensor(0.0, dtype=dtype)), a)
    expected_second = torch.autograd.grad(sum((g * g).sum() for g in expected), b)
    for got, want in zip((y, *first, *second), (z, *expected, *expected_second), strict=True):
        want = want.detach().numpy()
        scale = np.abs(want).max()
        np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=(1e-5 if dtype == "float32" else 1e-12) * scale)
