"""The task that all contenders share: sizes, first weights, data, and how much work its matrix products are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FEATURES, CLASSES = 64, 10
LEARNING_RATE, MOMENTUM = 0.01, 0.9
BATCHNORM_MOMENTUM, EPSILON = 0.99, 1e-3


class Size(NamedTuple):
    batch: int
    units: int
    blocks: int

    def __str__(self) -> str:
        return f"{self.batch}/{self.units}/{self.blocks}"


SIZES = [
    Size(32, 32, 4),
    Size(32, 32, 16),
    Size(32, 64, 16),
    Size(32, 64, 64),
    Size(32, 128, 16),
    Size(32, 256, 64),
    Size(256, 64, 16),
    Size(256, 128, 16),
    Size(256, 256, 16),
]

Weights = dict[str, np.ndarray]


def first_weights(size: Size, seed: int = 0) -> Weights:
    """By name: `stem`, `block<i>/dense`, `block<i>/dense_1` and `head`, each `/kernel` (inputs, outputs) and `/bias`;
    `block<i>/norm` and `/norm_1`, each `/gamma` and `/beta`."""
    rng = np.random.default_rng(seed)
    weights: Weights = {}

    def dense(name: str, inputs: int, outputs: int) -> None:
        limit = np.sqrt(6 / (inputs + outputs))
        weights[f"{name}/kernel"] = rng.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
        weights[f"{name}/bias"] = np.zeros(outputs, np.float32)

    dense("stem", FEATURES, size.units)
    for i in range(size.blocks):
        for suffix in ("", "_1"):
            dense(f"block{i}/dense{suffix}", size.units, size.units)
            weights[f"block{i}/norm{suffix}/gamma"] = np.ones(size.units, np.float32)
            weights[f"block{i}/norm{suffix}/beta"] = np.zeros(size.units, np.float32)
    dense("head", size.units, CLASSES)
    return weights


def batch_of(size: Size, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (batch, 64), float32, and labels (batch,), int64."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((size.batch, FEATURES), np.float32), rng.integers(0, CLASSES, size.batch)


def gemm_flops(size: Size) -> int:
    """The FLOPs of all matrix products of a step: forward and both gradients, but none for the input itself."""
    square = 2 * size.batch * size.units**2
    stem = 2 * size.batch * FEATURES * size.units
    head = 2 * size.batch * size.units * CLASSES
    return 3 * 2 * size.blocks * square + 2 * stem + 3 * head
