"""The train step in PyTorch, eager, with the ordinary and with the fused optimizer."""

from __future__ import annotations

import numpy as np
import peers

from steps.contenders import Step
from steps.task import BATCHNORM_MOMENTUM, EPSILON, LEARNING_RATE, MOMENTUM, Size, Weights

torch = peers.load("torch")
F = torch.nn.functional


def eager(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    return _step(size, weights, x, labels, fused=False)


def fused(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    return _step(size, weights, x, labels, fused=True)


class _Block(torch.nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.dense, self.dense_1 = torch.nn.Linear(units, units), torch.nn.Linear(units, units)
        self.norm, self.norm_1 = (
            torch.nn.BatchNorm1d(units, eps=EPSILON, momentum=1 - BATCHNORM_MOMENTUM) for _ in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(F.relu(self.dense(x)))
        return F.relu(self.norm_1(self.dense_1(h)) + x)


def _step(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray, fused: bool) -> Step:
    net = torch.nn.Sequential()
    net.add_module("stem", torch.nn.Linear(x.shape[1], size.units))
    net.add_module("relu", torch.nn.ReLU())
    for i in range(size.blocks):
        net.add_module(f"block{i}", _Block(size.units))
    net.add_module("head", torch.nn.Linear(size.units, weights["head/bias"].size))
    named = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
    with torch.no_grad():
        for path, value in weights.items():
            *modules, leaf = path.split("/")
            parameter = net.get_parameter(".".join([*modules, named[leaf]]))
            parameter.copy_(torch.from_numpy(value.T if leaf == "kernel" else value))
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=fused)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(labels)

    def step() -> torch.Tensor:
        loss = F.cross_entropy(net(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
