"""A world whose state is changed by random programs: leaves, nested models, optimizers, a training with callbacks."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

import tinyres as tr
from tinyres import layers
from tinyres.errors import TinyresError

Action = Callable[["World"], Any]
STEPS = ("accumulate", "train", "cleared_at_the_end", "reading", "one_leaf", "assigning", "rows")
MOMENTS = [name for name in vars(tr.callbacks.Callback) if name.startswith(("on_train", "on_epoch", "on_test"))]
X = np.round(np.random.default_rng(0).normal(size=(5, 2)), 2)


class Holding(layers.Layer):
    """A layer of the user's own that holds a model, which may be another one later."""

    def __init__(self, inside: tr.Model) -> None:
        super().__init__()
        self.inside = inside

    def call(self, x: tr.Tensor, training: bool = False) -> tr.Tensor:
        return self.inside(x, training=training) + x


class Acting(tr.callbacks.Callback):
    """Does to the world, each time that a moment comes, what is listed for it."""

    def __init__(self, world: World, listed: dict[str, Action]) -> None:
        for moment, action in listed.items():
            setattr(self, moment, lambda *_, action=action: world.does(action))


class World:
    """What a program changes; `captured` tells whether its steps and trainings are. Models are made when first used.

    alone: whether the world may draw from the library's generator, which other threads draw from too.
    """

    def __init__(self, captured: bool, alone: bool = True) -> None:
        self.captured, self.seeds = captured, {} if alone else {"seed": 5}
        self.a = tr.tensor([0.5, -1.0], requires_grad=True)
        self.b = tr.Parameter([2.0, 1.0], "b")
        self.sgd = tr.optim.SGD([self.a, self.b], lr=0.1, momentum=0.9)
        self.held: list[tr.Tensor] = []
        self.results: list[Any] = []
        self.steps: dict[str, Any] = {}
        self.depth = 0
        self.weights: list[tr.Parameter] = []

    def block(self) -> tr.Model:
        """A model to be used as a layer, itself with one in it."""
        core = tr.Sequential([tr.Input(shape=(2,)), layers.Dense(2, activation="tanh"), layers.BatchNorm()])
        return self.known(tr.Sequential([tr.Input(shape=(2,)), core, layers.Dropout(0.3, **self.seeds)]))

    def known(self, model: tr.Model) -> tr.Model:
        """The model with weights that no generator has drawn, and from now on among what is seen."""
        weights, count = model.weights, len(self.weights)
        for i, w in enumerate(weights, count):
            w.assign(np.cos(np.arange(w.size) + i).reshape(w.shape) ** 2)
        self.weights += weights
        return model

    @cached_property
    def inner(self) -> tr.Model:
        """The block that `model` holds as a layer."""
        return self.block()

    @cached_property
    def holding(self) -> Holding:
        """The layer that holds a block as an attribute."""
        return Holding(self.block())

    @cached_property
    def model(self) -> tr.Model:
        """A compiled model of both."""
        inputs = tr.Input(shape=(2,))
        x = layers.Add()([self.inner(inputs), inputs])
        model = self.known(tr.Model(inputs, layers.Dense(1)(self.holding(x))))
        model.compile(tr.optim.SGD(lr=0.05, momentum=0.5), "mse", metrics=["mae"])
        return model

    @cached_property
    def adam(self) -> tr.optim.Adam:
        """An optimizer of the model that `fit` does not use."""
        return tr.optim.Adam(self.model.parameters(), lr=0.05)

    def accumulate(self, x: tr.Tensor) -> None:
        (self.a * self.b * x).sum().backward()

    def train(self, x: tr.Tensor) -> tr.Tensor:
        loss = (self.a * self.b - x).square().mean()
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        return loss

    def cleared_at_the_end(self, x: tr.Tensor) -> None:
        (self.a * x * x).sum().backward()
        self.sgd.step()
        self.sgd.zero_grad()

    def nested(self, x: tr.Tensor) -> tr.Tensor:
        loss = self.model(x, training=True).square().sum()
        loss.backward()
        self.adam.step()
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
        self.a.grad = self.b.grad if self.b.grad is not None else (x if x.ndim == 1 else x[0]).detach()

    def rows(self, x: tr.Tensor) -> tr.Tensor:
        """Gradients of parts, and a look at the model without its gradients."""
        (tr.concatenate([self.a[:1], self.b[1:], self.a]) * 3.0).sum().backward()
        with tr.no_grad():
            return self.inner(x.reshape(-1, 2))

    def call(self, name: str, *arguments: Any) -> None:
        """Run a step and keep what it gives; of an error, which it is."""
        needed = {"one_leaf": [self.b], "train": [self.a, self.b]}.get(name)
        if needed is not None and not any(leaf.requires_grad for leaf in needed):
            return  # it raises halfway, which in eager has cleared `.grad` and captured leaves all as it was
        if name not in self.steps:
            _ = self.adam if name == "nested" else self.inner if name == "rows" else None  # no step may make layers
            self.steps[name] = tr.capture(getattr(self, name)) if self.captured else getattr(self, name)
        try:
            result = self.steps[name](*arguments)
        except TinyresError as error:
            result = type(error).__name__
        self.results += [] if result is None else [result]

    def fit(self, listed: dict[str, Action], **options: Any) -> None:
        """A training of the model in which at each moment what is listed is done to the world."""
        acting = [Acting(self, listed)]
        try:
            history = self.model.fit(X, X[:, :1], verbose=0, callbacks=acting, capture=self.captured, **options)
        except TinyresError as error:
            self.results.append(type(error).__name__)
        else:
            self.results.append(repr(history.history))

    def does(self, action: Action) -> None:
        """Do it, with a word of what is refused; trainings stand in one another twice at most."""
        self.depth += 1
        try:
            if self.depth < 3:
                action(self)
        except TinyresError as error:
            self.results.append(type(error).__name__)
        finally:
            self.depth -= 1

    def seen(self) -> list[Any]:
        """All that a program can see of it."""
        leaves = [self.a, self.b, *self.weights]
        tensors = [*leaves, *[leaf.grad for leaf in leaves], *self.held, *self.results]
        return [t.numpy().tobytes() if isinstance(t, tr.Tensor) else t for t in tensors]


