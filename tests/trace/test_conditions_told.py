"""A condition that enters every block, as the embedding of a time does: no skip, no block and nothing to find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers

WIDTH = 8


def silu(x: Any) -> Any:
    return layers.Activation("silu")(x)


def dense(x: Any, units: int = WIDTH) -> Any:
    return layers.Dense(units)(x)


def cut(x: Any, count: int) -> list[Any]:
    return [x[:, i * WIDTH : (i + 1) * WIDTH] for i in range(count)]


def added(h: Any, e: Any) -> Any:
    return layers.Add()([dense(silu(dense(silu(h)) + dense(silu(e)))), h])


def added_through_silu_alone(h: Any, e: Any) -> Any:
    return layers.Add()([dense(silu(dense(h) + silu(e))), h])


def added_to_the_stream(h: Any, e: Any) -> Any:
    h = h + dense(e)
    return layers.Add()([dense(silu(dense(h))), h])


def scaled_and_shifted(h: Any, e: Any) -> Any:
    scale, shift = cut(dense(silu(e), 2 * WIDTH), 2)
    return layers.Add()([dense(silu(dense(h) * (1.0 + scale) + shift)), h])


def modulated(h: Any, e: Any) -> Any:
    scale, shift, gate = cut(dense(silu(e), 3 * WIDTH), 3)
    return layers.Add()([dense(silu(h * (1.0 + scale) + shift)) * gate, h])


def concatenated(h: Any, e: Any) -> Any:
    return layers.Add()([dense(layers.Concatenate()([silu(h), silu(e)])), h])


BLOCKS = (
    added, added_through_silu_alone, added_to_the_stream, scaled_and_shifted, modulated, concatenated,
)  # fmt: skip


def by_two_layers(t: Any) -> Any:
    return dense(silu(dense(t)))


def by_a_layer_and_silu(t: Any) -> Any:
    return silu(dense(t))


def graph(block: Callable[[Any, Any], Any], embed: Callable[[Any], Any], count: int, scoped: bool) -> tr.Graph:
    tr.manual_seed(0)
    x, t = tr.Input(shape=(WIDTH,), name="x"), tr.Input(shape=(4,), name="time")
    e, h = embed(t), layers.Dense(WIDTH, name="stem")(x)
    for i in range(count):
        if scoped:
            with tr.name_scope(f"block{i}"):
                h = block(h, e)
        else:
            h = block(h, e)
    model = tr.Model([x, t], layers.Dense(WIDTH, name="head")(h))
    model.compile(loss="mse")
    rng = np.random.default_rng(0)
    x_data, t_data, y_data = (rng.standard_normal((8, n)) for n in (WIDTH, 4, WIDTH))
    return model.graph([x_data, t_data], y_data)


@pytest.mark.parametrize("scoped", [True, False], ids=["scoped", "unscoped"])
@pytest.mark.parametrize("embed", [by_two_layers, by_a_layer_and_silu, dense])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_condition_is_of_its_own_kind_and_nothing_is_found(block: Any, embed: Any, scoped: bool) -> None:
    made = graph(block, embed, 3, scoped)
    trace = made.trace()
    (condition,) = [f for f in trace.forks if {e.kind for e in f.edges} == {"condition"} and len(f.edges) == 3]
    assert not condition.node.startswith("block") and "a condition" in condition.note
    assert [b.name for b in trace.parts] == ["block0", "block1", "block2"]
    assert all(b.skip is not None and b.fork.node != condition.node for b in trace.blocks)
    assert list(made.lint()) == []
    assert {sentence.rule for sentence in trace.verdict()} <= {"loss"}


@pytest.mark.parametrize("block", BLOCKS)
def test_one_block_with_a_condition_keeps_its_skip(block: Any) -> None:
    made = graph(block, by_two_layers, 1, scoped=True)
    (only,) = made.trace().blocks
    assert only.skip is not None and only.input.name in ("stem", "block0/add")
    assert list(made.lint()) == []


def test_what_comes_back_to_a_block_s_stream_is_no_condition() -> None:
    def read_twice(h: Any, e: Any) -> Any:
        return layers.Add()([dense(silu(dense(h) + dense(silu(h)))), h])

    trace = graph(read_twice, by_two_layers, 3, scoped=True).trace()
    assert not [e for e in trace.edges if e.kind == "condition"]
