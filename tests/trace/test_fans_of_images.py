"""Fans, borders and gains of image layers: what a trace knows of a weight is what |g| does, measured over seeds."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.trace.flow import flow_of
from tinyres.trace.theory import drawn_gain, theory_of

SEEDS = 8

Case = tuple[Callable[[], layers.Layer], tuple[int, ...], list[tuple[int, int]]]
CASES: dict[str, Case] = {
    "one pixel wide": (lambda: layers.Conv2D(16, 3, padding="same"), (9, 1, 8), [(72, 144)]),
    "stride": (lambda: layers.Conv2D(16, (5, 3), (2, 1), "same"), (9, 6, 8), [(120, 240)]),
    "dilation": (lambda: layers.Conv2D(16, 3, padding="same", dilation_rate=2), (8, 8, 16), [(144, 144)]),
    "valid": (lambda: layers.Conv2D(16, 3), (8, 8, 16), [(144, 144)]),
    "groups": (lambda: layers.Conv2D(16, 3, padding="same", groups=4), (8, 8, 8), [(18, 36)]),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), (8, 8, 32), [(9, 18)]),
    "separable": (
        lambda: layers.SeparableConv2D(32, 3, padding="same", depth_multiplier=2), (8, 8, 16), [(9, 18), (32, 32)],
    ),
    "transposed": (lambda: layers.Conv2DTranspose(8, 3, 2, "same"), (8, 8, 16), [(144, 72)]),
    "transposed, He": (
        lambda: layers.Conv2DTranspose(24, 3, 2, "valid", kernel_initializer="he_normal"), (6, 6, 8), [(72, 216)],
    ),
    "steps": (lambda: layers.Conv1D(16, 5, padding="same", dilation_rate=2), (12, 16), [(80, 80)]),
    "causal": (lambda: layers.Conv1D(16, 3, padding="causal"), (6, 16), [(48, 48)]),
    "orthogonal": (lambda: layers.Conv2D(16, 3, kernel_initializer="orthogonal"), (8, 8, 8), [(72, 144)]),
}  # fmt: skip


def traced(make: Callable[[], layers.Layer], shape: tuple[int, ...], seed: int) -> tr.Trace:
    """One layer between white images and a white gradient."""
    tr.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = tr.tensor(rng.normal(size=(16, *shape)), requires_grad=True, name="x")
    y = make()(x)
    return tr.Graph((y * tr.tensor(rng.normal(size=y.shape))).sum()).trace()


def measured(make: Callable[[], layers.Layer], shape: tuple[int, ...]) -> tuple[float, float, tr.Trace]:
    """(|g| in front of the layer over |g| behind it, what its weights say it is, one of the traces)."""
    squares = []
    for seed in range(SEEDS):
        trace = traced(make, shape, seed)
        (node,) = [n for n in trace.nodes if n.params]
        squares.append((trace["x"].grad_norm / node.grad_norm) ** 2)
    gains = [drawn_gain(p) for p in node.params.values() if p.fans is not None]
    return math.sqrt(np.mean(squares)), math.sqrt(math.prod(gain[1] for gain in gains if gain)), trace


@pytest.mark.parametrize("name", CASES)
def test_a_layer_changes_the_gradient_by_its_fans(name: str) -> None:
    make, shape, fans = CASES[name]
    seen, known, trace = measured(make, shape)
    assert [p.fans for p in trace.parameters if p.fans is not None] == fans
    assert seen == pytest.approx(known, rel=0.04)


@pytest.mark.parametrize(("width", "seen_before"), [(32, 0.978), (8, 0.918), (4, 0.837), (2, 0.660)])
def test_windows_that_reach_over_the_border(width: int, seen_before: float) -> None:
    seen, known, _ = measured(lambda: layers.Conv2D(16, 3, padding="same"), (width, width, 16))
    assert known == pytest.approx((3 * width - 2) / (3 * width))
    assert seen == pytest.approx(known, rel=0.04)
    assert known == pytest.approx(seen_before, rel=0.015)


def chain(layer: Callable[[], layers.Layer], width: int, seed: int = 0) -> tr.Trace:
    tr.manual_seed(seed)
    inputs = x = tr.Input((width, width, 16))
    for i in range(8):
        with tr.name_scope(f"block{i}"):
            x = layer()(x)
    model = tr.Model(inputs, layers.Dense(10)(layers.Flatten()(x)))
    model.compile(optimizer="sgd", loss="mse")
    rng = np.random.default_rng(seed)
    return model.graph(rng.normal(size=(64, width, width, 16)), rng.normal(size=(64, 10))).trace()


def test_the_verdict_knows_the_borders(tmp_path: pathlib.Path) -> None:
    trace = chain(lambda: layers.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer="he_normal"), 2)
    told = "theory for He and ReLU, without taps that meet no pixel: x 0.67"
    assert told in str(trace.verdict())
    assert "On the average 44% of a window's taps meet a pixel" in str(trace.verdict())
    assert "of the size that keeps it" not in str(trace.verdict())  # nothing is wrong with the kernels
    trace.save(tmp_path / "t.json")
    assert told in str(tr.Trace.load(tmp_path / "t.json").verdict())


@pytest.mark.parametrize("width", [2, 8])
def test_layers_of_two_kernels_have_a_law(width: int) -> None:
    trace = chain(lambda: layers.SeparableConv2D(16, 3, padding="same"), width)
    law = theory_of(trace)
    assert law is not None
    course = flow_of("", trace).course
    assert course is not None
    assert law.agrees(course.rate, course.low, course.high)


def test_two_kernels_side_by_side_have_none() -> None:
    class Both(layers.Layer):
        def build(self, input_shape: tuple[int, ...]) -> None:
            self.one, self.other = (self.add_weight(n, (64, 64), "he_normal") for n in ("one", "other"))

        def call(self, x: tr.Tensor) -> tr.Tensor:
            return x @ self.one + x @ self.other

    inputs = x = tr.Input((64,))
    for i in range(6):
        with tr.name_scope(f"block{i}"):
            x = Both()(x)
    model = tr.Model(inputs, layers.Dense(10)(x))
    model.compile(optimizer="sgd", loss="mse")
    rng = np.random.default_rng(0)
    assert theory_of(model.graph(rng.normal(size=(64, 64)), rng.normal(size=(64, 10))).trace()) is None
