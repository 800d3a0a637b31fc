"""Gradients of slices, concatenate and pad are added where they belong, and moved no further than that."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr

listing = importlib.import_module("tinyres.capture.listing")


def moved(step: tr.CapturedStep) -> tuple[int, int]:
    """(calls, bytes) of the program that ran last."""
    program = step.program.program
    return len(program.calls), sum(listing.call_bytes(program, call) for call in program.calls)


def rows_of(x: tr.Tensor) -> tr.Tensor:
    return tr.concatenate([x[i] for i in range(len(x))])


@pytest.mark.parametrize("size", [64, 256])
def test_slices_move_what_they_hold_and_no_more(size: int) -> None:
    x = tr.tensor(np.arange(size * size).reshape(size, size) % 13, requires_grad=True)
    c = tr.tensor(np.arange(size * size) % 5)

    def step() -> None:
        x.grad = None
        (rows_of(x) * c).sum().backward()

    step()
    expected = x.grad.numpy()
    np.testing.assert_array_equal(expected, c.numpy().reshape(size, size))
    captured = tr.capture(step)
    captured()
    assert x.grad.numpy().tobytes() == expected.tobytes()
    calls, nbytes = moved(captured)
    assert calls <= 4 * size + 8
    assert nbytes <= 8 * 2 * x.size * 4  # each of rows, concatenate, product and sum, there and back
    assert "fills of zeros removed" in str(captured.program)


def term(rng: random.Random, x: tr.Tensor, depth: int) -> tr.Tensor:
    """A number made from parts of x, a matrix."""
    rows, columns = x.shape
    kind = rng.choice(["slice", "row", "steps", "back", "join", "pad", "whole", "twice", "all"])
    a, b = sorted(rng.sample(range(rows + 1), 2))
    if kind == "slice":
        y = x[a:b]
    elif kind == "row":
        y = x[rng.randrange(rows)].reshape(1, -1)
    elif kind == "steps":
        y = x[rng.randrange(2) :: 2, :: rng.choice([1, 2])]
    elif kind == "back":
        y = x[::-1, : 1 + columns // 2]
    elif kind == "join":
        y = tr.concatenate([x[a:b], x, x * 2.0], axis=0)
    elif kind == "pad":
        y = tr.pad(x, ((1, 0), (0, 2)))
    elif kind == "twice":
        y = x[a:b] * x[a:b]
    elif kind == "all":
        y = tr.concatenate([x[i : i + 1] for i in range(rows)], axis=0)
    else:
        y = x * rng.uniform(-1.0, 1.0)
    if depth and min(y.shape) > 1:
        return sum((term(rng, y, depth - 1) for _ in range(rng.randrange(1, 4))), start=tr.tensor(0.0, dtype=x.dtype))
    weights = [rng.choice([-1.5, -1.0, 0.0, -0.0, 0.5, 2.0]) for _ in range(y.size)]
    return (y * tr.tensor(weights, dtype=x.dtype).reshape(y.shape)).sum()


def gradients(seed: int, run: Callable[[Any], Any], dtype: str) -> list[np.ndarray]:
    values = np.random.default_rng(seed).normal(size=(6, 5))
    x = tr.tensor(values, requires_grad=True, dtype=dtype)

    def loss() -> tr.Tensor:
        rng = random.Random(seed)
        return sum((term(rng, x, 2) for _ in range(rng.randrange(1, 5))), start=tr.tensor(0.0, dtype=dtype))

    return [g.numpy() for g in run((loss, x))]


def added(parts: tuple[Any, tr.Tensor]) -> list[tr.Tensor]:
    """Each part put into zeros of its own, and these added: the same ops that a second gradient goes through."""
    loss, x = parts
    return tr.grad(loss(), [x], create_graph=True)


def eager(parts: tuple[Any, tr.Tensor]) -> list[tr.Tensor]:
    loss, x = parts
    return tr.grad(loss(), [x])


def captured(parts: tuple[Any, tr.Tensor]) -> list[tr.Tensor]:
    loss, x = parts
    step = tr.capture(lambda: tr.grad(loss(), [x]))
    step()
    return step()


def backward(parts: tuple[Any, tr.Tensor]) -> list[tr.Tensor]:
    loss, x = parts
    x.grad = tr.tensor(np.ones(x.shape))
    step = tr.capture(lambda: loss().backward())
    step()
    once = x.grad - 1.0
    x.grad = None
    step()
    return [x.grad, once]


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_added_in_the_order_of_sums(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = gradients(seed, added, "float32")
    (found,) = gradients(seed, eager, "float32")
    np.testing.assert_array_equal(found, expected)
    assert gradients(seed, captured, "float32")[0].tobytes() == found.tobytes()
    held, once = gradients(seed, backward, "float32")
    assert held.tobytes() == found.tobytes()
    np.testing.assert_allclose(once, found, atol=1e-4)
    monkeypatch.setenv("TINYRES_PASSES", "-place")
    assert gradients(seed, captured, "float32")[0].tobytes() == found.tobytes()
    if seed < 5:
        np.testing.assert_array_equal(gradients(seed, eager, "float64"), gradients(seed, added, "float64"))


@pytest.mark.usefixtures("keep_backend")
def test_the_same_on_the_reference_backend() -> None:
    tr.set_backend("reference")
    for seed in range(10):
        expected = gradients(seed, added, "float32")[0]
        for run in (eager, captured):
            np.testing.assert_array_equal(gradients(seed, run, "float32")[0], expected)


def test_a_single_part_is_a_copy_and_several_are_sums() -> None:
    """-0 and subnormal numbers: kept where nothing is added, and where something is as in every sum of gradients."""
    x = tr.tensor(np.ones(4), requires_grad=True)
    c = np.array([-0.0, 1e-42], "f4")
    for run in (lambda step: step, tr.capture):
        (one,) = run(lambda: tr.grad((x[:2] * c).sum(), [x]))()
        two, order = run(lambda: tr.grad((x[:2] * c).sum() + (x[2:] * c).sum(), [x]))()[0], [0.0] * 4
        assert one.numpy().tobytes() == np.array([*c, 0.0, 0.0], "f4").tobytes()
        if tr.backend() == "native":
            assert two.numpy().tobytes() == np.array(order, "f4").tobytes()


def test_edges_are_seen_as_tensors() -> None:
    x = tr.tensor(np.ones((2, 2)), requires_grad=True)
    seen: list[tuple[int, ...]] = []
    loss = (x[0] * 2.0).sum() + (x[1] * 3.0).sum()
    tr.backward(loss, on_edge=lambda consumer, i, producer, cotangent: seen.append(cotangent.shape))
    assert seen.count((2, 2)) == 2
    assert x.grad.numpy().tolist() == [[2.0, 2.0], [3.0, 3.0]]
