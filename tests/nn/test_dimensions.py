"""Sizes that are not known before there is data: None in any axis of an Input, and never a size that is known."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, ShapeError
from tinyres.nn.symbolic import TRIALS

RNG = np.random.default_rng(0)


def input_of(*shape):
    return tr.Input(shape=shape)


class Sizes(layers.Layer):
    """A layer of one's own that reads x.shape."""

    def call(self, x):
        batch, *rest = x.shape
        return tr.reshape(x, (batch, rest[0] * rest[1], *rest[2:]))


class Pieces(layers.Layer):
    def call(self, x):
        return [x[:, :2], x[:, 2:]]


SHAPES = {
    "input": (lambda: input_of(None, None, 3), (None, None, None, 3)),
    "dense": (lambda: layers.Dense(5)(input_of(None, None, 3)), (None, None, None, 5)),
    "dense relu": (lambda: layers.Dense(5, activation="relu")(input_of(None, 3)), (None, None, 5)),
    "batchnorm": (lambda: layers.BatchNormalization()(input_of(None, 3)), (None, None, 3)),
    "dropout": (lambda: layers.Dropout(0.5)(input_of(None, 3)), (None, None, 3)),
    "activation": (lambda: layers.Activation("softmax")(input_of(None, 3)), (None, None, 3)),
    "flatten": (lambda: layers.Flatten()(input_of(None, None, 3)), (None, None)),
    "flatten of known sizes": (lambda: layers.Flatten()(input_of(2, 3)), (None, 6)),
    "reshape to -1": (lambda: layers.Reshape((-1, 3))(input_of(None, None, 3)), (None, None, 3)),
    "reshape halves": (lambda: layers.Reshape((-1, 2, 4))(input_of(None, 4)), (None, None, 2, 4)),
    "reshape by method": (lambda: input_of(None, 4).reshape(-1, -1, 2), (None, None, 2)),
    "add": (lambda: (lambda x: layers.Add()([x, layers.Dense(3)(x)]))(input_of(None, 3)), (None, None, 3)),
    "two inputs": (lambda: layers.Add()([input_of(None, 3), input_of(None, 3)]), (None, None, 3)),
    "operator": (lambda: input_of(None, 3) * 2.0 + 1.0, (None, None, 3)),
    "concatenate over None": (lambda: layers.Concatenate(axis=1)([input_of(None, 3), input_of(5, 3)]), (None, None, 3)),
    "concatenate beside None": (lambda: layers.Concatenate()([input_of(None, 3), input_of(None, 4)]), (None, None, 7)),
    "transpose": (lambda: tr.transpose(input_of(None, 3), (0, 2, 1)), (None, 3, None)),
    "sum over None": (lambda: input_of(None, 3).sum(axis=1), (None, 3)),
    "sum beside None": (lambda: input_of(None, 3).sum(axis=2), (None, None)),
    "mean, kept": (lambda: tr.mean(input_of(None, None, 3), axis=(1, 2), keepdims=True), (None, 1, 1, 3)),
    "sum over all": (lambda: tr.sum(input_of(None, 3)), ()),
    "a slice": (lambda: input_of(None, 3)[:, ::2], (None, None, 3)),
    "one of them": (lambda: input_of(None, 3)[:, -1], (None, 3)),
    "x.shape in an own layer": (lambda: Sizes()(input_of(None, None, 3)), (None, None, 3)),
    "x.shape of known sizes": (lambda: Sizes()(input_of(4, 5, 3)), (None, 20, 3)),
    "several outputs": (lambda: tuple(s.shape for s in Pieces()(input_of(None, 3))), ((None, 2, 3), (None, None, 3))),
    "products of rows": (lambda: tr.matmul(*[input_of(3)] * 2, transpose_b=True), (None, None)),
    "and what follows": (
        lambda: (lambda x: tr.softmax(tr.matmul(x, x, transpose_b=True)) @ x)(input_of(3)),
        (None, 3),
    ),
    "the batch behind": (lambda: tr.transpose(input_of(3), (1, 0)), (3, None)),
}


@pytest.mark.parametrize(("build", "shape"), SHAPES.values(), ids=SHAPES)
def test_none_stands_where_a_size_depends_on_one(build, shape):
    found = build()
    assert getattr(found, "shape", found) == shape


