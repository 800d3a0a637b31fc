"""The train step in JAX, compiled whole with donated state: blocks unrolled, and as one scanned block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import peers

from steps.contenders import Step
from steps.task import BATCHNORM_MOMENTUM, EPSILON, LEARNING_RATE, MOMENTUM, Size, Weights

jax = peers.load("jax")
jnp = jax.numpy
Tree = Any


def unrolled(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    def blocks(p: Tree, moving: Tree, h: Any) -> tuple[Any, Tree]:
        kept = []
        for block, statistics in zip(p["blocks"], moving):
            h, now = _block(block, statistics, h)
            kept.append(now)
        return h, kept

    per_block = _per_block(size, weights)
    return _step(weights, per_block, [_first_statistics(size)] * size.blocks, blocks, x, labels)


def scanned(size: Size, weights: Weights, x: np.ndarray, labels: np.ndarray) -> Step:
    def blocks(p: Tree, moving: Tree, h: Any) -> tuple[Any, Tree]:
        return jax.lax.scan(lambda h, block: _block(*block, h), h, (p["blocks"], moving))

    def stacked(trees: list[Tree]) -> Tree:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

    statistics = stacked([_first_statistics(size)] * size.blocks)
    return _step(weights, stacked(_per_block(size, weights)), statistics, blocks, x, labels)


def _per_block(size: Size, weights: Weights) -> list[Weights]:
    return [
        {name.split("/", 1)[1]: w for name, w in weights.items() if name.startswith(f"block{i}/")}
        for i in range(size.blocks)
    ]


def _first_statistics(size: Size) -> Tree:
    return [(np.zeros(size.units, np.float32), np.ones(size.units, np.float32))] * 2


def _dense(p: Tree, name: str, x: Any) -> Any:
    return x @ p[f"{name}/kernel"] + p[f"{name}/bias"]


def _norm(p: Tree, name: str, moving: Tree, x: Any) -> tuple[Any, Tree]:
    mean = x.mean(axis=0)
    var = jnp.square(x - mean).mean(axis=0)
    y = (x - mean) * (jax.lax.rsqrt(var + EPSILON) * p[f"{name}/gamma"]) + p[f"{name}/beta"]
    kept = BATCHNORM_MOMENTUM
    return y, (moving[0] * kept + mean * (1 - kept), moving[1] * kept + var * (1 - kept))


def _block(p: Tree, moving: Tree, x: Any) -> tuple[Any, Tree]:
    h, first = _norm(p, "norm", moving[0], jax.nn.relu(_dense(p, "dense", x)))
    h, second = _norm(p, "norm_1", moving[1], _dense(p, "dense_1", h))
    return jax.nn.relu(h + x), [first, second]


def _step(
    weights: Weights,
    block_weights: Tree,
    statistics: Tree,
    blocks: Callable[[Tree, Tree, Any], tuple[Any, Tree]],
    x: np.ndarray,
    labels: np.ndarray,
) -> Step:
    ends = {name: w for name, w in weights.items() if name.startswith(("stem", "head"))}

    def loss_of(p: Tree, moving: Tree, x: Any, labels: Any) -> tuple[Any, Tree]:
        h, kept = blocks(p, moving, jax.nn.relu(_dense(p["ends"], "stem", x)))
        log_probabilities = jax.nn.log_softmax(_dense(p["ends"], "head", h))
        return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean(), kept

    def train_step(state: Tree, x: Any, labels: Any) -> tuple[Tree, Any]:
        p, momenta, moving = state
        (loss, moving), grads = jax.value_and_grad(loss_of, has_aux=True)(p, moving, x, labels)
        momenta = jax.tree.map(lambda v, g: MOMENTUM * v + g, momenta, grads)
        p = jax.tree.map(lambda w, v: w - LEARNING_RATE * v, p, momenta)
        return (p, momenta, moving), loss

    compiled = jax.jit(train_step, donate_argnums=0)
    parameters = jax.tree.map(jnp.array, {"ends": ends, "blocks": block_weights})
    state = parameters, jax.tree.map(jnp.zeros_like, parameters), jax.tree.map(jnp.array, statistics)
    inputs, targets = jnp.asarray(x), jnp.asarray(labels.astype(np.int32))

    def step() -> Any:
        nonlocal state
        state, loss = compiled(state, inputs, targets)
        return jax.block_until_ready(loss)

    return step
