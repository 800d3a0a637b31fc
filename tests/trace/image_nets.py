"""Small nets of images, traced on white pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinyres as tr
from tinyres.measure.graph import Graph


def images(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, size, size, 3)).astype(np.float32), rng.integers(0, 10, batch)


def compiled(model: tr.Model) -> tr.Model:
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


def resnet(depth: int, version: int = 1, width: int = 4, size: int = 8, seed: int = 0, **options: Any) -> tr.Model:
    tr.manual_seed(seed)
    return compiled(tr.applications.resnet(depth, 10, (size, size, 3), version, width, **options))


def graph(model: tr.Model, batch: int = 32) -> Graph:
    return model.graph(*images(batch, model.input_shape[1]))