@pytest.mark.parametrize("size", [1, *(size for trial in TRIALS for size in trial)])
def test_a_known_size_is_not_taken_for_a_placeholder(size):
    class Constant(layers.Layer):
        """Its output has no batch: the same for every input."""

        def build(self, input_shape):
            self.w = self.add_weight("w", (size, 4))

        def call(self, x):
            return self.w + 0.0

    assert Constant()(input_of(3)).shape == (size, 4)
    assert layers.Dense(size)(input_of(size)).shape == (None, size)
    assert layers.Dense(3)(input_of(size, size)).shape == (None, size, 3)
    assert tr.transpose(input_of(size, None), (0, 2, 1)).shape == (None, None, size)
    assert tr.tensor(np.ones((size, 3)), dtype="float32").shape == (size, 3)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: layers.Dense(4)(input_of(3, None)),
            ShapeError,
            r"\[Dense\] a weight needs known sizes; got \(None, 4\) for k",
        ),
        (
            lambda: layers.Dense(4)(layers.Flatten()(input_of(None, 3))),
            ShapeError,
            r"\[Dense\] a weight needs known sizes",
        ),
        (
            lambda: layers.BatchNormalization()(input_of(None)),
            ShapeError,
            r"\[BatchNormalization\] a weight needs known",
        ),
        (
            lambda: layers.Add()([input_of(None, 3), input_of(5, 3)]),
            ShapeError,
            r"\[Add\] the inputs must have equal shapes",
        ),
        (lambda: layers.Reshape((5, 3))(input_of(None, 3)), ShapeError, r"\[Reshape\] .* keeps the size of a sample"),
        (lambda: OfRank()(input_of(3)), ShapeError, r"\[OfRank\] axes and number of outputs must not depend on sizes"),
        (
            lambda: OfCount()(input_of(3)),
            ShapeError,
            r"\[OfCount\] axes and number of outputs .*; got 2 outputs and 3 out",
        ),
        (lambda: ForTwo()(input_of(3)), ShapeError, r"\[reshape\] the new shape must hold the same number of elements"),
    ],
)
def test_what_needs_a_known_size_says_so(build, error, message):
    with pytest.raises(error, match=message):
        build()


class OfRank(layers.Layer):
    def call(self, x):
        return x if x.shape[0] == 2 else x[None]


class OfCount(layers.Layer):
    def call(self, x):
        return [x[i] for i in range(x.shape[0])]


class ForTwo(layers.Layer):
    """Takes a batch of two for granted."""

    def call(self, x):
        return tr.reshape(x, (2, 3))


def sequence_model():
    tr.manual_seed(0)
    inputs = x = input_of(None, 4)
    x = layers.Add()([x, layers.Dense(4, activation="relu")(x)])
    x = layers.BatchNormalization()(x)
    return tr.Model(inputs, layers.Dense(3, activation="softmax")(tr.mean(x, axis=1)))


def test_a_model_runs_on_every_length(tmp_path):
    model = sequence_model()
    model.save(tmp_path / "m.npz")
    loaded = tr.load(tmp_path / "m.npz")
    for length in (1, 2, 7, 192):
        x = RNG.normal(size=(5, length, 4)).astype(np.float32)
        expected = model(x).numpy()
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    with pytest.raises(ShapeError, match=r'the input "input" takes shape \(None, None, 4\); got \(5, 2, 3\)'):
        model(np.ones((5, 2, 3)))
    with pytest.raises(ShapeError, match=r"\[predict\] input takes x of shape \(samples, None, 4\); got \(5, 2, 3\)"):
        model.predict(np.ones((5, 2, 3)))


def test_fit_takes_one_length_after_another():
    captured, eager = sequence_model(), sequence_model()
    for model in (captured, eager):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    y = np.arange(12) % 3
    for length in (3, 8, 3):
        x = RNG.normal(size=(12, length, 4)).astype(np.float32)
        losses = [
            model.fit(x, y, batch_size=4, epochs=1, verbose=0, shuffle=False, capture=model is captured).history["loss"]
            for model in (captured, eager)
        ]
        assert losses[0] == losses[1]
    assert [w.tobytes() for w in captured.get_weights()] == [w.tobytes() for w in eager.get_weights()]


def test_targets_of_every_length():
    inputs = input_of(None, 4)
    model = tr.Model(inputs, layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    for length in (3, 5):
        x, y = RNG.normal(size=(6, length, 4)), RNG.normal(size=(6, length, 2))
        assert model.fit(x, y, verbose=0).history["loss"][0] > 0
    with pytest.raises(ShapeError, match=r"\[fit\] y must have the shape of the output"):
        model.fit(x, y[:, :, :1], verbose=0)
    with pytest.raises((ShapeError, ArgumentError)):
        model.fit(x, y[:, :2], verbose=0)


def test_the_summary_shows_what_is_not_known(capsys):
    sequence_model().summary()
    printed = capsys.readouterr().out
    assert "(None, None, 4)" in printed and "(None, 3)" in printed


def test_copies_and_twins_know_the_same():
    model = sequence_model()
    x = RNG.normal(size=(2, 6, 4))
    assert model.astype("float64")(x).shape == (2, 3)
    assert [s.shape for s in model.without_skips().inputs] == [(None, None, 4)]
