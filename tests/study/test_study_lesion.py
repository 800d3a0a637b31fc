"""Lesions: what is deleted is deleted, the rest and the model itself stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError
from tinyres.layers.blocks import PRESETS
from tinyres.study.nets import stack

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
Y = np.arange(40) % 4


def net(preset: str, blocks: int = 4, **options: Any) -> tr.Model:
    tr.manual_seed(1)
    model = stack(PRESETS[preset], blocks, 8, 6, 4, **options)
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=2, verbose=0)
    return model


def without_by_hand(model: tr.Model, deleted: str, preset: str) -> np.ndarray:
    """The output of a stack of pre-activation or plain blocks, computed layer by layer without one block."""
    h = model.get_layer("stem")(X)
    for i in range(4):
        name = f"block{i}"
        if name == deleted:
            continue
        shortcut = h
        for step in model.steps:
            if step.block == name and not isinstance(step.layer, layers.Add):
                h = step.layer(h)
        h = h + shortcut if preset == "preact" else h
    return model.get_layer("head")(h).numpy()


@pytest.mark.parametrize("preset", ["preact", "plain"])
def test_a_deleted_block_passes_its_input_on(preset: str) -> None:
    model = net(preset)
    result = tr.lesion(model, X, Y)
    for i in range(4):
        probabilities = without_by_hand(model, f"block{i}", preset)
        error = np.mean(probabilities.argmax(axis=1) != Y)
        loss = -np.mean(np.log(probabilities[np.arange(40), Y]))
        assert result[f"block{i}"].error == pytest.approx(error, abs=1e-6)
        assert result[f"block{i}"].loss == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("preset", ["preact", "tutorial", "plain_batchnorm"])
def test_the_model_is_unchanged_bit_for_bit(preset: str) -> None:
    model = net(preset)
    weights = [w.copy() for w in model.get_weights()]
    names, output = list(model.named_weights()), model.predict(X)
    scores = model.evaluate(X, Y)
    optimizer = model.optimizer
    tr.lesion(model, X, Y)
    tr.lesion(model, X, Y, random=[1, 2], repeats=2)
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights()))
    assert list(model.named_weights()) == names
    assert [layer.path for _, layer in model._children()] == [path for path, _ in model._children()]
    assert np.array_equal(model.predict(X), output)
    assert model.evaluate(X, Y) == scores
    assert model.optimizer is optimizer


def test_the_default_generator_is_left_alone() -> None:
    model = net("preact")
    tr.manual_seed(5)
    tr.lesion(model, X, Y, random=2)
    drawn = tr.ops.random.default_generator().numpy().random()
    tr.manual_seed(5)
    assert tr.ops.random.default_generator().numpy().random() == drawn


def test_all_blocks_deleted_leave_stem_and_head() -> None:
    model = net("preact")
    result = tr.lesion(model, X, Y, blocks=[tuple(range(4))])
    probabilities = model.get_layer("head")(model.get_layer("stem")(X)).numpy()
    assert result.cuts[0].name == "block0 + block1 + block2 + block3"
    assert result.cuts[0].error == pytest.approx(np.mean(probabilities.argmax(axis=1) != Y), abs=1e-6)


def test_a_zero_initialised_branch_can_be_deleted_without_damage() -> None:
    tr.manual_seed(0)
    model = stack(PRESETS["rezero"], 3, 8, 6, 4)
    result = tr.lesion(model, X, Y, loss="sparse_categorical_crossentropy")
    assert [cut.damage for cut in result] == [0.0, 0.0, 0.0]
    assert {cut.loss for cut in result} == {result.loss}


def test_deleting_a_skip_leaves_the_plain_block() -> None:
    model = net("preact", blocks=1)
    (cut,) = tr.lesion(model, X, Y, what="skip")
    twin = model.without_skips()
    twin.compile("sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = twin.evaluate(X, Y)
    assert (cut.loss, cut.error) == (loss, 1 - accuracy)


@pytest.mark.slow
def test_random_blocks_are_drawn_by_the_seed() -> None:
    model = net("preact")
    first = tr.lesion(model, X, Y, random=[1, 3], repeats=3, seed=7)
    again = tr.lesion(model, X, Y, random=[1, 3], repeats=3, seed=7)
    assert first.rows() == again.rows()
    assert sorted(len(cut.blocks) for cut in first) == [1, 1, 1, 3, 3, 3]
    assert all(len(set(cut.blocks)) == len(cut.blocks) for cut in first)
    assert tr.lesion(model, X, Y, random=3, repeats=5, seed=8).rows() != first.rows()


@pytest.mark.slow
def test_the_table_is_sorted_by_damage_and_80_columns_wide() -> None:
    model = net("preact", blocks=24)
    result = tr.lesion(model, X, Y)
    damages = [row["damage"] for row in result.rows()]
    assert damages == sorted(damages, reverse=True)
    assert len(result.table().splitlines()) == 25
    text = str(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "... 5 more: .table()" in text
    assert "Lesion: 24 times blocks deleted, 40 samples, BatchNorm statistics frozen" in text


def test_without_name_scopes_the_region_of_each_add_is_a_block() -> None:
    x = h = tr.Input(shape=(6,))
    for _ in range(2):
        h = layers.blocks.preact(h, 6)
    model = tr.Model(x, layers.Dense(1)(h))
    target = X[:, :1]
    result = tr.lesion(model, X, target, loss="mse")
    assert {cut.name for cut in result} == {"block0", "block1"}
    assert result.error is None
    assert result["block1"].damage == pytest.approx(result["block1"].loss - result.loss)


def test_a_projection_shortcut_stays_when_its_block_is_deleted() -> None:
    x = tr.Input(shape=(6,))
    with tr.name_scope("wider"):
        branch = layers.Dense(8)(layers.Dense(8, activation="relu")(x))
        h = layers.ReLU()(branch + layers.Dense(8, name="projection")(x))
    model = tr.Model(x, layers.Dense(4, activation="softmax", name="head")(h))
    (cut,) = tr.lesion(model, X, Y, loss="sparse_categorical_crossentropy")
    expected = model.get_layer("head")(model.get_layer("projection")(X)).numpy()
    assert cut.loss == pytest.approx(-np.mean(np.log(expected[np.arange(40), Y])), rel=1e-4)


def test_a_block_of_another_width_is_spared_and_named() -> None:
    x = tr.Input(shape=(6,))
    with tr.name_scope("wider"):
        h = layers.Dense(8)(x)
    with tr.name_scope("same"):
        h = layers.Dense(8)(h)
    model = tr.Model(x, layers.Dense(4, activation="softmax")(h))
    loss = "sparse_categorical_crossentropy"
    result = tr.lesion(model, X, Y, loss=loss)
    assert [cut.name for cut in result] == ["same"]
    assert "wider turns (None, 6) into (None, 8)" in result.spared["wider"]
    assert "not deleted, since nothing would fit: wider" in str(result)
    with pytest.raises(ArgumentError, match="wider turns"):
        tr.lesion(model, X, Y, blocks="wider", loss=loss)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"blocks": "block9"}, "a block is one of block0, block1; got 'block9'"),
        ({"blocks": [0, 2]}, "got 2"),
        ({"what": "branch"}, 'what is deleted is "block" or "skip"; got \'branch\''),
        ({"random": []}, "random needs a count and a repeat; got []"),
        ({"random": 1, "repeats": 0}, "got 1, 0 times"),
        ({"random": 3}, "random is 1 to 2 blocks at once; got 3"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    model = stack(PRESETS["preact"], 2, 8, 6, 4)
    with pytest.raises(ArgumentError, match="lesion") as caught:
        tr.lesion(model, X, Y, loss="sparse_categorical_crossentropy", **options)
    assert words in str(caught.value)


def test_models_that_cannot_be_cut_are_refused() -> None:
    plain = stack(PRESETS["plain"], 2, 8, 6, 4)
    with pytest.raises(ArgumentError, match="the model must have skips to delete; got none"):
        tr.lesion(plain, X, Y, what="skip", loss="sparse_categorical_crossentropy")
    with pytest.raises(ArgumentError, match="damage is measured by a loss; got none"):
        tr.lesion(plain, X, Y)
    x = tr.Input(shape=(6,))
    bare = tr.Model(x, layers.Dense(4, activation="softmax")(x))
    with pytest.raises(ArgumentError, match="build each under tr.name_scope"):
        tr.lesion(bare, X, Y, loss="sparse_categorical_crossentropy")
    with pytest.raises(ArgumentError, match="got Sequential without one"):
        tr.lesion(tr.Sequential([layers.Dense(4)]), X, Y, loss="mse")
