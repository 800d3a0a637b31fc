"""Whatever Python code sets between two runs of a captured step, the next one does what eager does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers

pytestmark = pytest.mark.usefixtures("keep_backend", "keep_threads")


class Blocks(layers.Layer):
    """A layer of the user's own that goes by lists, dicts, arrays and numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [layers.Dense(2), layers.Dense(2)]
        self.named = {"last": [layers.Dense(2)]}
        self.scale = 0.5
        self.options = {"shift": 0.25, "on": True}
        self.table = np.array([1.0, 2.0], "f4")

    def call(self, x: tr.Tensor, training: bool = False) -> tr.Tensor:
        for block in self.blocks:
            x = block(x) * self.scale
        x = self.named["last"][0](x) + self.options["shift"]
        return x * self.table if self.options["on"] else x


class World:
    """A nested model, leaves, optimizers of all kinds, generators, and a step over all of it."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        tr.manual_seed(4)
        self.dense, self.norm = layers.Dense(2, activation="tanh"), layers.BatchNorm()
        self.inner = tr.Sequential([tr.Input(shape=(2,)), self.dense, self.norm])
        self.drop, self.seeded, self.own = layers.Dropout(0.3), layers.Dropout(0.3, seed=5), Blocks()
        inputs = tr.Input(shape=(2,))
        x = layers.Add()([self.inner(inputs), inputs])
        self.last = layers.Dense(1)
        self.model = tr.Model(inputs, self.last(self.own(self.seeded(self.drop(x)))))
        self.a = tr.tensor([0.5, -1.0], requires_grad=True)
        self.p = tr.Parameter([2.0, 1.0], "p")
        self.q = tr.Parameter([1.0, 3.0], "q")
        self.c = tr.tensor([0.7, 0.3])
        self.mask = np.array([[1.0, 1.0, 0.0, 0.0]]).T[::2, 0]  # a view that only the step has
        self.whole = self.mask.base
        self.generator = tr.Generator(3)
        schedule = tr.optim.schedules.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.5)
        self.sgd = tr.optim.SGD([self.a, self.p, self.q], lr=0.1, momentum=0.9, nesterov=True, clip_norm=5.0)
        self.adam = tr.optim.Adam([*self.model.parameters(), self.q], lr=0.05)
        self.rmsprop = tr.optim.RMSprop([self.p, self.q], lr=0.01, momentum=0.5)
        self.nadam = tr.optim.Nadam([self.a, self.q], lr=0.01)
        self.scheduled = tr.optim.SGD([self.p, self.q], lr=schedule)
        self.optimizers = [self.sgd, self.adam, self.rmsprop, self.nadam, self.scheduled]
        self.step = wrap(self.once)
        self.results: list[tr.Tensor] = []

    def once(self, x: tr.Tensor) -> tr.Tensor:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        dropped = tr.dropout(x, 0.5, self.generator) + self.mask
        loss = self.model(x, training=True).square().sum() + (self.a * self.p * self.q * self.c * dropped).sum()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def run(self, i: int) -> None:
        x = np.random.default_rng(i).normal(size=(3, 2))
        self.results.append(self.step(tr.tensor(x)))

    def seen(self) -> list[Any]:
        leaves = [self.a, self.p, self.q, self.c, *self.model.weights]
        tensors = [*leaves, *[leaf.grad for leaf in leaves], *self.results]
        states = [o.hyper.array.tobytes() for o in self.optimizers]
        return [None if t is None else t.numpy().tobytes() for t in tensors] + [*states, repr(self.generator)]


Flip = Callable[[World], Any]


def put(path: str, value: Any) -> Flip:
    """world.path = value, or what it gives if it is a function."""
    owner, _, name = path.rpartition(".")
    holder = attrgetter(owner) if owner else lambda world: world
    return lambda world: setattr(holder(world), name, value() if callable(value) else value)


def dense(units: int = 2) -> layers.Dense:
    layer = layers.Dense(units, kernel_initializer="ones")
    layer.build((None, 2))
    return layer


def restored(world: World) -> None:
    names = {id(p): str(i) for i, p in enumerate(world.adam.params)}
    state = {key: np.full_like(value, 0.5) for key, value in world.adam.state(names).items() if key != "hyper"}
    world.adam.restore({**state, "hyper": world.adam.hyper.array}, names)


CHANGING: dict[str, Flip] = {
    "a leaf needs no gradient": put("a.requires_grad", False),
    "a Parameter needs no gradient": put("p.requires_grad", False),
    "a constant needs one": put("c.requires_grad", True),
    "a Parameter is frozen": put("p.trainable", False),
    "a weight needs no gradient": put("dense.kernel.requires_grad", False),
    "a layer is frozen": put("dense.trainable", False),
    "BatchNorm is frozen": put("norm.trainable", False),
    "a nested model is frozen": put("inner.trainable", False),
    "an own layer is frozen": put("own.trainable", False),
    "the model is frozen": put("model.trainable", False),
    "assign": lambda world: world.p.assign([5.0, 6.0]),
    "set_weights": lambda world: world.model.set_weights([w * 0.5 for w in world.model.get_weights()]),
    "moving statistics": lambda world: world.norm.moving_mean.assign([1.0, 2.0]),
    "a weight is replaced": put("last.bias", lambda: tr.Parameter([0.5], "bias")),
    "a weight is taken away": lambda world: delattr(world.last, "bias") or setattr(world.last, "bias", None),
    "a layer in a list is replaced": lambda world: world.own.blocks.__setitem__(0, dense()),
    "a layer joins a list": lambda world: world.own.blocks.append(dense()),
    "a layer leaves a list": lambda world: world.own.blocks.pop(),
    "a list is turned around": lambda world: world.own.blocks.reverse(),
    "a list is replaced": lambda world: setattr(world.own, "blocks", world.own.blocks[:1]),
    "a layer in a list in a dict is replaced": lambda world: world.own.named["last"].__setitem__(0, dense()),
    "a number of an own layer": put("own.scale", 0.9),
    "a number in a dict": lambda world: world.own.options.update(shift=0.75),
    "a switch in a dict": lambda world: world.own.options.update(on=False),
    "an array of an own layer, in place": lambda world: world.own.table.__setitem__(0, 9.0),
    "an array of an own layer": put("own.table", lambda: np.array([3.0, 1.0], "f4")),
    "an array of the step's, in place": lambda world: world.whole.__setitem__(..., 4.0),
    "an own layer's call": put("own.call", lambda: lambda x, training=False: x * 2.0),
    "dropout's rate": put("drop.rate", 0.6),
    "no dropout": put("drop.rate", 0.0),
    "dropout's generator": put("seeded.generator", lambda: tr.Generator(9)),
    "a seed of that": lambda world: world.seeded.generator.manual_seed(11),
    "a seed of the step's generator": lambda world: world.generator.manual_seed(11),
    "numbers drawn in between": lambda world: world.generator.numpy(),
    "the seed": lambda world: tr.manual_seed(12),
    "BatchNorm's momentum": put("norm.momentum", 0.5),
    "BatchNorm's epsilon": put("norm.epsilon", 0.5),
    "lr": put("sgd.lr", 0.5),
    "learning_rate": put("rmsprop.learning_rate", 0.5),
    "momentum": put("sgd.momentum", 0.1),
    "weight_decay": put("adam.weight_decay", 0.1),
    "clip_norm": put("sgd.clip_norm", 0.1),
    "betas": put("adam.betas", (0.5, 0.6)),
    "epsilon": put("adam.epsilon", 0.1),
    "rho": put("rmsprop.rho", 0.1),
    "weight_decay of composed updates": put("nadam.weight_decay", 0.1),
    "a schedule": put("scheduled.schedule.decay_rate", 0.9),
    "an optimizer's state": restored,
    "a step in eager": lambda world: world.once(tr.tensor([[0.3, 0.2]])),
}

KEEPING: dict[str, Flip] = {
    "nothing": lambda world: None,
    "a gradient is cleared": put("a.grad", None),
    "a gradient is set": put("a.grad", lambda: tr.tensor([3.0, 4.0])),
    "two threads": lambda world: tr.set_threads(2),
    "a name": lambda world: world.p.rename("other"),
    "back and forth": lambda world: [put("a.requires_grad", value)(world) for value in (False, True)],
}


def after(flip: Flip, wrap: Callable[[Any], Any]) -> list[Any]:
    world, seen = World(wrap), []
    for i in range(6):
        if i == 3:
            flip(world)
        world.run(i)
        seen.append(world.seen())
    return seen


@pytest.fixture(scope="module")
def untouched() -> list[Any]:
    return after(KEEPING["nothing"], lambda step: step)


@pytest.mark.parametrize("name", [*CHANGING, *KEEPING])
def test_a_change_between_two_replays_does_what_it_does_in_eager(name: str, untouched: list[Any]) -> None:
    flip = {**CHANGING, **KEEPING}[name]
    eager = after(flip, lambda step: step)
    assert (eager == untouched) is (name in KEEPING)
    assert after(flip, tr.capture) == eager


def test_the_other_backend() -> None:
    def switched(world: World) -> None:
        tr.set_backend("reference")

    backend, found = tr.backend(), []
    for wrap in (lambda step: step, tr.capture):
        tr.set_backend(backend)
        found.append(after(switched, wrap))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("flip", "message"),
    [
        (put("sgd.nesterov", False), "what can be set is .*; got nesterov = False"),
        (put("scheduled.schedule", None), "what can be set is .*; got schedule = None"),
        (put("sgd.params", []), r"what can be set is .*; got params = \[\]"),
        (put("sgd.amsgrad", True), "what can be set is .*; got amsgrad = True"),
        (put("scheduled.lr", 1.0), "the learning rate is given by ExponentialDecay"),
        (put("adam.clip_norm", 1.0), "gradients are clipped if the optimizer was made so"),
    ],
)
def test_what_a_step_could_not_follow_is_refused(flip: Flip, message: str) -> None:
    with pytest.raises(tr.errors.ArgumentError, match=message):
        flip(World(tr.capture))


def test_modes_around_a_replay() -> None:
    w = tr.tensor([1.0, 2.0], requires_grad=True)
    norm = layers.BatchNorm()
    norm.build((None, 2))
    x = tr.tensor([[1.0, 2.0], [3.0, 5.0]])

    class Calling(layers.Layer):
        def call(self, x: tr.Tensor) -> tr.Tensor:
            return self.inside(x)

    outer = Calling()

    def seen(wrap: Callable[[Any], Any]) -> list[Any]:
        norm.set_weights([np.ones(2), np.zeros(2), np.zeros(2), np.ones(2)])
        scaled, normed = wrap(lambda x: x * w), wrap(lambda x: norm(x))
        outer.inside = normed
        found = [normed(x), outer(x, training=True), normed(x), outer(x), outer(x, training=True)]
        for mode in (contextlib.nullcontext, tr.no_grad, tr.enable_grad, lambda: tr.name_scope("there")):
            with mode():
                found.append(scaled(x))
        return [t.numpy().tolist() for t in [*found, norm.moving_mean]]

    assert seen(tr.capture) == seen(lambda step: step)


def test_requires_grad_is_set_on_float_leaves_only() -> None:
    w = tr.tensor([1.0], requires_grad=True)
    with pytest.raises(tr.errors.GradientError, match=r"\[requires_grad\] it is set on leaves; .* was computed"):
        (w * 2.0).requires_grad = False
    with pytest.raises(tr.errors.DTypeError, match=r"\[requires_grad\] only float Tensors have gradients; got int64"):
        tr.tensor([1], dtype="int64").requires_grad = True
    with pytest.raises(tr.errors.CaptureError, match=r"\[requires_grad\] it cannot be changed while a step is being"):
        tr.capture(lambda: setattr(w, "requires_grad", False))()
    assert w.requires_grad
    one, other = w.detach(), w
    step = tr.capture(lambda: (w * one * 3.0).sum().backward())
    step()
    assert (one.grad, other.grad.item()) == (None, 3.0)
    one.requires_grad, other.requires_grad = True, False
    w.grad = None
    step()
    assert (one.grad.item(), other.grad) == (3.0, None)
