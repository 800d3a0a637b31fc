"""The train step by hand in NumPy: everything allocated once, every operation in place, one flat parameter vector."""

from __future__ import annotations

import numpy as np

from steps.contenders import Step
from steps.task import BATCHNORM_MOMENTUM, CLASSES, EPSILON, LEARNING_RATE, MOMENTUM, Size, Weights

Array = np.ndarray


def by_hand(size: Size, weights: Weights, x: Array, labels: Array) -> Step:
    store = _Store(weights)
    stem = _Dense(store, "stem", x.shape, relu=True, input_grad=False)
    blocks = [_Block(store, f"block{i}", size) for i in range(size.blocks)]
    head = _Dense(store, "head", (size.batch, size.units))
    loss = _Loss(labels)

    def step() -> float:
        h = stem.forward(x)
        for block in blocks:
            h = block.forward(h)
        value = loss.forward(head.forward(h))
        g = head.backward(loss.backward())
        for block in reversed(blocks):
            g = block.backward(g)
        stem.backward(g)
        store.update()
        return value

    return step


class _Store:
    """All parameters in one vector, their gradients and momenta in two more; a layer gets views."""

    def __init__(self, weights: Weights) -> None:
        self.values = np.concatenate([w.ravel() for w in weights.values()])
        self.grads, self.momenta, self.scratch = (np.zeros_like(self.values) for _ in range(3))
        self._views: dict[str, tuple[Array, Array]] = {}
        start = 0
        for name, w in weights.items():
            part = slice(start, start + w.size)
            self._views[name] = self.values[part].reshape(w.shape), self.grads[part].reshape(w.shape)
            start += w.size

    def __getitem__(self, name: str) -> tuple[Array, Array]:
        return self._views[name]

    def update(self) -> None:
        np.multiply(self.momenta, MOMENTUM, out=self.momenta)
        np.add(self.momenta, self.grads, out=self.momenta)
        np.multiply(self.momenta, LEARNING_RATE, out=self.scratch)
        np.subtract(self.values, self.scratch, out=self.values)


class _Dense:
    def __init__(
        self, store: _Store, name: str, shape: tuple[int, ...], relu: bool = False, input_grad: bool = True
    ) -> None:
        (self.kernel, self.kernel_grad), (self.bias, self.bias_grad) = store[f"{name}/kernel"], store[f"{name}/bias"]
        self.out = np.empty((shape[0], self.kernel.shape[1]), np.float32)
        self.active = np.empty(self.out.shape, bool) if relu else None
        self.x_grad = np.empty(shape, np.float32) if input_grad else None

    def forward(self, x: Array) -> Array:
        self.x = x
        np.matmul(x, self.kernel, out=self.out)
        np.add(self.out, self.bias, out=self.out)
        if self.active is not None:
            np.maximum(self.out, 0, out=self.out)
        return self.out

    def backward(self, g: Array) -> Array | None:
        if self.active is not None:
            np.greater(self.out, 0, out=self.active)
            np.multiply(g, self.active, out=g)
        np.matmul(self.x.T, g, out=self.kernel_grad)
        np.sum(g, axis=0, out=self.bias_grad)
        return None if self.x_grad is None else np.matmul(g, self.kernel.T, out=self.x_grad)


class _BatchNorm:
    def __init__(self, store: _Store, name: str, shape: tuple[int, ...]) -> None:
        (self.gamma, self.gamma_grad), (self.beta, self.beta_grad) = store[f"{name}/gamma"], store[f"{name}/beta"]
        self.normal, self.out, self.x_grad = (np.empty(shape, np.float32) for _ in range(3))
        self.mean, self.var = np.empty(shape[1], np.float32), np.empty(shape[1], np.float32)
        self.moving_mean, self.moving_var = np.zeros(shape[1], np.float32), np.ones(shape[1], np.float32)
        self.per_row = np.float32(1 / shape[0])

    def forward(self, x: Array) -> Array:
        np.sum(x, axis=0, out=self.mean)
        np.multiply(self.mean, self.per_row, out=self.mean)
        np.subtract(x, self.mean, out=self.normal)
        np.einsum("ij,ij->j", self.normal, self.normal, out=self.var)
        np.multiply(self.var, self.per_row, out=self.var)
        self.rsqrt = 1 / np.sqrt(self.var + np.float32(EPSILON))
        np.multiply(self.normal, self.rsqrt, out=self.normal)
        np.multiply(self.normal, self.gamma, out=self.out)
        np.add(self.out, self.beta, out=self.out)
        for moving, now in ((self.moving_mean, self.mean), (self.moving_var, self.var)):
            np.multiply(moving, BATCHNORM_MOMENTUM, out=moving)
            np.add(moving, now * np.float32(1 - BATCHNORM_MOMENTUM), out=moving)
        return self.out

    def backward(self, g: Array) -> Array:
        np.sum(g, axis=0, out=self.beta_grad)
        np.einsum("ij,ij->j", g, self.normal, out=self.gamma_grad)
        np.multiply(self.normal, self.gamma_grad * -self.per_row, out=self.x_grad)
        np.add(self.x_grad, g, out=self.x_grad)
        np.subtract(self.x_grad, self.beta_grad * self.per_row, out=self.x_grad)
        return np.multiply(self.x_grad, self.gamma * self.rsqrt, out=self.x_grad)


class _Block:
    def __init__(self, store: _Store, name: str, size: Size) -> None:
        shape = size.batch, size.units
        self.branch = [
            _Dense(store, f"{name}/dense", shape, relu=True),
            _BatchNorm(store, f"{name}/norm", shape),
            _Dense(store, f"{name}/dense_1", shape),
            _BatchNorm(store, f"{name}/norm_1", shape),
        ]
        self.out, self.active = np.empty(shape, np.float32), np.empty(shape, bool)

    def forward(self, x: Array) -> Array:
        h = x
        for layer in self.branch:
            h = layer.forward(h)
        np.add(h, x, out=self.out)
        return np.maximum(self.out, 0, out=self.out)

    def backward(self, g: Array) -> Array:
        np.greater(self.out, 0, out=self.active)
        np.multiply(g, self.active, out=g)
        through = g
        for layer in reversed(self.branch):
            through = layer.backward(through)
        return np.add(through, g, out=through)


class _Loss:
    """Mean softmax cross-entropy."""

    def __init__(self, labels: Array) -> None:
        self.picked = np.arange(len(labels)), labels
        self.probabilities = np.empty((len(labels), CLASSES), np.float32)

    def forward(self, logits: Array) -> float:
        np.subtract(logits, logits.max(axis=1, keepdims=True), out=self.probabilities)
        shifted = self.probabilities[self.picked]
        np.exp(self.probabilities, out=self.probabilities)
        totals = self.probabilities.sum(axis=1)
        np.divide(self.probabilities, totals[:, None], out=self.probabilities)
        return float((np.log(totals) - shifted).mean())

    def backward(self) -> Array:
        self.probabilities[self.picked] -= 1
        return np.multiply(self.probabilities, np.float32(1 / len(self.probabilities)), out=self.probabilities)
