"""Each layer against its definition in NumPy, and what every layer can do: build, weights, names, freezing."""

import copy

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError
from tinyres.ops.random import default_generator

X = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0], [2.0, 4.0, -3.0], [-1.0, 1.0, 0.0]], np.float32)


def close(tensor, array, tolerance=1e-6):
    np.testing.assert_allclose(tensor.numpy(), array, rtol=tolerance, atol=tolerance)


def test_dense_is_x_times_kernel_plus_bias():
    layer = layers.Dense(2, bias_initializer="ones")
    y = layer(X)
    assert y.shape == (4, 2)
    close(y, X @ layer.kernel.numpy() + 1.0)


@pytest.mark.parametrize(
    "activation, function",
    [
        (None, lambda z: z),
        ("linear", lambda z: z),
        ("relu", lambda z: np.maximum(z, 0)),
        ("tanh", np.tanh),
        ("sigmoid", lambda z: 1 / (1 + np.exp(-z))),
        ("softplus", lambda z: np.log1p(np.exp(z))),
        ("softmax", lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)),
        (tr.square, np.square),
    ],
)
def test_dense_and_activation_apply_the_same_function(activation, function):
    dense = layers.Dense(3, activation=activation)
    z = X @ (dense(X), dense.kernel.numpy())[1]
    close(dense(X), function(z), 1e-5)
    close(layers.Activation(activation or "linear")(z), function(z), 1e-5)


def test_dense_with_relu_is_one_node_and_without_a_separate_one():
    fused = layers.Dense(2, activation="relu")(X)
    assert fused.node.op.name == "dense"
    separate = layers.ReLU()(layers.Dense(2)(X))
    assert separate.node.op.name == "relu"
    assert separate.node.inputs[0].op.name == "dense"


def test_dense_takes_leading_axes_and_no_bias():
    layer = layers.Dense(2, use_bias=False)
    x = np.arange(24.0, dtype=np.float32).reshape(2, 4, 3)
    y = layer(x)
    assert layer.bias is None and [w.shape for w in layer.weights] == [(3, 2)]
    close(y, x @ layer.kernel.numpy(), 1e-5)


def test_softmax_relu_flatten_reshape():
    close(layers.ReLU()(X), np.maximum(X, 0))
    e = np.exp(X)
    close(layers.Softmax()(X), e / e.sum(axis=1, keepdims=True))
    close(layers.Softmax(axis=0)(X), e / e.sum(axis=0))
    x = np.arange(24.0).reshape(2, 3, 4)
    close(layers.Flatten()(x), x.reshape(2, 12))
    close(layers.Reshape((2, -1))(x), x.reshape(2, 2, 6))


def test_merging_layers():
    a, b, c = X, 2 * X, X - 1
    close(layers.Add()([a, b, c]), a + b + c)
    close(layers.Multiply()([a, b, c]), a * b * c)
    close(layers.Concatenate()([a, b]), np.concatenate([a, b], axis=1))
    close(layers.Concatenate(axis=0)([a, b]), np.concatenate([a, b], axis=0))


def test_add_hands_every_input_the_same_gradient():
    a, b = (tr.tensor(X, requires_grad=True) for _ in range(2))
    (layers.Add()([a, b]) * tr.tensor(X)).sum().backward()
    close(a.grad, X)
    close(b.grad, X)


def test_batchnorm_uses_batch_statistics_in_training_and_moving_ones_in_inference():
    layer = layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    mean, variance = X.mean(axis=0), X.var(axis=0)
    close(layer(X, training=True), (X - mean) / np.sqrt(variance + 1e-3), 1e-5)
    close(layer.moving_mean, 0.1 * mean)
    close(layer.moving_variance, 0.9 + 0.1 * variance)
    expected = (X - 0.1 * mean) / np.sqrt(0.9 + 0.1 * variance + 1e-3)
    close(layer(X), expected, 1e-5)
    close(layer.moving_mean, 0.1 * mean)


def test_batchnorm_weights_stand_in_keras_order_and_statistics_get_no_gradient():
    layer = layers.BatchNorm(name="bn")
    layer(X, training=True).sum().backward()
    assert list(layer.named_weights()) == ["bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"]
    assert list(layer.named_parameters()) == ["bn/gamma", "bn/beta"]
    assert layer.gamma.grad is not None and layer.moving_mean.grad is None
    assert layer.non_trainable_weights == [layer.moving_mean, layer.moving_variance]


