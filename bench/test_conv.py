"""Convolutions of ResNet and VGG shapes, forward and both gradients, beside PyTorch and the core's own matmul.

One thread. Rows: "native" is the kernel in a list that C walks; "matmul" the product of the same m, n and k by the same
core; "torch" and "torch, channels last" PyTorch's convolution in its two layouts. TINYRES_ISA chooses instructions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import peers
import pytest
import roofline
from call_list import CallList
from rows.row import empty, normal

from tinyres.backends import native
from tinyres.kernels.record import TRANSPOSE_A

DIRECTIONS = ("forward", "to input", "to kernel")
WHO = ("native", "matmul", "torch", "torch, channels last")


class Shape(NamedTuple):
    """A batch of square images, square kernels, and as much padding as keeps the size."""

    n: int
    size: int
    channels: int
    outputs: int
    taps: int = 3
    stride: int = 1
    groups: int = 1

    @property
    def pixels(self) -> int:
        return (self.size + 2 * (self.taps // 2) - self.taps) // self.stride + 1

    @property
    def args(self) -> tuple[int, ...]:
        pad = self.taps // 2
        image = (
            self.n,
            self.size,
            self.size,
            self.channels,
            self.taps,
            self.taps,
            self.outputs,
            self.pixels,
            self.pixels,
        )
        return (*image, self.stride, self.stride, pad, pad, 1, 1, self.groups)

    @property
    def flops(self) -> float:
        steps = self.taps**2 * self.channels // self.groups
        return 2.0 * self.n * self.pixels**2 * self.outputs * steps

    def __str__(self) -> str:
        grouped = f" in {self.groups}" if self.groups > 1 else ""
        size = f"{self.n}x{self.size}²x{self.channels}→{self.outputs}"
        return f"{size} {self.taps}x{self.taps}/{self.stride}{grouped}"


SHAPES = (
    Shape(32, 32, 16, 16),
    Shape(32, 16, 32, 32),
    Shape(32, 8, 64, 64),
    Shape(32, 32, 32, 32),
    Shape(2, 28, 128, 128),
    Shape(2, 14, 256, 256),
    Shape(2, 7, 512, 512),
    Shape(32, 32, 16, 32, stride=2),
    Shape(32, 16, 32, 64, stride=2),
    Shape(32, 32, 16, 32, taps=1, stride=2),
    Shape(32, 32, 3, 16),
    Shape(2, 224, 3, 64, taps=7, stride=2),
    Shape(32, 28, 1, 6, taps=5),
    Shape(32, 12, 6, 16, taps=5),
    Shape(8, 28, 32, 1),
    Shape(8, 16, 64, 64, groups=64),
)


@pytest.mark.skipif(not native.AVAILABLE, reason="the C core was not built")
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolution(measure: Any, shape: Shape, direction: str, who: str) -> None:
    run, calls = contender(shape, direction, who)
    role = {"native": "ours", "matmul": ""}.get(who, "peer")
    group = f"conv {direction} {shape}"
    measure(who, run, group=group, role=role, calls=calls, flops=shape.flops, limit=roofline.fma_peak())


def contender(shape: Shape, direction: str, who: str) -> tuple[Callable[[], object], int]:
    if who == "native":
        calls = convolution(shape, direction)
        return calls, calls.calls
    if who == "matmul":
        calls = product(shape, direction)
        return calls, calls.calls
    if not peers.installed("torch"):
        pytest.skip("torch is not installed")
    return in_torch(shape, channels_last=who != "torch")[direction], 1


def convolution(shape: Shape, direction: str) -> CallList:
    x, y = normal(shape.n, shape.size**2, shape.channels), normal(shape.n, shape.pixels**2, shape.outputs)
    kernel = normal(shape.taps**2, shape.channels // shape.groups, shape.outputs)
    if direction == "forward":
        return CallList("conv2d", [y], [x, kernel, None, None], shape.args)
    if direction == "to input":
        return CallList("conv2d_to_input", [x], [y, kernel, None, None], shape.args)
    return CallList("conv2d_to_kernel", [kernel], [x, y], shape.args)


def product(shape: Shape, direction: str) -> CallList:
    """With as many multiplications as one group of the convolution has, and shared out alike."""
    if shape.groups > 1:
        pytest.skip("no product is like a depthwise convolution")
    pixels, steps = shape.n * shape.pixels**2, shape.taps**2 * shape.channels
    m, n, k = {
        "forward": (pixels, shape.outputs, steps),
        "to input": (pixels, shape.channels, shape.taps**2 * shape.outputs),
        "to kernel": (steps, shape.outputs, pixels),
    }[direction]
    flags = TRANSPOSE_A if direction == "to kernel" else 0
    return CallList("matmul", [empty(m, n)], [normal(m, k), normal(k, n), None, None], (m, n, k), (), flags)


@functools.lru_cache(maxsize=2)
def in_torch(shape: Shape, channels_last: bool) -> dict[str, Callable[[], object]]:
    torch = peers.load("torch")
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def tensor(*sizes: int) -> Any:
        return torch.randn(sizes).to(memory_format=layout)

    x = tensor(shape.n, shape.channels, shape.size, shape.size)
    kernel = tensor(shape.outputs, shape.channels // shape.groups, shape.taps, shape.taps)
    y = tensor(shape.n, shape.outputs, shape.pixels, shape.pixels)
    pad, options = shape.taps // 2, {"stride": shape.stride, "groups": shape.groups}

    def back(wanted: list[bool]) -> Callable[[], object]:
        stride, pads, dilation = [shape.stride] * 2, [pad] * 2, [1, 1]
        return lambda: torch.ops.aten.convolution_backward(
            y, x, kernel, None, stride, pads, dilation, False, [0, 0], shape.groups, wanted
        )

    return {
        "forward": lambda: torch.nn.functional.conv2d(x, kernel, padding=pad, **options),
        "to input": back([True, False, False]),
        "to kernel": back([False, True, False]),
    }
