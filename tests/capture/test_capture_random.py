"""Captured steps of random nets against eager, bit for bit: what passes, plans and workers may not change.

A net is a list of random ops over what came before, so values are used once, twice, added to themselves, to what they
were made of, and to what shares their parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from seeds import seeds

import tinyres as tr
from tinyres.backends import native

UNITS, ROWS = 80, 20  # two panels of columns, so that a product that overwrites its operand shows


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    before = native.threads() if native.AVAILABLE else 0
    yield
    if native.AVAILABLE:
        native.set_threads(before)


def random_step(seed: int, ops: int = 9) -> tuple[Callable[[tr.Tensor], tr.Tensor], list[tr.Parameter]]:
    rng = np.random.default_rng(seed)
    weights = [tr.Parameter(rng.normal(size=(UNITS, UNITS)) * UNITS**-0.5, f"w{i}") for i in range(3)]
    bias = tr.Parameter(rng.normal(size=UNITS), "bias")
    plan = [(rng.choice(KINDS), *rng.random(2), int(rng.integers(3))) for _ in range(ops)]
    optimizer = tr.optim.SGD([*weights, bias], lr=0.01, momentum=0.9)
    clears = bool(rng.random() < 0.8)

    def step(x: tr.Tensor) -> tr.Tensor:
        values = [tr.dense(x, weights[0], bias)]
        for kind, first, second, which in plan:
            a, b = (values[-1 - int(r * r * len(values))] for r in (first, second))
            values.append(make(kind, a, b, weights[which], bias))
        loss = sum((tr.mean(tr.square(v)) for v in values[1::3]), tr.mean(tr.square(values[-1])))
        if clears:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, [*weights, bias]


KINDS = ["dense", "relu of dense", "matmul", "transposed", "relu", "add", "residual", "twice", "scale", "batchnorm"]


def make(kind: str, a: tr.Tensor, b: tr.Tensor, w: tr.Tensor, bias: tr.Tensor) -> tr.Tensor:
    if kind == "dense":
        return tr.dense(a, w, bias)
    if kind == "relu of dense":
        return tr.dense(a, w, bias, "relu")
    if kind == "matmul":
        return a @ w
    if kind == "transposed":
        return a @ tr.transpose(w)
    if kind == "relu":
        return tr.relu(a)
    if kind == "add":
        return a + b
    if kind == "residual":
        return tr.relu(a + tr.dense(a, w, bias))
    if kind == "twice":
        return a + a
    if kind == "scale":
        return a * 0.5
    return (a - tr.mean(a, axis=0)) * 0.7


def run(step: Callable[[tr.Tensor], tr.Tensor], parameters: list[tr.Parameter]) -> list[bytes]:
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(3):
        loss = step(tr.tensor(rng.normal(size=(ROWS, UNITS))))
        seen.append(loss.numpy().tobytes())
    gradients = [p.grad for p in parameters if p.grad is not None]
    return seen + [t.numpy().tobytes() for t in (*parameters, *gradients)]


@pytest.mark.parametrize("seed", seeds(60, 20))
def test_a_random_net_is_captured_bit_for_bit(seed: int) -> None:
    eager = run(*random_step(seed))
    for threads in (1, 2) if native.AVAILABLE else (1,):
        if native.AVAILABLE:
            native.set_threads(threads)
        step, parameters = random_step(seed)
        assert run(tr.capture(step), parameters) == eager, f"{threads} threads"


def assert_replays_its_gradients(loss_of: Callable[[], tr.Tensor], *leaves: tr.Tensor) -> None:
    """The gradients of the leaves are the same in eager and in a replay."""

    def step() -> tr.Tensor:
        loss = loss_of()
        for leaf in leaves:
            leaf.grad = None
        loss.backward()
        return loss

    found = []
    for run_step in (step, tr.capture(step)):
        run_step()
        found.append([leaf.grad.numpy() for leaf in leaves])
    for eager, replayed in zip(*found):
        np.testing.assert_array_equal(replayed, eager)


def leaves(*shapes: tuple[int, int]) -> list[tr.Tensor]:
    rng = np.random.default_rng(0)
    return [tr.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]


def test_a_gradient_that_is_an_operand_of_the_product_it_is_added_to() -> None:
    """h + h @ w: backward adds g @ wᵀ to g."""
    x, a, w = leaves((128, 20), (20, 256), (256, 256))

    def loss() -> tr.Tensor:
        h = x @ a
        return tr.mean(tr.square(h + h @ w))

    assert_replays_its_gradients(loss, x, a, w)


def test_a_product_that_is_added_to_itself() -> None:
    x, a, b = leaves((4, 16), (16, 16), (16, 16))

    def loss() -> tr.Tensor:
        h = x @ a
        return ((h + h) @ b).sum()

    assert_replays_its_gradients(loss, x, a, b)


def test_a_product_that_moves_over_the_write_of_an_earlier_fusion() -> None:
    w0, w1, w2, w3 = leaves((16, 16), (16, 16), (16, 16), (16, 16))
    x = tr.tensor(np.random.default_rng(1).normal(size=(4, 16)))

    def loss() -> tr.Tensor:
        z, q = x @ w0, x @ w1
        c = z * 2.0
        r = q @ w2
        s = z @ w3 + q
        return (s * s).sum() + (r * r).sum() + (c * c).sum()

    assert_replays_its_gradients(loss, w0, w1, w2, w3)


def test_subnormal_gradients_and_activations_are_captured_bit_for_bit() -> None:
    tiny = np.full((4, 64), 1e-40, np.float32)
    x, z = tr.tensor(np.ones((4, 64)), requires_grad=True), tr.tensor(tiny, requires_grad=True)
    none, ones = (tr.tensor(np.full((64, 64), value), requires_grad=True) for value in (0.0, 1.0))

    def loss() -> tr.Tensor:
        h = x * 1.0
        return (h * tr.tensor(tiny)).sum() + (h @ none).sum() + (tr.relu(z * 1.0) @ ones).sum()

    assert_replays_its_gradients(loss, x, z, none, ones)
