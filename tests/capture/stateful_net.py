"""A net with everything that keeps state, and how it is trained: by it captured steps are compared with eager."""

from __future__ import annotations

import numpy as np

import tinyres as tr
from tinyres import layers

OPTIMIZERS = {
    "sgd": lambda params: tr.optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda params: tr.optim.Adam(params, lr=0.01, clip_norm=0.5),
    "adamw": lambda params: tr.optim.AdamW(params, lr=0.01, weight_decay=0.1),
}


class Net:
    """Two residual blocks with everything that keeps state: BatchNorm, dropout, an optimizer."""

    def __init__(self, optimizer: str = "adam", dropout: float = 0.2) -> None:
        tr.manual_seed(3)
        inputs = x = tr.Input(shape=(12,))
        for i in range(2):
            with tr.name_scope(f"block{i}"):
                shortcut = x
                x = layers.Dense(12, activation="relu")(x)
                x = layers.BatchNorm()(x)
                x = layers.Dropout(dropout)(x)
                x = layers.Dense(12)(x)
                x = layers.Activation("relu")(layers.Add()([x, shortcut]))
        self.model = tr.Model(inputs, layers.Dense(4)(x))
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())

    def step(self, x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        loss = tr.losses.softmax_cross_entropy(self.model(x, training=True), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def everything(self) -> list[np.ndarray]:
        return [*self.model.get_weights(), *[p.grad.numpy() for p in self.model.parameters() if p.grad is not None]]


def batches(steps: int, n: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, 12)).astype("f4"), rng.integers(0, 4, n)) for _ in range(steps)]


def trained(step, net: Net, steps: int = 100, schedule: bool = True) -> tuple[list[float], list[np.ndarray]]:
    losses = []
    for i, (x, y) in enumerate(batches(steps)):
        if schedule and i % 10 == 0:
            net.optimizer.lr = 0.05 / (1 + i)
        losses.append(float(step(tr.tensor(x), tr.tensor(y, dtype="int64"))))
    return losses, net.everything()


def assert_identical(a: tuple[list[float], list[np.ndarray]], b: tuple[list[float], list[np.ndarray]]) -> None:
    assert a[0] == b[0]
    assert len(a[1]) == len(b[1])
    for one, other in zip(a[1], b[1]):
        np.testing.assert_array_equal(one, other)
