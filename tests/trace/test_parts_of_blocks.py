"""Blocks of several forks: a row for each, names that tell, and one block for rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sequence_nets import attention, feed_forward, graph_of, model_of, post_norm, pre_norm

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks as presets
from tinyres.study.cuts import blocks_of


def rows(block: Any, depth: int = 2, scope: str | None = "block{}") -> list[str]:
    """The rows of a trace, which lesions know by the same names."""
    tr.manual_seed(0)
    model = model_of(block, depth, scope=scope)
    trace = graph_of(model).trace()
    assert list(blocks_of(model)) == [part.name for part in trace.parts]
    return [row["block"] for row in trace.rows()]


def scoped(x: Any, units: int) -> Any:
    """With a scope for each branch."""
    with tr.name_scope("attend"):
        f = attention(layers.LayerNormalization()(x), units)
    x = layers.Add()([f, x])
    with tr.name_scope("think"):
        f = feed_forward(layers.LayerNormalization()(x), units)
    return layers.Add()([f, x])


def wholly_scoped(x: Any, units: int) -> Any:
    """With a scope for each branch and its Add."""
    with tr.name_scope("attend"):
        x = layers.Add()([attention(layers.LayerNormalization()(x), units), x])
    with tr.name_scope("think"):
        return layers.Add()([feed_forward(layers.LayerNormalization()(x), units), x])


def sandwich(x: Any, units: int) -> Any:
    """Feed-forward, attention, feed-forward."""
    for i, branch in enumerate((feed_forward, attention, feed_forward)):
        with tr.name_scope(f"part{i}"):
            x = layers.Add()([branch(x, units), x])
    return x


BOTH = ["block0/attention", "block0/dense", "block1/attention", "block1/dense"]
BY_SCOPE = ["block0/attend", "block0/think", "block1/attend", "block1/think"]


@pytest.mark.parametrize(
    ("block", "scope", "names"),
    [
        (pre_norm, "block{}", BOTH),
        (post_norm, "block{}", BOTH),
        (pre_norm, None, BOTH),
        (pre_norm, "encoder", [f"encoder/{name}" for name in BOTH]),
        (scoped, "block{}", BY_SCOPE),
        (wholly_scoped, "block{}", BY_SCOPE),
        (sandwich, "block{}", [f"block{i}/part{k}" for i in range(2) for k in range(3)]),
    ],
    ids=["pre", "post", "without scopes", "in one scope", "branches in scopes", "parts in scopes", "sandwich"],
)
def test_a_row_for_each_fork(block: Any, scope: str | None, names: list[str]) -> None:
    assert rows(block, scope=scope) == names


def test_blocks_of_one_kind_in_a_scope_stay_blocks() -> None:
    assert rows(lambda x, units: presets.he2015(presets.preact(x, units), units), 1, "stage") == [
        "stage/block0", "stage/block1",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trace() -> tr.Trace:
    tr.manual_seed(0)
    return graph_of(model_of(pre_norm, 3)).trace()


def test_a_block_is_known_beside_its_parts(trace: tr.Trace) -> None:
    assert [block.name for block in trace.blocks] == ["block0", "block1", "block2"]
    block = trace["block1"]
    assert [part.name for part in block.parts] == ["block1/attention", "block1/dense"]
    first, second = block.parts
    assert block.fork is first.fork and block.x_norm == first.x_norm and block.grad_norm == first.grad_norm
    assert block.join is second.join and block.output is second.output
    assert {n.name for n in block.nodes} == {n.name for part in block.parts for n in part.nodes}
    assert trace["block1/layer_normalization_1"].block == "block1/dense"


def test_the_parts_have_shares_and_strengths(trace: tr.Trace) -> None:
    for part in trace.parts:
        assert part.skip is not None and part.branch is not None and part.strength is not None
        assert part.skip + part.branch == pytest.approx(1.0)
        assert part.strength > 0


def test_a_fork_by_the_name_of_a_block_or_part(trace: tr.Trace) -> None:
    assert trace.fork("block1") is trace.blocks[1].fork
    assert trace.fork("block1/dense").node == "block1/add"
    assert trace["block1/attention"].fork is trace.fork("block1/attention")
    assert trace.fork("block1/attention").join == "block1/add"


def test_a_layer_that_is_called_like_the_part_is_found_by_its_name() -> None:
    def named(x: Any, units: int) -> Any:
        x = layers.Add()([layers.MultiHeadAttention(2, 4, name="attention")(x, x), x])
        return layers.Add()([feed_forward(x, units), x])

    trace = graph_of(model_of(named, 2)).trace()
    assert trace["block1/attention"].op == "MultiHeadAttention"
    assert trace.fork("block1/attention").node == "block0/add_1"


def test_where_the_skip_leaves_from_the_same_node_query_and_key_are_gates_of_the_value() -> None:
    tr.manual_seed(0)
    trace = graph_of(model_of(post_norm, 1)).trace(level="op")
    fork = trace.fork("x")
    assert [e.dst.split("/")[-2] for e in fork.edges] == ["query", "key", "value", "add"]
    assert [e.kind for e in fork.edges] == ["gate", "gate", "branch", "skip"]
    assert sum(e.share or 0 for e in fork.edges) == pytest.approx(1, abs=1e-5)


def test_query_key_and_value_are_gates_with_shares_at_the_level_of_ops() -> None:
    tr.manual_seed(0)
    trace = graph_of(model_of(pre_norm, 2)).trace(level="op")
    (fork,) = [f for f in trace.forks if {e.dst.split("/")[-2] for e in f.edges} == {"query", "key", "value"}][:1]
    assert [e.kind for e in fork.edges] == ["gate"] * 3
    assert sum(e.share for e in fork.edges) == pytest.approx(1.0)
    assert [edge.kind for edge in graph_of(model_of(pre_norm, 1)).trace().fork("x").edges] == ["branch", "skip"]


def test_rates_are_per_block(trace: tr.Trace) -> None:
    (flow,) = tr.compare(net=trace).flows
    assert flow.names == ("block0", "block1", "block2")
    assert flow.rate == pytest.approx((trace["block0"].grad_norm / trace["block2"].grad_norm) ** 0.5)


def test_all_views_show_the_parts(trace: tr.Trace, tmp_path: Path) -> None:
    text = str(trace)
    assert text.startswith("Trace: 3 blocks,") and "block2/attention" in text and "block2/dense" in text
    assert max(map(len, text.splitlines())) <= 80
    for suffix in (".html", ".svg"):
        trace.export(tmp_path / f"shown{suffix}")
        assert "block2/dense" in (tmp_path / f"shown{suffix}").read_text()
    assert "block2/dense" in repr(trace["block2"])


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_files_keep_the_parts(trace: tr.Trace, tmp_path: Path, suffix: str) -> None:
    trace.save(tmp_path / f"kept{suffix}")
    loaded = tr.Trace.load(tmp_path / f"kept{suffix}")
    assert loaded.rows() == trace.rows() and str(loaded) == str(trace)
    assert [p.name for p in loaded["block1"].parts] == [p.name for p in trace["block1"].parts]
    assert loaded["block1"].join.name == trace["block1"].join.name


def test_a_long_net_folds() -> None:
    tr.manual_seed(0)
    text = str(graph_of(model_of(pre_norm, 12)).trace())
    assert "... 5 more" in text and "block11/attention" in text and max(map(len, text.splitlines())) <= 80


def test_every_branch_of_a_block_is_counted_in_paths() -> None:
    tr.manual_seed(0)
    spectrum = graph_of(model_of(pre_norm, 3)).trace(paths=True).paths()
    assert len(spectrum.shares) == 7  # 0 to 6 of 2 branches in each of 3 blocks
    assert sum(spectrum.shares) == pytest.approx(1.0, abs=1e-5) and spectrum.error < 1e-5


def test_gradients_by_position(tmp_path: Path) -> None:
    tr.manual_seed(0)
    model = model_of(pre_norm, 2, tokens=6)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 6, 8)), rng.integers(0, 10, (4, 6))
    trace = model.graph(x, y).trace(arrays=True)
    node = trace["block1/add"]
    expected = np.sqrt(np.square(node.grad.astype(float)).sum((0, 2)))
    np.testing.assert_allclose(node.grad_by_position, expected, rtol=1e-6)
    assert np.square(node.grad_by_position).sum() == pytest.approx(node.grad_norm**2, rel=1e-6)
    np.testing.assert_array_equal(trace["block1"].grad_by_position, trace["block0/add_1"].grad_by_position)
    trace.save(tmp_path / "kept.npz")
    loaded = tr.Trace.load(tmp_path / "kept.npz")["block1"]
    np.testing.assert_array_equal(loaded.grad_by_position, trace["block1"].grad_by_position)


def test_tokens_that_a_causal_net_does_not_look_back_from_send_nothing() -> None:
    inputs = tr.Input(shape=(5, 8), name="x")
    seen = layers.MultiHeadAttention(2, 4)(inputs, inputs, use_causal_mask=True)
    model = tr.Model(inputs, layers.Dense(3)(seen[:, 2]))
    model.compile(loss=layers.losses.SparseCategoricalCrossentropy(from_logits=True))
    trace = model.graph(np.random.default_rng(0).standard_normal((4, 5, 8)), np.array([0, 1, 2, 0])).trace()
    by_position = trace["x"].grad_by_position
    assert (by_position[:3] > 0).all() and (by_position[3:] == 0).all()


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 4, 3)])
def test_what_has_no_positions_says_so(shape: tuple[int, ...]) -> None:
    x = tr.tensor(np.ones(shape), requires_grad=True, name="x")
    trace = tr.Graph(tr.mean(tr.square(x))).trace()
    with pytest.raises(tr.errors.TraceError, match=r"output \(batch, tokens, features\); got x of shape \(2, "):
        _ = trace["x"].grad_by_position
