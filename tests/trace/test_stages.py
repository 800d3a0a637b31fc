"""Nets in stages: how they fold, what is told of each stage, and that right ones are left alone."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from image_nets import compiled, graph, images, resnet

import tinyres as tr
from tinyres import layers
from tinyres.errors import TraceError


@pytest.fixture(scope="module")
def deep() -> tr.Trace:
    return graph(resnet(152, width=4, size=32), 8).trace()


@pytest.mark.slow
def test_fifty_blocks_fold_stage_by_stage(deep: tr.Trace) -> None:
    lines = str(deep).splitlines()
    assert len(lines) <= 34 and max(map(len, lines)) <= 80
    shown = [line.split()[0] for line in lines if line.startswith(("stem", "stage"))]
    ends = {f"stage{i}/block{j}" for i, last in enumerate((2, 7, 35, 2)) for j in (0, last)}
    assert ends <= set(shown) and len(shown) <= 20
    (fold,) = [line for line in lines if line.startswith("  ...")]
    assert fold.startswith("  ... 34 more in stage2, |g| ") and "skip" in fold
    assert 'trace.table(); one row per stage: trace.table("stage")' in str(deep)


def test_all_blocks_one_stage_or_one_row_each(deep: tr.Trace) -> None:
    blocks = {b.name for b in deep.blocks}
    assert blocks == {line.split()[0] for line in deep.table().splitlines()} & blocks
    whole = deep.table(expand="stage2").splitlines()
    assert sum(line.startswith("stage2/") for line in whole) == 36
    assert any("6 more in stage1" in line for line in whole)
    with pytest.raises(TraceError, match="the nearest are stage3, stage2"):
        deep.table(expand="stage23")
    assert [line.split()[:2] for line in deep.table("stage").splitlines()[1:]] == [
        ["stem", "1"], ["stage0", "3"], ["stage1", "8"], ["stage2", "36"], ["stage3", "3"],
    ]  # fmt: skip


def test_the_row_of_a_stage_is_what_its_blocks_measured(deep: tr.Trace) -> None:
    row = deep.rows("stage")[3]
    own = [b for b in deep.blocks if b.name.startswith("stage2/")]
    assert (row["stage"], row["blocks"], row["first"], row["last"]) == ("stage2", 36, own[0].name, own[-1].name)
    assert (row["x_norm"], row["grad_norm"]) == (own[0].x_norm, own[0].grad_norm)
    assert row["rate"] == pytest.approx((own[1].grad_norm / own[-1].output.grad_norm) ** (1 / 35))
    assert row["skip"] == pytest.approx(np.median([b.skip for b in own]))
    assert row["shape"] == own[-1].output.shape[1:] == (2, 2, 64)


def test_blocks_without_scopes_are_told_apart_by_their_shape() -> None:
    inputs = x = tr.Input((16,))
    for units in (16,) * 12 + (24,) * 12:
        skip = x if x.shape[-1] == units else layers.Dense(units, use_bias=False)(x)
        x = layers.Add()([layers.Dense(units)(layers.Dense(units, activation="relu")(x)), skip])
    model = compiled(tr.Model(inputs, layers.Dense(10, activation="softmax")(x)))
    trace = model.graph(np.random.default_rng(0).normal(size=(32, 16)), np.arange(32) % 10).trace()
    assert [row["stage"] for row in trace.rows("stage")] == ["block0..block11", "block12..block23"]
    assert trace.blocks[12].on_skip == "Dense, 16 to 24"
    assert "on skips: block12 Dense, 16 to 24" in str(trace)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (1, "Conv2D 1x1, stride 2, 4 to 8 + BatchNormalization"),
        (2, "Conv2D 1x1, stride 2, 4 to 8"),
    ],
)
def test_projections_are_named_with_their_stride(version: int, told: str, tmp_path: pathlib.Path) -> None:
    trace = graph(resnet(20, version)).trace()
    on_skips = {b.name: b.on_skip for b in trace.blocks if b.on_skip}
    assert on_skips["stage1/block0"] == told and set(on_skips) == {"stage1/block0", "stage2/block0"}
    assert "on skips: stage1/block0 Conv2D 1x1, stride 2, 4 to 8" in str(trace)
    trace.save(tmp_path / "t.json")
    assert str(tr.Trace.load(tmp_path / "t.json")) == str(trace)
    trace.export(tmp_path / "t.html")
    assert told in (tmp_path / "t.html").read_text()


def test_dead_channels_are_counted_and_named(tmp_path: pathlib.Path) -> None:
    model = resnet(20)
    trace = graph(model).trace()
    assert trace["stage1/block1/re_lu"].dead == 0 and trace["stage1/block1/conv2d"].dead is None
    assert not graph(model).lint()
    shift = model.named_parameters()["stage1/block1/batch_normalization/beta"]
    shift.assign([-100.0, 0, 0, -100, 0, 0, 0, -100])
    trace = graph(model).trace()
    assert trace["stage1/block1/re_lu"].dead == 3
    (found,) = graph(model).lint()
    assert (found.rule, found.node) == ("dead-units", "stage1/block1/re_lu")
    assert found.problem.startswith("3 of 8 channels are 0 for the whole batch")
    assert trace.table("layer").splitlines()[0].split() == "node op |y| |g| zeros dead |W| |dW|".split()
    trace.save(tmp_path / "t.npz")
    assert tr.Trace.load(tmp_path / "t.npz")["stage1/block1/re_lu"].dead == 3


def test_dead_units_of_a_dense_net_too() -> None:
    model = compiled(tr.Sequential([tr.Input((8,)), layers.Dense(8, "relu"), layers.Dense(10, "softmax")]))
    model.layers[0].bias.assign([-100.0] * 5 + [0.0] * 3)
    made = model.graph(np.random.default_rng(0).normal(size=(64, 8)), np.arange(64) % 10)
    (found,) = made.lint()
    assert found.problem.startswith("5 of 8 units are 0")


@pytest.mark.parametrize(
    ("depth", "version", "seeds"),
    [(20, 1, 2), (20, 2, 2), (56, 1, 1), (56, 2, 1)]
    + [pytest.param(depth, version, 12, marks=pytest.mark.slow) for depth in (20, 56, 110) for version in (1, 2)],
)
def test_right_nets_of_stages_are_left_alone(depth: int, version: int, seeds: int) -> None:
    for seed in range(seeds):
        made = graph(resnet(depth, version, seed=seed))
        assert made.trace().verdict() == () and made.lint() == ()


@pytest.mark.parametrize(("depth", "version"), [(50, 1), pytest.param(101, 2, marks=pytest.mark.slow)])
def test_right_bottlenecks_are_left_alone(depth: int, version: int) -> None:
    made = graph(resnet(depth, version, width=8, size=32), 32)
    assert made.trace().verdict() == () and made.lint() == ()


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "blocks"), [(101, 23), (152, 36)])
def test_the_longest_stage_grows_like_a_power_and_never_explodes(depth: int, blocks: int) -> None:
    made = graph(resnet(depth, width=8, size=64), 32)
    (sentence,) = made.trace().verdict()
    assert sentence.rule == "polynomial" and "lint" not in sentence and made.lint() == ()
    assert sentence.startswith("in stage2 the gradient grows like a power of the depth toward the input, L^1.")
    assert f"over {blocks} blocks" in sentence and "layers.blocks.preact_basic" in sentence.remedy
    assert graph(resnet(depth, 2, width=8, size=64), 32).trace().verdict() == ()  # what the remedy says helps


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_right_vgg_is_left_alone(batch_norm: bool) -> None:
    tr.manual_seed(0)
    model = compiled(tr.applications.vgg(11, 10, (32, 32, 3), batch_norm=batch_norm, units=32))
    made = model.graph(*images(8, 32))
    assert made.trace().verdict() == () and made.lint() == ()


@pytest.mark.slow
def test_without_skips_each_stage_that_explodes_is_named() -> None:
    verdict = graph(resnet(56, residual=False)).trace().verdict()
    assert {s.rule for s in verdict} == {"explodes"}
    assert verdict[0].startswith("in stage0 the gradient explodes in every block toward the input")
    assert "theory for BatchNorm before ReLU: x 1.47" in verdict[0] and "(layers.blocks.basic)" in verdict[0]


def test_many_layers_with_dead_units_are_one_finding() -> None:
    model = compiled(
        tr.Sequential([tr.Input((8,)), *[layers.Dense(8, "relu") for _ in range(6)], layers.Dense(10, "softmax")])
    )
    for layer in model.layers[:6]:
        layer.bias.assign([-100.0] * 3 + [0.1] * 5)
    (found,) = model.graph(np.random.default_rng(0).normal(size=(64, 8)), np.arange(64) % 10).lint()
    assert found.rule == "dead-units" and "(and so 5 more, to dense_5)" in found.problem
