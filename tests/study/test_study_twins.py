"""Block presets, and the plain twin of a residual model: what a comparison of gradients starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.blocks import PRESETS
from tinyres.model.rewiring import skips
from tinyres.study.nets import stack

RESIDUAL = ["residual", "tutorial", "he2015", "preact", "preact_plain", "rezero", "skipinit"]


def options(preset: str) -> dict[str, int]:
    return {"depth": 3} if preset == "skipinit" else {}


def test_the_presets_are_there_by_name() -> None:
    for name in ("plain", "tutorial", "he2015", "preact", "rezero", "skipinit"):
        x = tr.Input(shape=(8,))
        assert getattr(layers.blocks, name)(x, 8, **options(name)).shape == (None, 8)
        assert PRESETS[name] is getattr(layers.blocks, name)


@pytest.mark.parametrize("preset", RESIDUAL)
def test_the_twin_has_the_same_layers_and_weights_but_no_add(preset: str) -> None:
    model = stack(PRESETS[preset], 3, 8, 6, 4, **options(preset))
    twin = model.without_skips()
    assert type(twin) is tr.Model
    dropped = {path for path, layer in model.named_layers().items() if isinstance(layer, layers.Add)}
    assert dropped == {f"block{i}/add" for i in range(3)}
    assert list(twin.named_layers()) == [path for path in model.named_layers() if path not in dropped]
    ours, theirs = model.named_weights(), twin.named_weights()
    assert list(ours) == list(theirs)
    for name, weight in ours.items():
        assert np.array_equal(weight.numpy(), theirs[name].numpy())
        assert weight is not theirs[name]
    assert not skips(twin)


def test_the_twin_of_residual_computes_what_plain_computes() -> None:
    tr.manual_seed(3)
    twin = stack(PRESETS["residual"], 3, 8, 6, 4).without_skips()
    tr.manual_seed(3)
    plain = stack(PRESETS["plain"], 3, 8, 6, 4)
    x = np.random.default_rng(0).normal(size=(5, 6))
    assert np.array_equal(twin.predict(x), plain.predict(x))


def test_traces_of_model_and_twin_align_by_name() -> None:
    model = stack(PRESETS["he2015"], 2, 8, 6, 4)
    x, y = np.random.default_rng(0).normal(size=(16, 6)), np.arange(16) % 4
    loss = "sparse_categorical_crossentropy"
    both = {"residual": model, "plain": model.without_skips()}
    compared = tr.compare(**{name: m.graph(x, y, loss=loss).trace() for name, m in both.items()})
    assert compared.unmatched["plain"] == []
    assert compared.unmatched["residual"] == ["block0/add", "block1/add"]


def test_training_the_twin_leaves_the_model_alone() -> None:
    model = stack(PRESETS["residual"], 1, 8, 8, 3)
    before = [w.copy() for w in model.get_weights()]
    twin = model.without_skips()
    twin.compile("sgd", loss="sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).normal(size=(16, 8)), np.arange(16) % 3
    twin.fit(x, y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_several_skips_nested_skips_projections_and_operators() -> None:
    x = tr.Input(shape=(4,))
    first = layers.Dense(4, name="a")(x)
    second = layers.Dense(4, name="b")(first)
    h = layers.Add(name="three")([second, first, x])
    inner = layers.Dense(4, name="d")(layers.Dense(4, name="c")(h)) + layers.Dense(4, name="projection")(h)
    outer = layers.Dense(4, name="e")(inner) + h * 0.5
    twin = tr.Model(x, outer).without_skips()
    assert [layer.name for layer in twin.layers] == ["input", "a", "b", "c", "d", "e"]


def test_parallel_branches_stay_joined() -> None:
    x = tr.Input(shape=(4,))
    joined = layers.Add()([layers.Dense(4)(x), layers.Dense(4)(x), x])
    twin = tr.Model(x, joined).without_skips()
    value = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    (k0, _, k1, _) = twin.get_weights()
    np.testing.assert_allclose(twin.predict(value), value @ k0 + value @ k1, rtol=1e-5, atol=1e-6)


def test_skips_inside_of_a_model_within_a_model_are_dropped() -> None:
    x = tr.Input(shape=(4,))
    block = tr.Model(x, layers.Dense(4)(x) + x, name="block")
    outer = tr.Input(shape=(4,))
    model = tr.Model(outer, layers.Dense(2)(block(outer)))
    twin = model.without_skips()
    assert [layer.name for layer in twin.get_layer("block").layers] == ["input", "dense"]
    assert len(model.get_layer("block").layers) == 3
    assert list(twin.named_weights()) == list(model.named_weights())


def test_the_channels_of_a_skip_into_a_concatenate_are_zeros(tmp_path: Path, capsys: Any) -> None:
    x = tr.Input(shape=(4,))
    first = layers.Dense(3, name="a")(x)
    joined = layers.Concatenate(name="join")([layers.Dense(4, name="b")(first), x, layers.Dense(2, name="c")(first)])
    model = tr.Model(x, layers.Dense(2, name="head")(joined))
    value = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    (ka, _, kb, _, kc, _, kh, _) = model.get_weights()
    twin = model.without_skips()
    kh[4:8] = 0.0
    np.testing.assert_allclose(twin.predict(value), value @ ka @ np.hstack([kb, np.zeros((3, 4)), kc]) @ kh, atol=1e-5)
    assert twin.get_layer("join").zeros == (0, 4, 0) and list(twin.named_weights()) == list(model.named_weights())
    twin.summary()
    assert "ConcatenateZeros" in capsys.readouterr().out
    twin.save(tmp_path / "twin.npz")
    assert np.array_equal(tr.load(tmp_path / "twin.npz").predict(value), twin.predict(value))
    twin.compile("adam", "mse")
    twin.fit(value, value[:, :2], verbose=0)
    assert twin.graph(value, value[:, :2]).trace(audit="full").audit().ok
    with pytest.raises(ArgumentError, match="got a model without one"):
        twin.without_skips()


def test_a_concatenate_with_zeros_takes_as_many_inputs_as_it_has_places() -> None:
    x = tr.tensor(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"\[ConcatenateZeros\] .* has 1 places for inputs beside its zeros; got 2"):
        layers.ConcatenateZeros([0, 2])([x, x])
    with pytest.raises(ArgumentError, match=r"\[ConcatenateZeros\] zeros are counts, 0 where an input stands"):
        layers.ConcatenateZeros([2])


def averaged() -> tr.Model:
    x = tr.Input(shape=(4,))
    return tr.Model(x, layers.Average()([layers.Dense(4)(x), x]))


def of_any_size() -> tr.Model:
    x = tr.Input(shape=(None, 4))
    return tr.Model(x, layers.Concatenate(axis=1)([layers.Dense(4)(x), x]))


def equally_deep() -> tr.Model:
    x = tr.Input(shape=(4,))
    return tr.Model(x, layers.Add()([layers.Dense(4)(x), layers.Dense(4)(x)]))


class Own(tr.Model):
    """A model with a call of its own."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: stack(PRESETS["plain"], 2, 8, 8, 4), "got a model without one"),
        (averaged, "average joins a skip by Average, which can do neither without it nor with zeros"),
        (of_any_size, "concatenate joins a skip by Concatenate, which can do neither"),
        (equally_deep, "the inputs of add are equally deep, so none is the skip"),
        (Own, "got Own with a call of its own, or not built yet"),
    ],
)
def test_where_there_is_nothing_to_drop_the_error_says_why(make: object, words: str) -> None:
    with pytest.raises(ArgumentError, match="without_skips") as caught:
        make().without_skips()  # type: ignore[operator]
    assert words in str(caught.value)
