"""Nets of PyTorch as people write them, each right or with one bug planted; and torchvision, made to load."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Reverses(torch.autograd.Function):
    """The identity in its values; its gradient is turned around."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return -g


def _doubled(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    y += x
    y += x
    return y


def _without_gradient(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        shortcut = 0.5 * x
    y += shortcut
    return y


def _in_place(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    y += x
    return y


JOINS = {
    "right": _in_place,
    "missing": lambda y, x: y,
    "doubled": _doubled,
    "detached": lambda y, x: y + x.detach(),
    "through NumPy": lambda y, x: y + torch.from_numpy(x.detach().numpy()),
    "without gradient": _without_gradient,
    "ReLU on the skip": lambda y, x: y + functional.relu(x - 0.1),
    "scaled": lambda y, x: y + 0.5 * x,
    "normalised": lambda y, x: y + functional.layer_norm(x, x.shape[1:]),
    "dropped": lambda y, x: y + functional.dropout(x, 0.3),
    "reversed": lambda y, x: y + Reverses.apply(x),
    "dead": lambda y, x: y * 0.0 + x,
}


class ConvBlock(nn.Module):
    """He 2015 with in-place ReLUs, one module for both; `join` puts branch and skip together."""

    def __init__(self, channels: int, join: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.join = join

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(JOINS[self.join](y, x))


class ConvNet(nn.Module):
    """Five blocks of convolutions, of which the third joins as told."""

    def __init__(self, join: str = "right", checkpoints: bool | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvBlock(8, join if i == 2 else "right") for i in range(5)))
        self.head = nn.Linear(8, 10)
        self.checkpoints = checkpoints

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = functional.relu(self.stem(x))
        for block in self.blocks:
            h = block(h) if self.checkpoints is None else checkpoint(block, h, use_reentrant=self.checkpoints)
        return self.head(h.mean((2, 3)))


IMAGES = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(64) % 10


def classified(logits: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, LABELS[: len(logits)])


@functools.cache
def torchvision() -> Any:
    """torchvision, whose models are Python; the ops of detection that its import asks for are declared, not loaded."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torchvision.library = library  # kept, or the ops would go with it
    try:
        import torchvision as found
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision does not load: {error}")
    return found