def _on_leaves(rng: random.Random, row: np.ndarray, x: np.ndarray, trains: bool) -> list[tuple[int, Action]]:
    leaf, value, name = rng.choice(["a", "b"]), rng.random() < 0.5, rng.choice(STEPS if trains else STEPS[:-1])
    given = row if name == "reading" or rng.random() < 0.6 else x

    def hold(world: World) -> None:
        gradient = getattr(world, leaf).grad
        world.held += [gradient] if gradient is not None else []

    def eager_backward(world: World) -> None:
        if world.b.trainable:
            (world.b * world.b).sum().backward()

    return [
        (10, lambda world: world.call(name, tr.tensor(given))),
        (2, lambda world: world.call("argument", getattr(world, leaf), tr.tensor(row))),
        (1, lambda world: world.call("argument", tr.tensor(row, requires_grad=True), tr.tensor(row))),
        (2, lambda world: world.sgd.zero_grad()),
        (2, lambda world: setattr(getattr(world, leaf), "grad", tr.tensor(row) if value else None)),
        (1, lambda world: world.b.assign(row)),
        (1, lambda world: setattr(world.b, "trainable", value)),
        (1, lambda world: setattr(world.a, "requires_grad", value)),
        (1, lambda world: setattr(world.sgd, "lr", abs(float(row[0])) / 10)),
        (2, hold),
        (2, eager_backward),
    ]


def _on_models(rng: random.Random, row: np.ndarray, x: np.ndarray) -> list[tuple[int, Action]]:
    value, k, rate = rng.random() < 0.5, rng.randrange(3), rng.choice([0.0, 0.3, 0.6])

    def core(world: World) -> tr.Model:
        world.model  # noqa: B018
        return (world.inner if value else world.holding.inside).layers[-2]

    def replace(world: World) -> None:
        world.model.layers[-1].bias = bias = tr.Parameter([float(row[0])], "bias")
        world.weights.append(bias)

    def freeze(world: World) -> None:
        core_of = core(world)
        [core_of, *core_of.layers[-2:]][k].trainable = rate > 0

    def backward(world: World) -> None:
        if any(w.requires_grad for w in world.model.trainable_weights):
            world.model(X).sum().backward()

    return [
        (3, lambda world: world.call("nested", tr.tensor(x))),
        (1, freeze),
        (1, replace),
        (1, lambda world: setattr(world.model and world.holding, "inside", world.block())),
        (1, lambda world: setattr(core(world).layers[-1], "momentum", abs(float(row[0])) / 2)),
        (1, lambda world: setattr(world.model and world.inner.layers[-1], "rate", rate)),
        (1, lambda world: world.model.set_weights([w * 0.5 for w in world.model.get_weights()])),
        (1, lambda world: world.adam.zero_grad()),
        (1, lambda world: setattr(world.model.optimizer, "lr", abs(float(row[0])) / 10)),
        (1, lambda world: world.results.append(world.model.predict(x, capture=world.captured).tobytes())),
        (1, lambda world: world.results.append(repr(world.model.evaluate(X, X[:, :1], capture=world.captured)))),
        (1, backward),
    ]


def action_of(rng: random.Random, alone: bool, trains: bool, within: bool = False) -> Action:
    """One thing that a program does, the same for each world that it is done to.

    trains: whether it has models; within: whether it is done in a callback of a training.
    """
    x = np.round(np.array([[rng.uniform(-2, 2), rng.uniform(-2, 2)] for _ in range(rng.choice([1, 3]))]), 2)
    choices = _on_models(rng, x[0], x) if trains and rng.random() < 0.6 else _on_leaves(rng, x[0], x, trains)
    if trains and rng.random() < 0.1:
        choices = [(1, _training(rng, alone, within))]
    action = rng.choices([c for _, c in choices], [w for w, _ in choices])[0]
    return _in_another_thread(action) if rng.random() < 0.05 else action


def _training(rng: random.Random, alone: bool, within: bool) -> Action:
    if within and rng.random() < 0.5:
        return lambda world: setattr(world.model, "stop_training", True)
    listed = {moment: action_of(rng, alone, True, True) for moment in rng.sample(MOMENTS, 1 if within else 3)}
    options = {"batch_size": rng.choice([2, 3]), "epochs": rng.choice([1, 2]), "shuffle": alone and rng.random() < 0.5}
    if rng.random() < 0.5:
        options["validation_data"] = (X[:2], X[:2, :1])
    return lambda world: world.fit(listed, **options)


def _in_another_thread(action: Action) -> Action:
    def act(world: World) -> None:
        thread = threading.Thread(target=world.does, args=(action,))
        thread.start()
        thread.join()

    return act


def program(seed: int, captured: bool, alone: bool = True) -> list[list[Any]]:
    """What is seen of a world after each action of program `seed`."""
    rng = random.Random(seed)
    if alone:
        tr.manual_seed(4)
    world, seen, trains = World(captured, alone), [], rng.random() < 0.25
    with np.errstate(all="ignore"):
        for _ in range(rng.randrange(4, 12)):
            world.does(action_of(rng, alone, trains))
            seen.append(world.seen())
    return seen
