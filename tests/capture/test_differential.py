"""Random programs of state changes, with captured steps and with the same steps in eager: bit for bit the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers

Action = Callable[["World"], Any]


class World:
    """A nested model, two free leaves, an optimizer for each, steps over them, and gradients that somebody holds."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        tr.manual_seed(4)
        inner = tr.Sequential([tr.Input(shape=(2,)), layers.Dense(2, activation="tanh"), layers.BatchNorm()])
        inputs = tr.Input(shape=(2,))
        x = layers.Add()([inner(inputs), inputs])
        self.model = tr.Model(inputs, layers.Dense(1)(layers.Dropout(0.3)(x)))
        self.inner = inner
        self.a = tr.tensor([0.5, -1.0], requires_grad=True)
        self.b = tr.Parameter([2.0, 1.0], "b")
        self.opts = [
            tr.optim.SGD([self.a, self.b], lr=0.1, momentum=0.9),
            tr.optim.Adam(self.model.parameters(), lr=0.05),
        ]
        self.held: list[tr.Tensor] = []
        self.results: list[tr.Tensor] = []
        names = ("accumulate", "train", "cleared_at_the_end", "nested", "argument", "reading", "one_leaf", "assigning")
        self.steps = {name: wrap(getattr(self, name)) for name in names}

    def accumulate(self, x: tr.Tensor) -> None:
        (self.a * self.b * x).sum().backward()

    def train(self, x: tr.Tensor) -> tr.Tensor:
        loss = tr.losses.mse(self.a * self.b, x)
        self.opts[0].zero_grad()
        loss.backward()
        self.opts[0].step()
        return loss

    def cleared_at_the_end(self, x: tr.Tensor) -> None:
        (self.a * x * x).sum().backward()
        self.opts[0].step()
        self.opts[0].zero_grad()

    def nested(self, x: tr.Tensor) -> tr.Tensor:
        loss = self.model(x, training=True).square().sum()
        loss.backward()
        self.opts[1].step()
        return loss

    def argument(self, w: tr.Tensor, x: tr.Tensor) -> None:
        (w * w * x).sum().backward()

    def reading(self, x: tr.Tensor) -> tr.Tensor:
        before = self.b.grad
        (self.b * x).sum().backward()
        return self.b.grad * 2.0 if before is None else self.b.grad - before * 0.5

    def one_leaf(self, x: tr.Tensor) -> None:
        self.b.grad = None
        (self.b * self.b * x).sum().backward()
        (self.b * x).sum().backward()

    def assigning(self, x: tr.Tensor) -> None:
        self.a.grad = self.b.grad if self.b.grad is not None else x.detach()

    def seen(self) -> list[Any]:
        leaves = [self.a, self.b, *self.model.weights]
        tensors = [*leaves, *[leaf.grad for leaf in leaves], *self.held, *self.results]
        return [None if t is None else t.numpy().tobytes() for t in tensors]


def actions(rng: random.Random) -> Action:
    """One thing that a program does, the same for each world that it is done to."""
    x = np.round(np.array([[rng.uniform(-2, 2), rng.uniform(-2, 2)] for _ in range(rng.choice([1, 3]))]), 2)
    row = x[0]
    leaf = rng.choice(["a", "b"])
    value, k = rng.random() < 0.5, rng.randrange(2)
    name = rng.choice(["accumulate", "train", "cleared_at_the_end", "reading", "one_leaf", "assigning"])

    def call(world: World, step: str, *arguments: Any) -> None:
        if step == "one_leaf" and not world.b.trainable:
            return  # it raises halfway, which in eager has cleared `.grad` and captured leaves all as it was
        try:
            result = world.steps[step](*arguments)
        except tr.errors.GradientError as error:
            result = tr.tensor(float(len(str(error).partition(";")[0])))
        if result is not None:
            world.results.append(result)

    def freeze_layer(world: World) -> None:
        world.inner.layers[k + 1 - len(world.inner.layers)].trainable = value

    def replace(world: World) -> None:
        world.model.layers[-1].bias = tr.Parameter([float(row[0])], "bias")

    def hold(world: World) -> None:
        gradient = getattr(world, leaf).grad
        world.held += [gradient] if gradient is not None else []

    def eager_backward(world: World) -> None:
        if world.b.trainable:
            (world.b * world.b).sum().backward()

    choices: list[tuple[int, Action]] = [
        (8, lambda world: call(world, name, tr.tensor(row))),
        (3, lambda world: call(world, "nested", tr.tensor(x))),
        (2, lambda world: call(world, "argument", getattr(world, leaf), tr.tensor(row))),
        (1, lambda world: call(world, "argument", tr.tensor(row, requires_grad=True), tr.tensor(row))),
        (2, lambda world: world.opts[k].zero_grad()),
        (2, lambda world: setattr(getattr(world, leaf), "grad", tr.tensor(row) if value else None)),
        (1, lambda world: world.b.assign(row)),
        (1, lambda world: setattr(world.b, "trainable", value)),
        (1, freeze_layer),
        (1, replace),
        (1, lambda world: setattr(world.opts[k], "lr", abs(float(row[0])) / 10)),
        (2, hold),
        (2, eager_backward),
    ]
    return rng.choices([c for _, c in choices], [w for w, _ in choices])[0]


def assert_same(seed: int) -> None:
    with np.errstate(all="ignore"):
        found = []
        for wrap in (lambda step: step, tr.capture):
            rng = random.Random(seed)
            world, seen = World(wrap), []
            for _ in range(rng.randrange(4, 12)):
                actions(rng)(world)
                seen.append(world.seen())
            found.append(seen)
    for i, (eager, captured) in enumerate(zip(*found)):
        assert captured == eager, f"program {seed} differs at action {i}"


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_random_programs_are_the_same_captured(first: int) -> None:
    for seed in range(first, first + 30):
        assert_same(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 9_000, 1_000))
def test_many_random_programs_are_the_same_captured(first: int) -> None:
    for seed in range(first, first + 1_000):
        assert_same(seed)
