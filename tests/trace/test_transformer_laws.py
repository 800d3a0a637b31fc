"""Exact laws of Transformers at initialisation (Xiong et al. 2020; Wang et al. 2022), measured by traces.

Kernels of variance 1/fan_in, a feed-forward net as wide as the stream with ReLU, and attention that takes all alike:
then an attention over one token adds 1 to |x|²/d, over many white ones nothing, and a feed-forward ½.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.layers.transformer import TRANSFORMERS

pytestmark = pytest.mark.slow

ALIKE = {"kernel_initializer": "zeros", "value_initializer": "lecun_normal", "output_initializer": "lecun_normal"}


@functools.cache
def traced(norm: str, depth: int, tokens: int, batch: int, width: int, seed: int) -> tr.Trace:
    tr.manual_seed(seed)
    rng = np.random.default_rng(seed)
    inputs = x = tr.Input(shape=(tokens, width))
    options: dict[str, Any] = {"depth": depth} if norm == "deepnorm" else dict(ALIKE)
    for i in range(depth):
        with tr.name_scope(f"block{i}"):
            x = TRANSFORMERS[norm](x, 4, hidden=width, activation="relu", use_bias=False, **options)
    if norm == "pre":
        x = layers.LayerNormalization(epsilon=1e-5, name="final_norm")(x)
    model = tr.Model(inputs, layers.Dense(10, kernel_initializer="lecun_normal", name="head")(x))
    model.compile(loss=layers.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = rng.standard_normal((batch, tokens, width)), rng.integers(0, 10, (batch, tokens))
    return model.graph(*data).trace(audit=False)


def mean_square(node: Any) -> float:
    return node.value_norm**2 / node.size


def last_kernel(norm: str, depth: int) -> float:
    """|dW| of the last feed-forward's output, of one example of one token: a geometric mean over 8 of them."""
    norms = [traced(norm, depth, 1, 1, 64, seed)[f"block{depth - 1}/mlp_output/kernel"].grad_norm for seed in range(8)]
    return float(np.exp(np.mean(np.log(norms))))


@pytest.mark.parametrize("depth", [6, 12, 24])
def test_pre_norm_the_stream_grows_between_a_half_and_three_halves_per_block(depth: int) -> None:
    alone, among_many = (
        np.mean([mean_square(traced("pre", depth, tokens, batch, 64, seed).blocks[-1].output) for seed in range(3)])
        for tokens, batch in ((1, 64), (32, 4))
    )
    assert alone == pytest.approx(1 + 1.5 * depth, rel=0.1)
    assert 1 + 0.5 * depth < among_many < 1 + 1.5 * depth


@pytest.mark.parametrize("seed", range(3))
def test_pre_norm_the_product_of_value_and_gradient_stays_within_6_percent(seed: int) -> None:
    trace = traced("pre", 12, 1, 64, 256, seed)
    products = [part.x_norm * part.grad_norm for part in trace.parts]
    assert np.sqrt(max(products) / min(products)) < 1.06
    assert trace.parts[-1].x_norm / trace.parts[0].x_norm > 3.9


def test_pre_norm_the_last_gradient_falls_like_the_root_of_the_depth_and_post_norm_s_does_not() -> None:
    scaled = [last_kernel("pre", depth) * np.sqrt(1 + 1.5 * depth) for depth in (12, 24, 48)]
    assert max(scaled) / min(scaled) < 1.25
    post = [last_kernel("post", depth) for depth in (12, 24, 48)]
    assert max(post) / min(post) < 1.25


def toward_the_last(norm: str, seed: int, depth: int = 24) -> float:
    """By how much log |dW| of the feed-forwards grows over all blocks, as a line: 8 sequences of 16 tokens."""
    trace = traced(norm, depth, 16, 8, 64, seed)
    norms = [trace[f"block{i}/mlp_output/kernel"].grad_norm for i in range(depth)]
    return float(np.polyfit(np.linspace(0, 1, depth), np.log(norms), 1)[0])


def test_gradients_grow_toward_the_last_blocks_post_norm_fall_pre_norm_and_stay_in_deepnorm() -> None:
    """0.84 ± 0.19, -1.24 ± 0.07 and 0.01 ± 0.01 over 8 seeds, ± of the mean."""
    grown = {norm: [toward_the_last(norm, seed) for seed in range(8)] for norm in ("post", "pre", "deepnorm")}
    mean = {norm: np.mean(own) for norm, own in grown.items()}
    within = {norm: np.std(own, ddof=1) / np.sqrt(len(own)) for norm, own in grown.items()}
    assert mean["post"] > 3 * within["post"] and min(grown["post"]) > 0, grown
    assert mean["pre"] < -3 * within["pre"] and max(grown["pre"]) < 0, grown
    assert abs(mean["deepnorm"]) < 0.05 and within["deepnorm"] < 0.02, grown


@pytest.mark.parametrize("depth", [6, 24])
def test_post_norm_the_sums_are_2_behind_attention_and_three_halves_behind_feed_forward(depth: int) -> None:
    traces = [traced("post", depth, 1, 64, 64, seed) for seed in range(3)]
    for name, expected in (("attention_add", 2.0), ("mlp_add", 1.5)):
        found = [mean_square(trace[f"block{i}/{name}"]) for trace in traces for i in range(depth)]
        assert np.mean(found) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("depth", [6, 24])
def test_deepnorm_the_gradient_stays(depth: int) -> None:
    traces = [traced("deepnorm", depth, 16, 8, 64, seed) for seed in range(6)]
    ratios = [trace.blocks[0].grad_norm / trace.blocks[-1].output.grad_norm for trace in traces]
    within = np.std(ratios, ddof=1) / np.sqrt(len(ratios))
    assert within < 0.01 and 0.985 - 2 * within < np.mean(ratios) < 1.005 + 2 * within, ratios


def test_rezero_the_gradient_stays_exactly() -> None:
    trace = traced("rezero", 12, 16, 8, 64, 0)
    assert {part.grad_norm for part in trace.parts} == {trace.parts[0].grad_norm}


def test_every_branch_counts_in_the_spectrum_of_paths() -> None:
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(8, 16))
    for i in range(6):
        with tr.name_scope(f"block{i}"):
            x = TRANSFORMERS["pre"](x, 2)
    model = tr.Model(inputs, layers.Dense(4, name="head")(x))
    model.compile(loss="mse")
    rng = np.random.default_rng(0)
    spectrum = model.graph(rng.standard_normal((4, 8, 16)), rng.standard_normal((4, 8, 4))).trace(paths=True).paths()
    assert len(spectrum.shares) == 13 and spectrum.error < 1e-5
    assert sum(spectrum.shares) == pytest.approx(1.0, abs=1e-5)
