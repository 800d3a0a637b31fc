"""MultiHeadAttention: values and gradients as PyTorch's, Keras' weights and masks, a trace, files, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 6, 8)).astype(np.float32)
Y = RNG.normal(size=(3, 5, 10)).astype(np.float32)
Z = RNG.normal(size=(3, 5, 7)).astype(np.float32)


def drawn(layer):
    """The layer with all weights drawn, biases too."""
    layer.set_weights([RNG.normal(size=w.shape) * 0.3 for w in layer.weights])
    return layer


def formula(layer, query, key, value, mask=None):
    """What the layer should give, in NumPy and float64, with the scores."""
    w = [v.astype(np.float64) for v in layer.get_weights()]
    q, k, v = (
        np.einsum("btd,dhk->bhtk", x, kernel) + bias[:, None]
        for x, kernel, bias in zip((query, key, value), w[:6:2], w[1:6:2])
    )
    logits = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        logits = np.where(mask, logits, -np.inf)
    scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    return np.einsum("bhtv,hvo->bto", scores @ v, w[6]) + w[7], scores


def test_weights_have_the_shapes_and_the_order_of_keras():
    layer = layers.MultiHeadAttention(2, 4, value_dim=3)
    layer(X, Y, Z)
    assert [(name.partition("/")[2], w.shape) for name, w in layer.named_weights().items()] == [
        ("query_kernel", (8, 2, 4)),
        ("query_bias", (2, 4)),
        ("key_kernel", (7, 2, 4)),
        ("key_bias", (2, 4)),
        ("value_kernel", (10, 2, 3)),
        ("value_bias", (2, 3)),
        ("output_kernel", (2, 3, 8)),
        ("output_bias", (8,)),
    ]


def test_values_and_scores_by_the_formula_with_other_keys_and_dims():
    layer = layers.MultiHeadAttention(2, 4, value_dim=3, output_shape=5)
    layer(X, Y, Z)
    drawn(layer)
    wanted, scores = formula(layer, X, Z, Y)
    np.testing.assert_allclose(layer(X, Y, Z).numpy(), wanted, rtol=1e-5, atol=1e-5)
    both = layer(X, Y, key=Z, return_attention_scores=True)
    np.testing.assert_allclose(both[0].numpy(), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(both[1].numpy(), scores, rtol=1e-5, atol=1e-6)


MASKS = {
    "each": RNG.random((3, 6, 6)) < 0.6,
    "all": (RNG.random((6, 6)) < 0.6)[None],
    "without a batch": RNG.random((6, 6)) < 0.6,
    "padding": (np.arange(6) < np.array([[6], [3], [1]]))[:, None, :],
    "heads": RNG.random((3, 2, 6, 6)) < 0.6,
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", MASKS)
def test_masks_of_every_shape(name, causal):
    mask = MASKS[name].copy()
    mask[..., 0] = True  # every query sees something
    whole = mask if mask.ndim == 4 else np.broadcast_to(mask, (3, 6, 6))[:, None]
    layer = layers.MultiHeadAttention(2, 4)
    layer(X, X)
    drawn(layer)
    wanted, _ = formula(layer, X, X, X, whole & np.tri(6, dtype=bool) if causal else whole)
    for given in (mask, mask.astype(np.float32), tr.tensor(mask, dtype="bool")):
        seen = layer(X, X, attention_mask=given, use_causal_mask=causal)
        np.testing.assert_allclose(seen.numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_masks_of_tokens_are_those_of_keras():
    layer = layers.MultiHeadAttention(2, 4)
    keys = np.arange(5) < np.array([[5], [2], [4]])
    layer(X, Y)
    drawn(layer)
    wanted, _ = formula(layer, X, Y, Y, keys[:, None, None])
    for option in ("value_mask", "key_mask"):
        np.testing.assert_allclose(layer(X, Y, **{option: keys}).numpy(), wanted, rtol=1e-5, atol=1e-5)
    queries = np.arange(6) < np.array([[6], [2], [3]])
    seen, scores = layer(X, Y, query_mask=queries, return_attention_scores=True)
    assert not scores.numpy()[~np.broadcast_to(queries[:, None], (3, 2, 6))].any()
    np.testing.assert_allclose(seen.numpy()[queries], formula(layer, X, Y, Y)[0][queries], rtol=1e-5, atol=1e-5)


def test_a_gradient_as_in_pytorch():
    torch = pytest.importorskip("torch")
    peer = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    layer = layers.MultiHeadAttention(2, 4)
    layer(X, X)
    drawn(layer)
    weights = [w.reshape(8, -1) if w.ndim == 3 else w.reshape(-1) for w in layer.get_weights()]
    weights[6] = layer.get_weights()[6].reshape(8, 8)
    with torch.no_grad():
        peer.in_proj_weight[:] = torch.tensor(np.concatenate([w.T for w in weights[:6:2]]))
        peer.in_proj_bias[:] = torch.tensor(np.concatenate(weights[1:6:2]))
        peer.out_proj.weight[:] = torch.tensor(weights[6].T)
        peer.out_proj.bias[:] = torch.tensor(weights[7])
    theirs = torch.tensor(X, requires_grad=True)
    later = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)
    wanted, _ = peer(theirs, theirs, theirs, attn_mask=later)
    ours = tr.tensor(X, requires_grad=True)
    seen = layer(ours, ours, use_causal_mask=True)
    np.testing.assert_allclose(seen.numpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-5)
    wanted.square().sum().backward()
    tr.sum(tr.square(seen)).backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-4)
    kernels = [layer.query_kernel, layer.key_kernel, layer.value_kernel]
    joined = np.concatenate([p.grad.numpy().reshape(8, 8).T for p in kernels])
    np.testing.assert_allclose(joined, peer.in_proj_weight.grad.numpy(), rtol=1e-4, atol=1e-4)


def test_axes_to_attend_over():
    images = RNG.normal(size=(2, 3, 4, 8)).astype(np.float32)
    along = layers.MultiHeadAttention(2, 4, attention_axes=2)
    along(images, images)
    drawn(along)
    rows = images.reshape(6, 4, 8)
    wanted = formula(along, rows, rows, rows)[0].reshape(2, 3, 4, 8)
    np.testing.assert_allclose(along(images, images).numpy(), wanted, rtol=1e-5, atol=1e-5)
    across = layers.MultiHeadAttention(2, 4, attention_axes=(1,))
    across(images, images)
    across.set_weights(along.get_weights())
    turned = images.swapaxes(1, 2)
    np.testing.assert_allclose(
        across(images, images).numpy(), along(turned, turned).numpy().swapaxes(1, 2), rtol=1e-5, atol=1e-5
    )
    everywhere = layers.MultiHeadAttention(2, 4)
    everywhere(images, images)
    everywhere.set_weights(along.get_weights())
    flat = images.reshape(2, 12, 8)
    wanted = formula(along, flat, flat, flat)[0].reshape(2, 3, 4, 8)
    np.testing.assert_allclose(everywhere(images, images).numpy(), wanted, rtol=1e-5, atol=1e-5)


def net(**options):
    inputs = tr.Input(shape=(6, 8))
    x = layers.MultiHeadAttention(2, 4, name="attention", **options)(inputs, inputs, use_causal_mask=True)
    return tr.Model(inputs, layers.Dense(3)(layers.Add()([x, inputs])))


def test_it_is_one_unit_of_a_trace_and_its_parts_are_named_by_op():
    model = net()
    graph = model.graph(X, np.zeros((3, 6, 3)), loss="mse")
    trace = graph.trace(audit="full")
    assert trace.audit().ok
    assert [node.name for node in trace.nodes] == ["input", "target", "attention", "add", "dense", "loss"]
    assert set(trace["attention"].params) >= {"query_kernel", "output_bias"}
    assert [edge.kind for edge in trace.fork("input").edges] == ["branch", "skip"]
    parts = {node.name.split("/")[1] for node in graph.trace(level="op").nodes if node.name.startswith("attention/")}
    assert parts >= {"query", "key", "value", "output"}


def test_copies_pickles_and_files_give_the_same(tmp_path):
    model = net(value_dim=3, seed=1, dropout=0.25, output_initializer="zeros")
    assert not model.get_layer("attention").output_kernel.numpy().any()
    drawn(model)
    wanted = model.predict(X)
    model.save(tmp_path / "m.npz")
    for twin in (tr.load(tmp_path / "m.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict(X), wanted)
        assert twin.get_layer("attention").config() == model.get_layer("attention").config()
    np.testing.assert_allclose(model.astype("float64").predict(X), wanted, rtol=1e-4, atol=1e-5)


def test_dropout_of_scores_is_drawn_anew_in_training_only():
    model = net(dropout=0.5)
    first, second = (model(X, training=True).numpy() for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(model(X).numpy(), model(X).numpy())
    model.compile("adamw", "mse")
    assert np.isfinite(model.fit(X, np.zeros((3, 6, 3)), epochs=3, verbose=0).history["loss"]).all()


def test_glorot_goes_by_the_matrix_that_a_kernel_is():
    layer = layers.MultiHeadAttention(4, 16)
    layer(np.zeros((1, 2, 64)), np.zeros((1, 2, 64)))
    for kernel in (layer.query_kernel, layer.key_kernel, layer.value_kernel, layer.output_kernel):
        assert kernel.numpy().std() == pytest.approx(np.sqrt(2 / 128), rel=0.05)


def test_a_model_of_several_inputs_and_a_mask():
    ids, memory = tr.Input(shape=(6,), dtype="int64", name="ids"), tr.Input(shape=(5, 10), name="memory")
    x = layers.Embedding(4, 8)(ids)
    x = layers.MultiHeadAttention(2, 4)(x, memory)
    x = layers.MultiHeadAttention(2, 4)(x, x, attention_mask=(ids != 0)[:, None, :])
    model = tr.Model([ids, memory], x)
    numbers = RNG.integers(1, 4, (3, 6))
    short = numbers.copy()
    short[:, 4:] = 0
    other = short.copy()
    seen = model.predict([short, Y])
    assert seen.shape == (3, 6, 8)
    np.testing.assert_allclose(model.predict([other, Y])[:, :4], seen[:, :4], rtol=1e-6)
    assert np.abs(model.predict([numbers, Y])[:, :4] - seen[:, :4]).max() > 1e-4


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: layers.MultiHeadAttention(0, 4),
            ArgumentError,
            "[MultiHeadAttention] num_heads is how many heads there are, at least 1; got 0; give an integer",
        ),
        (
            lambda: layers.MultiHeadAttention(2, 4, dropout=1.0),
            ArgumentError,
            "[MultiHeadAttention] dropout is the share of scores to drop, 0 <= dropout < 1; got 1.0; choose one",
        ),
        (
            lambda: layers.MultiHeadAttention(2, 4)(X),
            ArgumentError,
            "[MultiHeadAttention] it is called on queries and values; got queries alone; for attention of a "
            "sequence to itself write layer(x, x)",
        ),
        (
            lambda: layers.MultiHeadAttention(2, 4)(X[0], X[0]),
            ShapeError,
            "[MultiHeadAttention] it takes (batch, tokens, dim); got shape (6, 8); for one sequence use x[None]",
        ),
        (
            lambda: layers.MultiHeadAttention(2, 4)(X, X, attention_mask=np.ones((3, 6), bool)),
            ShapeError,
            "[MultiHeadAttention] attention_mask has shape (batch, tokens, keys), here (3, 6, 6); got (3, 6); for a "
            "mask of padding write mask[:, None, :]",
        ),
        (
            lambda: layers.MultiHeadAttention(2, 4, attention_axes=3)(X, X),
            ArgumentError,
            "[MultiHeadAttention] attention_axes lie between the batch and the last axis; got (3,) for 3 axes; choose "
            "others",
        ),
        (
            lambda: layers.MultiHeadAttention(2, 4, output_shape=0),
            ArgumentError,
            "[MultiHeadAttention] output_shape is the size of the output per token; got 0; give an integer",
        ),
    ],
)
def test_message(call, kind, message):
    with pytest.raises(kind) as raised:
        call()
    assert str(raised.value) == message


def test_another_width_is_refused_by_name():
    layer = layers.MultiHeadAttention(2, 4, name="attention")
    layer(X, X)
    with pytest.raises(
        ShapeError, match=r"\[MultiHeadAttention\] attention takes a query of shape \(batch, tokens, 8\)"
    ):
        layer(Y, X)


def test_turned_by_their_places_before_they_meet():
    tr.manual_seed(0)
    layer = layers.MultiHeadAttention(2, 6, rotary=100)
    x = tr.tensor(np.random.default_rng(0).normal(size=(2, 5, 8)), dtype="float32")
    y = layer(x, x, use_causal_mask=True)
    turn = layers.RotaryEmbedding(max_wavelength=100)
    layer.rotary = None
    query, key, value = layer.projected(x, x, x)
    expected = layer.joined(tr.dot_product_attention(turn(query), turn(key), value, is_causal=True))
    np.testing.assert_allclose(y.numpy(), expected.numpy(), atol=1e-6)
    assert np.abs(y.numpy() - layer(x, x, use_causal_mask=True).numpy()).max() > 1e-3
    twin = type(layer)(**{**layer.config(), "rotary": 100})
    assert twin.config()["rotary"] == 100


@pytest.mark.parametrize("rotary", [0, -1.0, "yes", True])
def test_a_wavelength_is_a_number(rotary):
    with pytest.raises(ArgumentError, match="rotary is a number above 0"):
        layers.MultiHeadAttention(2, 4, rotary=rotary)


def test_pairs_are_of_an_even_number():
    with pytest.raises(ArgumentError, match="rotary turns features in pairs, so key_dim is even; got key_dim=3"):
        layers.MultiHeadAttention(2, 3, rotary=100)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_keras_has_the_same_values_from_the_same_list_of_weights(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(0)
    query, value = (rng.normal(size=(2, n, 8)).astype("float32") for n in (5, 7))
    mask = rng.random((2, 5, 7)) < 0.6
    mask[:, :, 0] = True
    theirs = keras.layers.MultiHeadAttention(3, 4, value_dim=5)
    ours = layers.MultiHeadAttention(3, 4, value_dim=5)
    theirs(query, value), ours(query, value)
    assert [tuple(w.shape) for w in theirs.weights] == [w.shape for w in ours.get_weights()]
    ours.set_weights([rng.normal(size=w.shape) for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    for options in ({}, {"attention_mask": mask}, {"use_causal_mask": True}):
        pair = theirs(query, value, return_attention_scores=True, **options)
        wanted, scores = map(keras.ops.convert_to_numpy, pair)
        got, own = ours(query, value, return_attention_scores=True, **options)
        np.testing.assert_allclose(got.numpy(), wanted, atol=2e-5)
        np.testing.assert_allclose(own.numpy(), scores, atol=2e-6)
        np.testing.assert_allclose(ours(query, value, **options).numpy(), wanted, atol=2e-5)
