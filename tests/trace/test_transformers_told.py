"""What is said of Transformers: nothing of the four ways around a skip, and each mistake by its name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from sequence_nets import attention, feed_forward, graph_of, model_of

import tinyres as tr
from tinyres import layers
from tinyres.layers.transformer import transformer_deepnorm, transformer_post, transformer_pre, transformer_rezero
from tinyres.trace.net import Findings

DEPTH = 6
Block = Callable[[Any, int], Any]


def norm(x: Any) -> Any:
    return layers.LayerNormalization()(x)


def add(branch: Any, x: Any) -> Any:
    return layers.Add()([branch, x])


def pre_with(on_skip: Callable[[Any], Any], add: Callable[[Any, Any], Any] = add) -> Block:
    """Pre-norm, with something on the skip of the attention, or put together in another way."""

    def block(x: Any, units: int) -> Any:
        x = add(attention(norm(x), units), on_skip(x))
        return add(feed_forward(norm(x), units), x)

    return block


def post_with(on_skip: Callable[[Any], Any]) -> Block:
    def block(x: Any, units: int) -> Any:
        x = norm(add(attention(x, units), on_skip(x)))
        return norm(add(feed_forward(x, units), x))

    return block


def without_skips(x: Any, units: int) -> Any:
    return feed_forward(norm(attention(norm(x), units)), units)


def same(x: Any) -> Any:
    return x


RIGHT: dict[str, Block] = {
    "pre": lambda x, units: transformer_pre(x, 2),
    "post": lambda x, units: transformer_post(x, 2),
    "deepnorm": lambda x, units: transformer_deepnorm(x, 2, DEPTH),
    "rezero": lambda x, units: transformer_rezero(x, 2),
    "causal": lambda x, units: transformer_pre(x, 2, causal=True),
    "dropout": lambda x, units: transformer_pre(x, 2, dropout=0.1),
    "branches halved": pre_with(same, lambda branch, x: layers.Add()([branch * 0.5, x])),
    "skips doubled before a norm": post_with(lambda x: x * 2.0),
    "sums by operators": pre_with(same, lambda branch, x: x + branch),
}
WRONG: dict[str, tuple[Block, str, str]] = {
    "norm on the skip": (pre_with(norm), "skip-path", "a normalisation (layer) lies on the skip"),
    "halved skip": (pre_with(lambda x: x * 0.5), "skip-path", "a scale lies on the skip"),
    "halved skip without a norm behind": (
        lambda x, units: add(feed_forward(x, units), add(attention(x, units), x * 0.5)), "skip-path", "a scale lies",
    ),
    "negated skip before a norm": (post_with(lambda x: x * -1.0), "skip-path", "a scale lies on the skip"),
    "detached skip": (pre_with(lambda x: layers.Lambda(lambda t: t.detach())(x)), "detached-skip", "cut off from it"),
    "double residual": (
        pre_with(same, lambda branch, x: layers.Add()([branch, x, x])), "double-skip", "is added 2 times",
    ),
}  # fmt: skip


@functools.cache
def traced(block: Block, depth: int = DEPTH, batch: int = 16) -> tuple[tr.Trace, Findings]:
    tr.manual_seed(0)
    graph = graph_of(model_of(block, depth, units=16, tokens=8), batch)
    return graph.trace(), graph.lint()


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_left_alone(name: str) -> None:
    trace, findings = traced(RIGHT[name])
    assert findings == (), str(findings)
    assert {sentence.rule for sentence in trace.verdict()} <= {"held", "loss"}, str(trace.verdict())
    assert [part.name.split("/")[1] for part in trace.parts[:2]] in (["attention", "mlp"], ["attention", "dense"])
    assert trace.audit().ok


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_found_in_each_block(name: str) -> None:
    block, rule, words = WRONG[name]
    findings = traced(block)[1]
    assert {f.rule for f in findings} == {rule}, str(findings)
    assert {f.node.split("/")[0] for f in findings} == {f"block{i}" for i in range(DEPTH)}
    assert all(words in f.problem for f in findings), str(findings)


@pytest.mark.slow
def test_one_skip_that_was_forgotten_is_found() -> None:
    made = iter(range(DEPTH))

    def block(x: Any, units: int) -> Any:
        x = add(attention(norm(x), units), x)
        f = feed_forward(norm(x), units)
        return f if next(made) == 3 else add(f, x)

    findings = traced(block)[1]
    assert [f.rule for f in findings] == ["missing-skip"] and "5 of 6 blocks" in findings[0].problem, str(findings)


def test_without_skips_nothing_is_said_of_skips() -> None:
    trace, findings = traced(without_skips)
    assert findings == () and all(block.skip is None for block in trace.blocks)
    assert "over the skip" not in str(tr.compare(net=trace))


# What is said where |g| grows because |x| falls.


def he(x: Any, units: int) -> Any:
    return transformer_pre(x, 2, kernel_initializer="he_normal", activation="relu")


@pytest.mark.slow
def test_a_pre_norm_net_is_told_by_the_product_that_stays() -> None:
    trace, _ = traced(he, 24)
    (sentence,) = [s for s in trace.verdict() if s.rule != "loss"]
    assert sentence.rule == "held" and sentence.remedy == ""
    assert "as |x| falls, which is no explosion: |x|·|g| is the same within" in sentence
    products = [p.x_norm * p.grad_norm for p in trace.parts]
    assert max(products[12:]) / min(products[12:]) < 1.25**2
    assert trace.parts[0].grad_norm / trace.parts[-1].grad_norm > 10


@pytest.mark.slow
def test_a_mild_one_is_told_so_in_a_comparison_only() -> None:
    tr.manual_seed(0)
    model = model_of(lambda x, units: transformer_pre(x, 4, activation="relu"), 24, units=32, tokens=8)
    trace = graph_of(model, 32).trace(audit=False)
    assert {sentence.rule for sentence in trace.verdict()} <= {"loss"}
    assert "and |g| falls with it: |x|·|g| is the same within" in tr.compare(net=trace).sentences[0]


@pytest.mark.parametrize("name", ["post", "deepnorm", "rezero"])
def test_the_product_is_not_told_of_other_builds(name: str) -> None:
    trace, _ = traced(RIGHT[name])
    assert "|x|·|g|" not in str(trace) + str(tr.compare(net=trace))


@pytest.mark.slow
def test_it_is_not_told_where_it_does_not_stay() -> None:
    def growing(x: Any, units: int) -> Any:  # what a branch reads is not what it adds to
        x = add(norm(attention(x * 1.5, units)), x)
        return add(feed_forward(x * 1.5, units), x)

    assert "|x|·|g|" not in str(traced(growing, 12)[0].verdict())


@pytest.mark.slow
def test_without_any_norm_it_does_explode() -> None:
    def bare(x: Any, units: int) -> Any:
        x = add(layers.MultiHeadAttention(2, 8, kernel_initializer="he_normal")(x, x), x)
        h = layers.Dense(4 * units, activation="relu", kernel_initializer="he_normal")(x)
        return add(layers.Dense(units, kernel_initializer="he_normal")(h), x)

    rules = {sentence.rule for sentence in traced(bare, 8)[0].verdict()}
    assert rules & {"explodes", "grows", "not-finite", "one-block"}, rules


def bare_of_glorot(x: Any, units: int) -> Any:
    x = add(attention(x, units), x)
    return add(feed_forward(x, units), x)


@pytest.mark.slow
def test_its_remedies_are_those_of_transformers_and_help() -> None:
    trace, _ = traced(bare_of_glorot, 16)
    (sentence,) = [s for s in trace.verdict() if s.rule == "explodes"]
    assert "LayerNormalization at the head of each branch" in sentence and "BatchNorm" not in str(trace.verdict())
    assert trace.blocks[0].grad_norm / trace.blocks[-1].grad_norm > 1e3
    for name in ("pre", "rezero"):
        helped, _ = traced(RIGHT[name], 16)
        assert helped.blocks[0].grad_norm / helped.blocks[-1].grad_norm < 20
