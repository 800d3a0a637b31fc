"""What else a train step is made of: batch normalisation, the loss, and the update of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rows.row import Array, Row, Rows, Run, empty, in_jax, in_torch, labels, normal

EPSILON = 1e-3


def norm_rows() -> Rows:
    for rows, columns in ((1000, 100), (10_000, 100)):
        yield f"batchnorm forward {rows}x{columns}", partial(batchnorm_row, rows, columns)
        yield f"batchnorm backward {rows}x{columns}", partial(batchnorm_grad_row, rows, columns)


def batchnorm_row(rows: int, columns: int) -> Row:
    x, gamma, beta, out = normal(rows, columns), normal(columns), normal(columns), empty(rows, columns)

    def numpy() -> None:
        np.subtract(x, x.mean(axis=0), out=out)
        scale = gamma / np.sqrt(np.einsum("ij,ij->j", out, out) / rows + EPSILON)
        np.multiply(out, scale, out=out)
        np.add(out, beta, out=out)

    def torch(torch: Any, x: Any, gamma: Any, beta: Any) -> Run:
        batch_norm = torch.nn.functional.batch_norm
        return lambda: batch_norm(x, None, None, gamma, beta, training=True, eps=EPSILON)

    def jax(jax: Any) -> Callable[..., Any]:
        return lambda x, gamma, beta: _jax_batchnorm(jax, x, gamma, beta)

    return Row(
        "batchnorm",
        [empty(rows, columns), empty(columns), empty(columns)], [x, gamma, beta], (rows, columns), (EPSILON,),
        peers={"numpy": lambda: numpy, "torch": in_torch(torch, x, gamma, beta), "jax": in_jax(jax, x, gamma, beta)},
        work=8.0 * rows * columns,
    )  # fmt: skip


def _jax_batchnorm(jax: Any, x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(axis=0)
    return centred * (gamma * jax.lax.rsqrt((centred * centred).mean(axis=0) + EPSILON)) + beta


def batchnorm_grad_row(rows: int, columns: int) -> Row:
    g, x, gamma, dx = normal(rows, columns), normal(rows, columns), normal(columns), empty(rows, columns)
    mean, var = x.mean(axis=0), x.var(axis=0)

    def numpy() -> None:
        rsqrt = 1 / np.sqrt(var + EPSILON)
        normalised = (x - mean) * rsqrt
        dgamma, dbeta = np.einsum("ij,ij->j", g, normalised), g.sum(axis=0)
        np.multiply(normalised, dgamma / -rows, out=dx)
        np.add(dx, g, out=dx)
        np.subtract(dx, dbeta / rows, out=dx)
        np.multiply(dx, gamma * rsqrt, out=dx)

    def torch(torch: Any, g: Any, x: Any, gamma: Any) -> Run:
        backward, three = torch.ops.aten.native_batch_norm_backward, [True, True, True]
        _, saved_mean, saved_rsqrt = torch.native_batch_norm(x, gamma, None, None, None, True, 0.0, EPSILON)
        return lambda: backward(g, x, gamma, None, None, saved_mean, saved_rsqrt, True, EPSILON, three)

    def jax(jax: Any) -> Callable[..., Any]:
        def gradients(g: Any, x: Any, mean: Any, var: Any, gamma: Any) -> Any:
            rsqrt = jax.lax.rsqrt(var + EPSILON)
            normalised = (x - mean) * rsqrt
            dgamma, dbeta = (g * normalised).sum(axis=0), g.sum(axis=0)
            return (g - dbeta / rows - normalised * (dgamma / rows)) * (gamma * rsqrt), dgamma, dbeta

        return gradients

    return Row(
        "batchnorm_grad",
        [empty(rows, columns), empty(columns), empty(columns)], [g, x, mean, var, gamma], (rows, columns), (EPSILON,),
        peers={
            "numpy": lambda: numpy,
            "torch": in_torch(torch, g, x, gamma),
            "jax": in_jax(jax, g, x, mean, var, gamma),
        },
        limit="triad", work=12.0 * rows * columns,
    )  # fmt: skip


def loss_rows() -> Rows:
    for rows, classes in ((32, 10), (1000, 100), (10_000, 100)):
        yield f"loss softmax_cross_entropy {rows}x{classes}", partial(cross_entropy_row, rows, classes)


def cross_entropy_row(rows: int, classes: int) -> Row:
    logits, answers, exponentials = normal(rows, classes), labels(rows, classes), empty(rows, classes)
    index = np.arange(rows)

    def numpy() -> object:
        np.subtract(logits, logits.max(axis=1, keepdims=True), out=exponentials)
        picked = exponentials[index, answers]
        np.exp(exponentials, out=exponentials)
        totals = exponentials.sum(axis=1)
        np.divide(exponentials, totals[:, None], out=exponentials)
        return (np.log(totals) - picked).mean()

    def torch(torch: Any, logits: Any, answers: Any) -> Run:
        def run() -> object:
            log_probabilities = torch.log_softmax(logits, 1)
            return torch.nn.functional.nll_loss(log_probabilities, answers)

        return run

    def jax(jax: Any) -> Callable[..., Any]:
        def loss(logits: Any, answers: Any) -> Any:
            log_probabilities = jax.nn.log_softmax(logits)
            picked = jax.numpy.take_along_axis(log_probabilities, answers[:, None], axis=1)
            return -picked.mean(), jax.numpy.exp(log_probabilities)

        return loss

    return Row(
        "softmax_cross_entropy",
        [empty(1), empty(rows, classes)], [logits, answers], (rows, classes),
        peers={
            "numpy": lambda: numpy,
            "torch": in_torch(torch, logits, answers),
            "jax": in_jax(jax, logits, answers),
        },
        work=8.0 * rows * classes,
    )  # fmt: skip


def update_rows() -> Rows:
    for n in (4096, 100_000, 1_000_000):
        yield f"update sgd {n:,}", partial(sgd_row, n)
        yield f"update adam {n:,}", partial(adam_row, n)


LEARNING_RATE, MOMENTUM, BETA = 1e-3, 0.9, 0.999


def hyper() -> Array:
    """What the optimizer kernels read: learning rate, two decay rates, epsilon, weight decay, scale, step, norm."""
    return np.array([LEARNING_RATE, MOMENTUM, BETA, 1e-8, 0.0, 1.0, 1.0, np.inf])


def sgd_row(n: int) -> Row:
    p, v, g, scratch = normal(n), empty(n), normal(n), empty(n)

    def numpy() -> None:
        np.multiply(v, MOMENTUM, out=v)
        np.add(v, g, out=v)
        np.multiply(v, LEARNING_RATE, out=scratch)
        np.subtract(p, scratch, out=p)

    def torch(torch: Any, p: Any, g: Any) -> Run:
        p = p.clone().requires_grad_()
        p.grad = g
        return torch.optim.SGD([p], lr=LEARNING_RATE, momentum=MOMENTUM, fused=True).step

    def jax(jax: Any) -> Callable[..., Any]:
        def update(p: Any, v: Any, g: Any) -> Any:
            v = MOMENTUM * v + g
            return p - LEARNING_RATE * v, v

        return update

    return Row(
        "sgd", [p.copy(), v.copy()], [g, hyper()], (n,),
        peers={"numpy": lambda: numpy, "torch": in_torch(torch, p, g), "jax": in_jax(jax, p, v, g)},
        limit="triad", work=20.0 * n,
    )  # fmt: skip


def adam_row(n: int) -> Row:
    p, m, v, g, scratch = normal(n), empty(n), empty(n), normal(n), empty(n)
    rate, root = LEARNING_RATE / (1 - MOMENTUM), 1 / np.sqrt(1 - BETA)

    def numpy() -> None:
        np.multiply(m, MOMENTUM, out=m)
        np.multiply(g, 1 - MOMENTUM, out=scratch)
        np.add(m, scratch, out=m)
        np.multiply(v, BETA, out=v)
        np.multiply(g, g, out=scratch)
        np.multiply(scratch, 1 - BETA, out=scratch)
        np.add(v, scratch, out=v)
        np.sqrt(v, out=scratch)
        np.multiply(scratch, root, out=scratch)
        np.add(scratch, 1e-8, out=scratch)
        np.divide(m, scratch, out=scratch)
        np.multiply(scratch, rate, out=scratch)
        np.subtract(p, scratch, out=p)

    def torch(torch: Any, p: Any, g: Any) -> Run:
        p = p.clone().requires_grad_()
        p.grad = g
        return torch.optim.Adam([p], lr=LEARNING_RATE, fused=True).step

    def jax(jax: Any) -> Callable[..., Any]:
        def update(p: Any, m: Any, v: Any, g: Any) -> Any:
            m = MOMENTUM * m + (1 - MOMENTUM) * g
            v = BETA * v + (1 - BETA) * g * g
            return p - rate * m / (jax.numpy.sqrt(v) * root + 1e-8), m, v

        return update

    return Row(
        "adam", [p.copy(), m.copy(), v.copy()], [g, hyper()], (n,),
        peers={"numpy": lambda: numpy, "torch": in_torch(torch, p, g), "jax": in_jax(jax, p, m, v, g)},
        limit="triad", work=28.0 * n,
    )  # fmt: skip
