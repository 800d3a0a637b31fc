"""Two threads that replay: each its own step, or one step that both call."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import tinyres as tr


def program(seed: int, wrap: Callable[[Any], Any]) -> list[bytes]:
    """Changes of state and steps of one leaf, in an order drawn from the seed."""
    rng = random.Random(seed)
    w = tr.tensor([1.0, -2.0, 0.5], requires_grad=True)
    opt = tr.optim.SGD([w], lr=0.1, momentum=0.5)

    def train(x: tr.Tensor) -> tr.Tensor:
        loss = (w * x).square().sum()
        loss.backward()
        opt.step()
        return loss

    step, seen = wrap(train), []
    for _ in range(30):
        kind = rng.choice(["step", "step", "zero", "lr", "assign", "freeze", "other shape"])
        x = np.round([rng.uniform(-1, 1) for _ in range(3)], 2)
        if kind in ("step", "other shape"):
            seen.append(step(tr.tensor(x if kind == "step" else [x, -x])).numpy().tobytes())
        elif kind == "zero":
            opt.zero_grad()
        elif kind == "lr":
            opt.lr = rng.uniform(0.0, 0.2)
        elif kind == "assign":
            w.grad = tr.tensor(x)
        else:
            w.requires_grad = False
            w.requires_grad = True
        seen.append(w.numpy().tobytes())
    return seen


def in_threads(*functions: Callable[[], None]) -> None:
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def test_threads_with_steps_of_their_own_do_what_eager_does() -> None:
    found: dict[int, list[bytes]] = {}

    def run(seeds: range) -> None:
        for seed in seeds:
            found[seed] = program(seed, tr.capture)

    in_threads(lambda: run(range(0, 20)), lambda: run(range(20, 40)))
    for seed in range(40):
        assert found[seed] == program(seed, lambda step: step), seed


def test_two_threads_that_call_one_step_take_turns() -> None:
    w = tr.tensor([0.0], requires_grad=True)
    opt = tr.optim.SGD([w], lr=1.0)

    @tr.capture
    def step(x: tr.Tensor) -> None:
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()

    def run() -> None:
        for _ in range(200):
            step(tr.tensor([-1.0]))

    in_threads(run, run)
    assert w.item() == 400.0
