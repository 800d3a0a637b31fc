"""Embedding, its way back, and positions: values by formula, ids out of range, symbolic use, files, gradients."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, DTypeError, ShapeError

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 5, (4, 6))
X = RNG.normal(size=(2, 6, 8)).astype(np.float32)


@pytest.mark.parametrize("ids", [IDS, IDS.astype("int32"), IDS.astype("uint8"), IDS.astype("float64"), IDS.tolist()])
def test_ids_of_every_kind_give_rows(ids):
    layer = layers.Embedding(5, 3)
    np.testing.assert_array_equal(layer(ids).numpy(), layer.embeddings.numpy()[IDS])


def test_a_row_gets_the_sum_of_what_came_to_it():
    layer = layers.Embedding(5, 3)
    y = layer(IDS)
    g = RNG.normal(size=y.shape).astype(np.float32)
    tr.sum(y * g).backward()
    wanted = np.zeros((5, 3))
    np.add.at(wanted, IDS, g)
    np.testing.assert_allclose(layer.embeddings.grad.numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32"])
def test_models_take_ids(dtype, tmp_path):
    inputs = tr.Input(shape=(6,), dtype=dtype)
    x = layers.Flatten()(layers.Embedding(5, 3)(inputs))
    model = tr.Model(inputs, layers.Dense(4, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(IDS, IDS[:, 0] % 4, epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "m.npz")
    for twin in (tr.load(tmp_path / "m.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict(IDS), model.predict(IDS))


def test_a_sequential_without_an_input_takes_ids():
    model = tr.Sequential([layers.Embedding(5, 3), layers.Flatten(), layers.Dense(5, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(IDS, IDS[:, 0], epochs=2, verbose=0)
    assert model.predict(IDS).shape == (4, 5)


def test_ids_out_of_range_change_nothing_captured_or_not():
    inputs = tr.Input(shape=(6,), dtype="int64")
    model = tr.Model(inputs, layers.Dense(2)(layers.Embedding(5, 3)(inputs)))
    model.compile("adam", "mse")
    y = np.zeros((4, 6, 2))
    model.fit(IDS, y, verbose=0)
    before = model.get_weights()
    message = r"\[Embedding\] ids lie in 0\.\.4, one for each of its 5 rows; got 0\.\.5; number the tokens anew"
    for capture in (True, False):
        with pytest.raises(IndexError, match=message):
            model.fit(np.where(IDS == 4, 5, IDS), y, verbose=0, capture=capture)
    with pytest.raises(IndexError, match=r"got -1\.\."):
        model.predict(IDS - 1)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_the_way_back_is_a_product_with_the_same_rows():
    tied = layers.ReversibleEmbedding(5, 8)
    tied.build((None,))
    np.testing.assert_allclose(tied(X, reverse=True).numpy(), X @ tied.embeddings.numpy().T, rtol=1e-5, atol=1e-6)
    assert [w.shape for w in tied.weights] == [(5, 8)]
    own = layers.ReversibleEmbedding(5, 8, tie_weights=False, logit_soft_cap=2.0)
    own.build((None,))
    assert [w.shape for w in own.weights] == [(5, 8), (8, 5)]
    wanted = 2 * np.tanh(X @ own.reverse_embeddings.numpy() / 2)
    np.testing.assert_allclose(own(X, reverse=True).numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_a_tied_model_has_one_table_with_the_gradient_of_both(tmp_path):
    inputs = tr.Input(shape=(6,), dtype="int64")
    table = layers.ReversibleEmbedding(5, 8, name="tokens")
    model = tr.Model(inputs, layers.Activation("softmax")(table(table(inputs), reverse=True)))
    assert model.count_params() == 40
    trace = model.graph(IDS, IDS, loss="sparse_categorical_crossentropy").trace(audit="full")
    assert trace.audit().ok and [n.name for n in trace.nodes][:2] == ["tokens", "tokens@1"]
    model.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(tr.load(tmp_path / "m.npz").predict(IDS), model.predict(IDS))


def test_learned_places():
    layer = layers.PositionEmbedding(8)
    np.testing.assert_array_equal(layer(X).numpy(), np.broadcast_to(layer.embeddings.numpy()[:6], X.shape))
    np.testing.assert_array_equal(layer(X[:, :2], start_index=3).numpy()[1], layer.embeddings.numpy()[3:5])
    model = tr.Model(i := tr.Input(shape=(None, 8)), layers.PositionEmbedding(7)(i))
    assert model.output_shape == (None, None, 8) and model.predict(X).shape == X.shape


def test_sines_by_their_formula():
    seen = layers.SinePositionEncoding(100)(X).numpy()
    for place in range(6):
        for i in range(4):
            angle = place / 100 ** (2 * i / 8)
            assert seen[1, place, 2 * i] == pytest.approx(np.sin(angle), abs=1e-6)
            assert seen[1, place, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-6)
    later = layers.SinePositionEncoding(100)(X[:, :2], start_index=4).numpy()
    np.testing.assert_allclose(later, seen[:, 4:], atol=1e-6)


def test_rotations_keep_lengths_and_make_products_depend_on_the_distance():
    layer = layers.RotaryEmbedding()
    q, k = (np.broadcast_to(RNG.normal(size=8), (1, 9, 8)).astype(np.float32) for _ in range(2))
    turned = layer(q).numpy()
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(q, axis=-1), rtol=1e-5)
    products = (turned @ layer(k).numpy().swapaxes(1, 2))[0]
    for distance in range(-3, 4):
        np.testing.assert_allclose(np.diag(products, distance), np.diag(products, distance)[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer(q[:, :4], start_index=5).numpy(), turned[:, 5:], atol=1e-5)


def test_rotations_of_heads_and_of_other_axes():
    x = RNG.normal(size=(2, 5, 3, 4)).astype(np.float32)
    heads = layers.RotaryEmbedding()(x).numpy()
    np.testing.assert_allclose(heads[:, :, 1], layers.RotaryEmbedding()(x[:, :, 1]).numpy(), rtol=1e-5, atol=1e-6)
    turned = layers.RotaryEmbedding(sequence_axis=-1, feature_axis=1)(x[:, :, 0].swapaxes(1, 2)).numpy()
    np.testing.assert_allclose(turned.swapaxes(1, 2), heads[:, :, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make", [layers.SinePositionEncoding, layers.RotaryEmbedding, lambda: layers.PositionEmbedding(6)]
)
def test_places_in_models_with_a_gradient_in_files_and_captured(make, tmp_path):
    inputs = tr.Input(shape=(None, 8))
    model = tr.Model(inputs, layers.Dense(2)(inputs + make()(inputs)))
    model.compile("adam", "mse")
    captured = model.fit(X, np.ones((2, 6, 2)), epochs=3, verbose=0).history["loss"]
    assert captured[-1] < captured[0]
    assert model.graph(X, np.ones((2, 6, 2))).trace(audit="full").audit().ok
    model.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(tr.load(tmp_path / "m.npz").predict(X[:, :3]), model.predict(X[:, :3]))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: layers.Embedding(0, 3),
            ArgumentError,
            "[Embedding] input_dim is the number of ids, at least 1; got 0; give an integer",
        ),
        (
            lambda: layers.Embedding(5, 3, mask_zero=True),
            ArgumentError,
            "[Embedding] masks do not travel with tensors; got mask_zero=True; leave it out and give the mask where it "
            "counts: attention_mask=(ids != 0)[:, None, :] to MultiHeadAttention, and ignore_class=0 to the loss",
        ),
        (
            lambda: layers.Embedding(5, 3)([0.5]),
            DTypeError,
            "[Embedding] ids are whole numbers; got float64 of shape (1,) with others; number the tokens",
        ),
        (
            lambda: layers.Embedding(5, 3)(["a"]),
            DTypeError,
            "[Embedding] ids are whole numbers; got <U1 of shape (1,); number the tokens",
        ),
        (
            lambda: layers.ReversibleEmbedding(5, 8)(X[..., :3], reverse=True),
            ShapeError,
            "[ReversibleEmbedding] the way back takes vectors of 8 floats in the last axis; got float32 of shape "
            "(2, 6, 3); give it what the net made of the embeddings",
        ),
        (
            lambda: layers.PositionEmbedding(4, name="places")(X),
            ShapeError,
            "[PositionEmbedding] places has 4 places; got 6 tokens; cut the text, or make the layer with a larger "
            "sequence_length",
        ),
        (
            lambda: layers.PositionEmbedding(4, name="places")(tr.Input(shape=(6, 8))),
            ShapeError,
            "[PositionEmbedding] places has 4 places; got 6 tokens; cut the text, or make the layer with a larger "
            "sequence_length",
        ),
        (
            lambda: layers.RotaryEmbedding()(X[..., :3]),
            ShapeError,
            "[RotaryEmbedding] features are turned in pairs, so there is an even number of them; got 3 in shape "
            "(2, 6, 3); choose another dim",
        ),
        (
            lambda: layers.SinePositionEncoding()(X[0]),
            ShapeError,
            "[SinePositionEncoding] it takes (batch, tokens, dim); got shape (6, 8); embed the tokens first, by "
            "layers.Embedding",
        ),
        (
            lambda: layers.SinePositionEncoding(0),
            ArgumentError,
            "[SinePositionEncoding] max_wavelength is a number above 0; got 0; choose another",
        ),
    ],
)
def test_message(call, kind, message):
    with pytest.raises(kind) as raised:
        call()
    assert str(raised.value) == message


def test_means_over_tokens_that_count():
    counts = np.arange(6) < np.array([[6], [2]])
    layer = layers.GlobalAveragePooling1D()
    wanted = np.stack([X[0].mean(axis=0), X[1, :2].mean(axis=0)])
    for mask in (counts, counts.astype("float32"), tr.tensor(counts, dtype="bool")):
        np.testing.assert_allclose(layer(X, mask=mask).numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert not layer(X, mask=counts & False).numpy().any()
    np.testing.assert_allclose(layers.GlobalMaxPooling1D(keepdims=True)(X).numpy(), X.max(axis=1, keepdims=True))
    with pytest.raises(ShapeError, match=r"\[GlobalAveragePooling1D\] mask has shape \(batch, tokens\), here"):
        layer(X, mask=counts[:, :3])