def test_batchnorm_defaults_are_those_of_keras():
    layer = layers.BatchNorm()
    assert (layer.momentum, layer.epsilon) == (0.99, 1e-3)
    assert layers.BatchNorm is layers.BatchNormalization


def test_batchnorm_without_scale_and_center():
    layer = layers.BatchNorm(scale=False, center=False)
    y = layer(X, training=True)
    assert layer.gamma is None and layer.beta is None and layer.parameters() == []
    close(y, (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) + 1e-3), 1e-5)


def test_frozen_batchnorm_is_in_inference_also_in_training():
    layer = layers.BatchNorm()
    layer(X, training=True)
    layer.trainable = False
    before = layer.moving_mean.numpy()
    frozen = layer(X, training=True)
    close(frozen, layer(X).numpy())
    close(layer.moving_mean, before, 0)
    assert not frozen.requires_grad


def test_dropout_zeroes_a_share_in_training_and_nothing_in_inference():
    layer = layers.Dropout(0.25)
    x = np.ones((100, 100), np.float32)
    tr.manual_seed(3)
    y = layer(x, training=True).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert 0.23 < (y == 0).mean() < 0.27
    assert not np.array_equal(layer(x, training=True).numpy(), y)
    tr.manual_seed(3)
    assert np.array_equal(layer(x, training=True).numpy(), y)
    close(layer(x), x, 0)
    close(layers.Dropout(0.0)(x, training=True), x, 0)


def test_dropout_with_a_seed_draws_from_its_own_generator():
    x = np.ones((8, 8), np.float32)
    first = [layers.Dropout(0.5, seed=1)(x, training=True).numpy() for _ in range(2)]
    assert np.array_equal(*first)
    layer = layers.Dropout(0.5, seed=1)
    tr.manual_seed(0)
    assert np.array_equal(layer(x, training=True).numpy(), first[0])
    assert default_generator().state.array.tolist() == [0, 0]


def test_a_layer_is_built_at_its_first_call():
    layer = layers.Dense(4)
    assert not layer.built and layer.weights == []
    with pytest.raises(AttributeError, match="not built yet: call it"):
        layer.kernel  # noqa: B018
    layer(X)
    assert layer.built and layer.count_params() == 3 * 4 + 4


def test_get_and_set_weights():
    layer = layers.Dense(2)
    layer(X)
    kernel, bias = layer.get_weights()
    kernel[...] = 7.0
    assert layer.kernel.numpy().max() < 7.0  # what get_weights gives is a copy
    layer.set_weights([kernel, bias + 1.0])
    close(layer(X), X @ kernel + 1.0)


def test_freezing_a_layer_stops_its_gradients_and_can_be_undone():
    layer = layers.Dense(2)
    layer(X)
    layer.trainable = False
    assert not layer(X).requires_grad and layer.trainable_weights == []
    layer.trainable = True
    layer(X).sum().backward()
    close(layer.bias.grad, [4.0, 4.0])


def test_freezing_before_building():
    layer = layers.Dense(2)
    layer.trainable = False
    assert not layer(X).requires_grad
    assert [w.trainable for w in layer.weights] == [False, False]


class Scale(layers.Layer):
    """An own layer as the docstring of Layer writes it."""

    def build(self, input_shape):
        self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer="ones")
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        return x * self.factor


