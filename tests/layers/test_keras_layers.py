"""Layers of Keras' names: values by formula, symbolic use, saved, gradients; functions, options, regularisers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers

X = np.array([[-4.0, -0.5, 0.25], [0.5, 2.0, 7.5]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ELU = np.where(X > 0, X, np.expm1(X))
VALUES = {
    "elu": ELU,
    "exponential": np.exp(X),
    "gelu": X * 0.5 * (1 + np.vectorize(math.erf)(X / np.sqrt(2))),
    "hard_sigmoid": np.clip(X + 3, 0, 6) / 6,
    "hard_silu": X * np.clip(X + 3, 0, 6) / 6,
    "leaky_relu": np.where(X > 0, X, 0.2 * X),
    "linear": X,
    "log_softmax": X - np.log(np.exp(X).sum(axis=-1, keepdims=True)),
    "mish": X * np.tanh(np.log1p(np.exp(X))),
    "relu": np.maximum(X, 0),
    "relu6": np.clip(X, 0, 6),
    "selu": 1.0507009873554805 * np.where(X > 0, X, 1.6732632423543772 * np.expm1(X)),
    "sigmoid": sigmoid(X),
    "silu": X * sigmoid(X),
    "softmax": np.exp(X) / np.exp(X).sum(axis=-1, keepdims=True),
    "softplus": np.log1p(np.exp(X)),
    "softsign": X / (1 + np.abs(X)),
    "swish": X * sigmoid(X),
    "tanh": np.tanh(X),
}


@pytest.mark.parametrize("name", VALUES)
def test_activations_by_their_formulas(name):
    np.testing.assert_allclose(layers.Activation(name)(X).numpy(), VALUES[name], rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(
        layers.Dense(3, activation=name, kernel_initializer=lambda shape: np.eye(3))(X).numpy(),
        layers.Activation(name)(X).numpy(),
    )


ONE_INPUT = {
    "relu": (lambda: layers.ReLU(), np.maximum(X, 0)),
    "relu_max": (lambda: layers.ReLU(6.0), np.clip(X, 0, 6)),
    "relu_slope": (lambda: layers.ReLU(negative_slope=0.1), np.where(X > 0, X, 0.1 * X)),
    "relu_threshold": (lambda: layers.ReLU(5.0, 0.1, 1.0), np.where(X >= 1, np.minimum(X, 5), 0.1 * (X - 1))),
    "leaky_relu": (lambda: layers.LeakyReLU(), np.where(X > 0, X, 0.3 * X)),
    "leaky_relu_alpha": (lambda: layers.LeakyReLU(alpha=0.1), np.where(X > 0, X, 0.1 * X)),
    "elu": (lambda: layers.ELU(2.0), np.where(X > 0, X, 2 * np.expm1(X))),
    "prelu": (lambda: layers.PReLU(tr.initializers.Constant(0.25)), np.where(X > 0, X, 0.25 * X)),
    "rescaling": (lambda: layers.Rescaling(1 / 255, offset=-1), X / 255 - 1),
    "rescaling_each": (lambda: layers.Rescaling([1.0, 2.0, 3.0]), X * [1, 2, 3]),
    "repeat": (lambda: layers.RepeatVector(2), np.stack([X, X], axis=1)),
    "lambda": (lambda: layers.Lambda(tr.square), X**2),
    "lambda_arguments": (lambda: layers.Lambda(tr.clip, arguments={"lo": -1.0, "hi": 1.0}), np.clip(X, -1, 1)),
    "normalization": (
        lambda: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 9.0, 16.0]),
        (X - [1, 2, 3]) / [2, 3, 4],
    ),
    "normalization_invert": (lambda: layers.Normalization(mean=1.0, variance=4.0, invert=True), X * 2 + 1),
}


@pytest.mark.parametrize("name", ONE_INPUT)
def test_a_layer_of_one_input_eager_symbolic_and_from_a_file(name, tmp_path):
    make, wanted = ONE_INPUT[name]
    np.testing.assert_allclose(make()(X).numpy(), wanted, rtol=1e-6, atol=1e-6)
    inputs = tr.Input(shape=(3,))
    outputs = make()(inputs)
    assert outputs.shape == (None, *wanted.shape[1:])
    model = tr.Model(inputs, outputs)
    np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-6, atol=1e-6)
    model.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(tr.load(tmp_path / "m.npz").predict(X), model.predict(X))


Y = np.array([[1.0, -2.0, 0.5], [0.5, 3.0, -7.5]])
TWO_INPUTS = {
    "Add": X + Y,
    "Average": (X + Y) / 2,
    "Concatenate": np.concatenate([X, Y], axis=-1),
    "Maximum": np.maximum(X, Y),
    "Minimum": np.minimum(X, Y),
    "Multiply": X * Y,
    "Subtract": X - Y,
}


@pytest.mark.parametrize("name", TWO_INPUTS)
def test_a_layer_that_joins_and_its_function(name, tmp_path):
    wanted = TWO_INPUTS[name]
    np.testing.assert_allclose(getattr(layers, name)()([X, Y]).numpy(), wanted, rtol=1e-6)
    a, b = tr.Input(shape=(3,), name="a"), tr.Input(shape=(3,), name="b")
    model = tr.Model([a, b], getattr(layers, name.lower())([a, b], name="joined"))
    assert model.layers[-1].name == "joined"
    model.save(tmp_path / "m.npz")
    np.testing.assert_allclose(tr.load(tmp_path / "m.npz").predict([X, Y]), wanted, rtol=1e-6)


def test_dot_over_axes_of_its_choice():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4))
    np.testing.assert_allclose(layers.Dot(axes=2)([a, b]).numpy(), np.einsum("nik,njk->nij", a, b), rtol=1e-5)
    np.testing.assert_allclose(
        layers.dot([a, b.transpose(0, 2, 1)], axes=(2, 1)).numpy(), np.einsum("nik,njk->nij", a, b), rtol=1e-5
    )
    cosine = (X * Y).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    np.testing.assert_allclose(layers.Dot(1, normalize=True)([X, Y]).numpy()[:, 0], cosine, rtol=1e-5)


def test_permute_counts_the_axes_of_a_sample_from_one():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(layers.Permute((2, 1))(x).numpy(), x.transpose(0, 2, 1))


def test_prelu_shares_axes_and_has_one_weight():
    layer = layers.PReLU(shared_axes=[1])
    layer(np.zeros((2, 3, 4)))
    assert [w.shape for w in layer.weights] == [(1, 4)]
    with pytest.raises(tr.errors.ArgumentError, match=r"\[PReLU\] shared_axes are axes of a sample, 1..1; got 2"):
        layers.PReLU(shared_axes=2)(X)


def test_normalization_adapts_to_the_data_and_is_saved_with_it(tmp_path):
    layer = layers.Normalization()
    layer.adapt(X)
    model = tr.Sequential([tr.Input(shape=(3,)), layer])
    wanted = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-5)
    assert [w.name.rpartition("/")[2] for w in layer.weights] == ["mean", "variance", "count"]
    assert not model.trainable_weights
    assert layer.count.item() == 2
    model.save(tmp_path / "m.npz")
    np.testing.assert_allclose(tr.load(tmp_path / "m.npz").predict(X), wanted, rtol=1e-5)


GRADIENTS = {
    "relu": lambda x: layers.ReLU(5.0, 0.1, 1.0)(x),
    "dot": lambda x: layers.Dot(1, normalize=True)([x, x * x]),
    "prelu": lambda x: layers.PReLU(tr.initializers.Constant(0.3), dtype="float64")(x),
    "normalization": lambda x: layers.Normalization(mean=1.0, variance=4.0)(x),
    "average": lambda x: layers.Average()([x, x * x]),
    "selu": lambda x: layers.Activation("selu")(x),
    "mish": lambda x: layers.Activation("mish")(x),
    "softsign": lambda x: layers.Activation("softsign")(x),
    "hard_silu": lambda x: layers.Activation("hard_silu")(x),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_compositions(name):
    tr.gradcheck(lambda x: tr.sum(tr.square(GRADIENTS[name](x))), [tr.tensor(X, dtype="float64", requires_grad=True)])


def test_regularisers_add_to_the_loss_that_is_trained_on(tmp_path):
    kernel = np.array([[1.0], [-2.0]])
    for given, penalty in (("l2", 0.01 * 5), ("l1", 0.01 * 3), (tr.regularizers.L1L2(0.1, 0.2), 0.3 + 1.0)):
        layer = layers.Dense(1, kernel_initializer=lambda shape: kernel, kernel_regularizer=given)
        model = tr.Sequential([tr.Input(shape=(2,)), layer])
        model.compile(tr.optim.SGD(lr=0.0), "mse")
        assert model.evaluate(np.zeros((4, 2)), np.zeros((4, 1)))[0] == pytest.approx(penalty, rel=1e-6)
        history = model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
        assert history.history["loss"] == [pytest.approx(penalty, rel=1e-6)]
    model.compile(tr.optim.SGD(lr=0.5), "mse")
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), epochs=2, verbose=0)
    expected = kernel
    for _ in range(2):
        expected = expected - 0.5 * (0.1 * np.sign(expected) + 2 * 0.2 * expected)
    np.testing.assert_allclose(layer.kernel.numpy(), expected, rtol=1e-5)
    layer.trainable = False
    assert model.evaluate(np.zeros((4, 2)), np.zeros((4, 1)))[0] == 0


def test_a_regulariser_is_saved_with_its_layer(tmp_path):
    model = tr.Sequential([tr.Input(shape=(2,)), layers.Dense(1, kernel_regularizer=tr.regularizers.L2(0.25))])
    model.save(tmp_path / "m.npz")
    assert tr.load(tmp_path / "m.npz").layers[0].kernel_regularizer.l2 == 0.25
    with pytest.raises(tr.errors.ArgumentError, match=r"\[regularizer\] known names are l1, l2, l1_l2; got 'l3'"):
        layers.Dense(1, kernel_regularizer="l3")


def test_a_layer_that_was_built_by_hand_is_built():
    layer = layers.Dense(2, kernel_initializer="ones")
    layer.build((None, 3))
    assert layer.built
    kernel = layer.kernel
    np.testing.assert_array_equal(layer(np.ones((1, 3))).numpy(), [[3.0, 3.0]])
    assert layer.kernel is kernel
    model = tr.Sequential([layers.Dense(2)])
    model.build([None, 4])
    assert model.count_params() == 10


def test_input_shape_of_the_first_layer_builds_a_sequential():
    for options in ({"input_shape": (4,)}, {"input_dim": 4}, {"batch_input_shape": (None, 4)}):
        model = tr.Sequential([layers.Dense(3, **options), layers.Dense(2)])
        assert model.built
        assert model.count_params() == 23
    model = tr.Sequential()
    model.add(layers.InputLayer(input_shape=(4,)))
    model.add(layers.Dense(3))
    model.add(layers.Dense(2))
    assert model.output_names == ["dense_1"]
    assert model.pop().units == 2
    assert model.predict(np.zeros((5, 4))).shape == (5, 3)


def test_options_that_a_layer_does_not_take_are_refused_in_words():
    message = r"\[Dense\] tinyres has no option kernel_constraint; got 'unit_norm'; set the weights after each step"
    with pytest.raises(tr.errors.ArgumentError, match=message):
        layers.Dense(3, kernel_constraint="unit_norm")
    assert layers.Dense(3, kernel_constraint=None, trainable=False).trainable is False
    with pytest.raises(tr.errors.ArgumentError, match=r"\[Dense\] tinyres has no option units_; got 3; it takes units"):
        layers.Dense(units_=3)
    with pytest.raises(tr.errors.ArgumentError, match=r"\[Dense\] it takes \(units: int"):
        layers.Dense()


def test_batchnorm_takes_its_axis_first():
    assert layers.BatchNormalization(1)(X).shape == X.shape
    assert layers.BatchNormalization(-1, 0.9).momentum == 0.9
    with pytest.raises(tr.errors.ArgumentError, match=r"takes the features in the last axis; got axis=1 for shape"):
        layers.BatchNormalization(1)(np.zeros((2, 3, 4)))


def test_batchnorm_by_position_begins_with_the_momentum_or_with_the_axis() -> None:
    same = layers.BatchNorm(0.9, 1e-5), layers.BatchNormalization(-1, 0.9, 1e-5), layers.BatchNorm(0.9, epsilon=1e-5)
    for layer in same:
        assert (layer.axis, layer.momentum, layer.epsilon) == (-1, 0.9, 1e-5)
    assert (layers.BatchNorm(0.9).momentum, layers.BatchNorm(0.9).epsilon) == (0.9, 1e-3)
    assert layers.BatchNormalization(1).axis == 1


def test_a_regulariser_is_a_function_of_the_weight_alone():
    with pytest.raises(tr.errors.ArgumentError, match="regularizer.*rate"):
        layers.Dense(2, kernel_regularizer=tr.dropout)
