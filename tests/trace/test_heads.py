"""What the heads of an attention do: measured beside PyTorch, and told where several collapse or take no part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sequence_nets import graph_of, model_of

import tinyres as tr
from tinyres.errors import FileError
from tinyres.layers.transformer import transformer_pre
from tinyres.measure import heads as measured
from tinyres.ops.attention import attention_weights, weighted_values
from tinyres.optim.schedules import WarmupCosine
from tinyres.trace.lint import lint_trace

UNITS, TOKENS = 16, 12


def model_with(depth: int = 2, **options: Any) -> tr.Model:
    tr.manual_seed(0)
    return model_of(lambda x, units: transformer_pre(x, 4, **options), depth, UNITS, TOKENS)


def rules(model: tr.Model) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in graph_of(model).lint():
        found.setdefault(finding.rule, []).append(finding.node)
    return found


def sharpened(model: tr.Model, factor: float = 60.0) -> tr.Model:
    """Its queries so much larger."""
    for name, parameter in model.named_parameters().items():
        if name.endswith("query_kernel"):
            parameter.assign(parameter.numpy() * factor)
    return model


def entropies(query: np.ndarray, key: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """By the book: in float64, query by query; (batch, tokens, heads, dim)."""
    scores = np.einsum("bqhd,bkhd->bhqk", query.astype(float), key.astype(float)) / np.sqrt(query.shape[-1])
    shares: list[list[float]] = [[] for _ in range(query.shape[2])]
    for b, h, q in np.ndindex(scores.shape[:3]):
        row = scores[b, h, q][seen[q]]
        if row.size > 1:
            p = np.exp(row - row.max())
            p /= p.sum()
            shares[h].append(-np.sum(p * np.log(np.maximum(p, 1e-300))) / np.log(row.size))
    return np.array([np.mean(own) for own in shares])


@pytest.mark.parametrize("written", ["fused", "with a mask", "in ops"])
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
def test_entropies_are_those_of_the_rows_that_choose(written: str, causal: bool) -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((2, 70, 3, 5)).astype("float32") * 2 for _ in range(3)]
    query, key, value = (tr.tensor(a, requires_grad=True) for a in arrays)
    seen = np.tri(70, dtype=bool) if causal else np.ones((70, 70), dtype=bool)
    mask = None
    if written == "with a mask":
        mask = np.ones((70, 70), dtype=bool)
        mask[:, 3:9] = False
        mask[20:40, 1:] = False
        seen = seen & mask
    if written == "in ops":
        y = weighted_values(attention_weights(query, key, is_causal=causal), value)
    else:
        y = tr.dot_product_attention(query, key, value, mask=mask, is_causal=causal)
    (heads,) = [n.heads for n in tr.Graph(tr.mean(tr.square(y))).trace().nodes if n.heads]
    np.testing.assert_allclose([h.entropy for h in heads], entropies(arrays[0], arrays[1], seen), rtol=1e-5)
    assert not any(h.dead for h in heads)


def test_where_each_query_sees_one_key_there_is_no_entropy() -> None:
    x = tr.ones((1, 4, 2, 3), requires_grad=True)
    y = tr.dot_product_attention(x, x, x, mask=np.eye(4, dtype=bool))
    (heads,) = [n.heads for n in tr.Graph(y.sum()).trace().nodes if n.heads]
    assert [h.entropy for h in heads] == [None, None]


def test_probabilities_of_classes_are_no_heads() -> None:
    x = tr.tensor(np.random.default_rng(0).standard_normal((2, 5, 5, 3)), dtype="float32", requires_grad=True)
    kernel = tr.Parameter(np.ones((3, 2), dtype="float32"), "kernel")
    for made in (tr.softmax(x) * x, tr.dense(tr.softmax(x), kernel)):
        assert all(n.heads is None for n in tr.Graph(tr.mean(tr.square(made))).trace().nodes)


def test_of_long_sequences_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_with(1, causal=True)
    whole = graph_of(model, 16).trace()["block0/attention"].heads
    monkeypatch.setattr(measured, "_SCORES", 4 * TOKENS * TOKENS * 8)
    part = graph_of(model, 16).trace()["block0/attention"].heads
    assert whole is not None and part is not None and whole != part
    np.testing.assert_allclose([h.entropy for h in part], [h.entropy for h in whole], rtol=0.1)


def test_files_keep_them(tmp_path: Path) -> None:
    trace = graph_of(model_with()).trace()
    for suffix in ("json", "npz"):
        trace.save(str(tmp_path / f"t.{suffix}"))
        loaded = tr.Trace.load(str(tmp_path / f"t.{suffix}"))
        assert [n.heads for n in loaded.nodes] == [n.heads for n in trace.nodes]


# What is said of them.


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_collapsed_heads_are_told_in_each_block(causal: bool, dropout: float) -> None:
    model = model_with(causal=causal, dropout=dropout)
    assert rules(model) == {}
    assert rules(sharpened(model)) == {"attention-collapse": ["block0/attention", "block1/attention"]}


def test_heads_that_share_themselves_out_evenly_are_left_alone() -> None:
    model = sharpened(model_with(), 1e-3)
    trace = graph_of(model).trace()
    assert all(h.entropy == pytest.approx(1.0) for n in trace.nodes for h in n.heads or ())
    assert rules(model) == {}


def test_one_head_alone_may_look_at_one_token() -> None:
    tr.manual_seed(0)
    assert rules(sharpened(model_of(lambda x, units: transformer_pre(x, 1), 1, UNITS, TOKENS))) == {}


def test_few_heads_of_many_may_look_at_one_token() -> None:
    model = model_with(4)
    for block in range(4):
        kernel = model.get_layer(f"block{block}/attention").query_kernel
        sharp = kernel.numpy()
        sharp[:, 0] *= 200
        kernel.assign(sharp)
    assert rules(model) == {}


def cut(model: tr.Model, head: int, *parts: str, block: int = 1) -> tr.Model:
    layer = model.get_layer(f"block{block}/attention")
    for part in parts:
        kernel = getattr(layer, part)
        array = kernel.numpy()
        array[(slice(None), head) if part == "value_kernel" else head] = 0
        kernel.assign(array)
    return model


def test_a_dead_head_is_told_by_its_number() -> None:
    model = cut(model_with(), 2, "value_kernel", "output_kernel")
    (finding,) = graph_of(model).lint()
    assert (finding.rule, finding.node) == ("dead-head", "block1/attention")
    assert finding.problem.startswith("head 2 has no gradient")
    steps = [model.get_layer("block1/attention").value_kernel]
    before = steps[0].numpy()[:, 2].copy()
    rng = np.random.default_rng(0)
    model.fit(rng.standard_normal((32, TOKENS, UNITS)), rng.integers(0, 10, (32, TOKENS)), epochs=2, verbose=0)
    assert (steps[0].numpy()[:, 2] == before).all()  # it was true


@pytest.mark.parametrize("part", ["value_kernel", "output_kernel"])
def test_a_head_that_a_weight_will_open_is_left_alone(part: str) -> None:
    assert rules(cut(model_with(), 2, part)) == {}


def test_a_head_behind_a_factor_of_zero_is_told() -> None:
    keep = tr.tensor([[1.0], [0.0], [1.0]])
    kernel = tr.Parameter(np.random.default_rng(2).standard_normal((12, 4)).astype("float32"), "kernel")
    x = tr.tensor(np.random.default_rng(0).standard_normal((2, 5, 3, 4)), dtype="float32", requires_grad=True)
    y = tr.dot_product_attention(x, x, x) * keep
    graph = tr.Graph(tr.mean(tr.square(tr.dense(y.reshape(2, 5, 12), kernel))))
    (finding,) = [f for f in graph.lint() if f.rule == "dead-head"]
    assert finding.problem.startswith("head 1 has no gradient")


@pytest.mark.parametrize("norm", ["pre", "post", "deepnorm", "rezero"])
def test_untrained_nets_are_left_alone(norm: str) -> None:
    tr.manual_seed(0)
    model = tr.applications.gpt(20, 16, layers=2, heads=2, width=16, norm=norm)
    model.compile(loss="sparse_categorical_crossentropy")
    ids = np.random.default_rng(0).integers(0, 20, (4, 17))
    found = model.graph(ids[:, :-1], ids[:, 1:]).lint()
    assert not {f.rule for f in found} & {"attention-collapse", "dead-head"}


def test_of_older_files_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "older.json"
    graph_of(sharpened(model_with())).trace().save(str(path))
    data = json.loads(path.read_text())
    del data["nodes"]["heads"]
    path.write_text(json.dumps(data))
    trace = tr.Trace.load(str(path))
    assert trace["block0/attention"].heads is None and lint_trace(trace) == ()


@pytest.mark.parametrize("value", [[[0.5]], [["0.5", False]], [[0.5, 1]], 3])
def test_a_damaged_file_is_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "damaged.json"
    graph_of(model_with()).trace().save(str(path))
    data = json.loads(path.read_text())
    data["nodes"]["heads"][-3] = value
    path.write_text(json.dumps(data))
    with pytest.raises(FileError, match="damaged"):
        tr.Trace.load(str(path))


@pytest.mark.slow
def test_a_rate_too_high_collapses_heads_and_a_lower_one_with_a_warm_up_does_not() -> None:
    def trained(rate: Any) -> set[str]:
        tr.manual_seed(0)
        plays = tr.data.load_plays(context=32, batch_size=12, steps_per_epoch=300)
        model = tr.applications.gpt(len(plays.vocabulary), 32, 2, 4, 64)
        model.compile(tr.optim.AdamW(lr=rate), "sparse_categorical_crossentropy")
        model.fit(plays.train, epochs=1, verbose=0)
        return {f.rule for f in model.graph(*next(plays.train.in_order())).lint()}

    assert "attention-collapse" in trained(5e-2)
    assert trained(WarmupCosine(2e-3, 30, 300)) == set()