class Branch(layers.Layer):
    """An own layer of layers, some in a list, and one Parameter that is a plain attribute."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = [layers.Dense(units, activation="relu"), layers.Dense(units)]
        self.norm = layers.BatchNorm()
        self.drop = layers.Dropout(0.5)
        self.alpha = tr.Parameter(0.0, "alpha")

    def call(self, x):
        y = x
        for layer in self.hidden:
            y = layer(y)
        return x + self.alpha * self.drop(self.norm(y))


def test_an_own_layer_runs_eagerly_and_symbolically():
    layer = Scale(name="gain")
    close(layer(X), X)
    assert list(layer.named_weights()) == ["gain/factor", "gain/calls"]
    assert list(layer.named_parameters()) == ["gain/factor"]
    assert Scale()(layers.Input(shape=(3,))).shape == (None, 3)


def test_sublayers_are_found_in_attributes_and_named_after_keras():
    layer = Branch(3, name="branch")
    layer(X)
    assert list(layer.named_parameters()) == [
        "branch/alpha",
        "branch/dense/kernel",
        "branch/dense/bias",
        "branch/dense_1/kernel",
        "branch/dense_1/bias",
        "branch/batch_normalization/gamma",
        "branch/batch_normalization/beta",
    ]
    assert [sublayer.path for sublayer in layer.layers] == [
        "branch/dense",
        "branch/dense_1",
        "branch/batch_normalization",
        "branch/dropout",
    ]
    assert all(parameter.name == name for name, parameter in layer.named_parameters().items())


def test_training_reaches_sublayers_through_a_call_that_does_not_take_it():
    layer = Branch(3)
    layer(X)
    assert np.array_equal(layer.norm.moving_mean.numpy(), [0, 0, 0])
    layer(X, training=True)
    assert not np.array_equal(layer.norm.moving_mean.numpy(), [0, 0, 0])
    before = layer.norm.moving_mean.numpy()
    layer(X)
    assert np.array_equal(layer.norm.moving_mean.numpy(), before)


def test_freezing_reaches_sublayers():
    layer = Branch(3)
    layer(X)
    layer.trainable = False
    assert layer.trainable_weights == [] and not layer(X).requires_grad


def test_a_layer_called_twice_shares_its_weights_and_sums_their_gradients():
    layer = layers.Dense(3, use_bias=False)
    y = layer(layer(X))
    y.sum().backward()
    k = layer.kernel.numpy()
    ones = np.ones_like(X)
    close(layer.kernel.grad, X.T @ (ones @ k.T) + (X @ k).T @ ones, 1e-4)


def test_eager_calls_leave_scopes_on_their_nodes():
    layer = Branch(3, name="branch")
    with tr.name_scope("block3"):
        y = layer(X)
    assert (y.node.scope.path, y.node.scope.layer, y.node.scope.block) == ("block3/branch", "Branch", "block3")
    inner = y.node.inputs[1].inputs[1].scope
    assert (inner.path, inner.layer) == ("block3/branch/batch_normalization", "BatchNormalization")
    assert inner.parent is y.node.scope


def test_a_deep_copy_has_weights_of_its_own():
    layer = Branch(3)
    layer(X)
    clone = copy.deepcopy(layer)
    close(clone(X), layer(X).numpy(), 0)
    clone.alpha.assign(5.0)
    assert layer.alpha.item() == 0.0
    assert clone.dtype is layer.dtype
    clone.hidden[0].kernel.assign(np.zeros((3, 3)))
    assert layer.hidden[0].kernel.numpy().any()


def test_a_copied_dropout_continues_its_own_stream():
    layer = layers.Dropout(0.5, seed=1)
    x = np.ones((8, 8), np.float32)
    layer(x, training=True)
    clone = copy.deepcopy(layer)
    assert np.array_equal(clone(x, training=True).numpy(), layer(x, training=True).numpy())


def test_config_is_read_from_the_attributes_of_the_constructors_arguments():
    layer = layers.Dense(4, activation="tanh", name="head")
    clone = layers.Dense.from_config(layer.config())
    assert clone.config() == layer.config()
    assert layer.config()["units"] == 4 and layer.config()["name"] == "head"
    with pytest.raises(ArgumentError, match=r"\[Keepless\] .* 'width' is not there"):
        Keepless(3).config()


def test_a_layer_whose_constructor_takes_no_name_keeps_its_name_in_its_config():
    class Nameless(layers.Layer):
        def __init__(self):
            super().__init__(name="fixed")

        def call(self, x):
            return x

    assert Nameless.from_config(Nameless().config()).name == "fixed"


class Keepless(layers.Layer):
    def __init__(self, width):
        super().__init__()

    def call(self, x):
        return x


def test_arrays_are_cast_to_the_layer_and_float64_tensors_are_refused():
    layer = layers.Dense(2)
    assert layer(X.astype(np.float64)).dtype == np.float32
    assert layer([[1, 2, 3]]).shape == (1, 2)
    assert layer(np.array([[1, 2, 3]], np.uint8)).dtype == np.float32
    with pytest.raises(tr.errors.DTypeError, match="float64 and float32|float32 and float64"):
        layer(tr.tensor(X, dtype="float64"))
