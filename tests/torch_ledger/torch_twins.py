"""The same nets in tinyres and in PyTorch, with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import tinyres as tr
from tinyres import layers


class Twins(NamedTuple):
    """A Model and a module of the same net, the blocks by their names in either, and one batch."""

    model: tr.Model
    module: nn.Module
    blocks: dict[str, str]
    x: np.ndarray
    y: np.ndarray

    def traces(self, **options: Any) -> tuple[tr.Trace, tr.Trace]:
        """What tinyres measures on its own net, and on that of PyTorch."""
        mine = self.model.graph(self.x, self.y, loss=tr.losses.softmax_cross_entropy).trace()
        given = torch.from_numpy(self.x) if self.x.ndim < 4 else torch.from_numpy(self.x).permute(0, 3, 1, 2)
        return mine, tr.torch.trace(self.module, given, loss=self.loss, **options)

    @property
    def loss(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda logits: functional.cross_entropy(logits, torch.from_numpy(self.y))


class ResidualMLP(nn.Module):
    """He 2015, of dense layers."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(units, units), nn.Linear(units, units)
        self.na, self.nb = nn.BatchNorm1d(units, eps=1e-3), nn.BatchNorm1d(units, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.nb(self.b(torch.relu(self.na(self.a(x))))) + x)


def residual_mlp(blocks: int = 4, units: int = 16) -> Twins:
    (x, y), _ = tr.data.load_digits()
    inputs = h = tr.Input(shape=(64,))
    h = layers.Dense(units)(h)
    for i in range(blocks):
        with tr.name_scope(f"block{i}"):
            h = layers.blocks.he2015(h, units)
    model = tr.Model(inputs, layers.Dense(10)(h))
    module = nn.Sequential(nn.Linear(64, units), *(ResidualMLP(units) for _ in range(blocks)), nn.Linear(units, 10))
    _copy_dense(model, module)
    return Twins(model, module, {f"block{i}": str(i + 1) for i in range(blocks)}, x[:64], y[:64])


def _copy_dense(model: tr.Model, module: nn.Module) -> None:
    dense = [step.layer for step in model.steps if isinstance(step.layer, layers.Dense)]
    with torch.no_grad():
        for mine, theirs in zip(dense, [m for m in module.modules() if isinstance(m, nn.Linear)], strict=True):
            theirs.weight.copy_(torch.tensor(mine.kernel.numpy().T))
            theirs.bias.copy_(torch.zeros_like(theirs.bias) if mine.bias is None else torch.tensor(mine.bias.numpy()))
