"""Nets of PyTorch whose ONNX files are read; imported where PyTorch is there."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions and a skip, added in place."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x
        return self.relu(y)


class Images(nn.Module):
    """A stem, two blocks, a mean over the image and five classes."""

    def __init__(self):
        super().__init__()
        self.stem, self.layer1 = nn.Conv2d(3, 8, 3, 2, 1), nn.Sequential(Block(8), Block(8))
        self.pool, self.answer = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x):
        return self.answer(torch.flatten(self.pool(self.layer1(self.stem(x))), 1))
