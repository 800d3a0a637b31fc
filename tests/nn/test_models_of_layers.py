"""What a graph of layers offers: layers by name, weights, copies, twins in float64, logits, summaries."""

import copy
import inspect

import numpy as np
import pytest
from nets_of_layers import X, residual_net
from small_models import residual_block

import tinyres as tr
from tinyres import layers
from tinyres.model import Model, Sequential


def test_get_layer_by_path_by_last_part_and_by_index():
    model = residual_net()
    assert model.get_layer("block1/dense").path == "block1/dense"
    assert model.get_layer("dense").units == 3
    assert model.get_layer(index=0) is model.layers[0]
    with pytest.raises(tr.errors.ArgumentError, match=r"\[get_layer\] 2 layers have this name; got 'add'; the layers"):
        model.get_layer("add")
    with pytest.raises(tr.errors.ArgumentError, match=r"\[get_layer\] the name must be that of one layer; got 'nope'"):
        model.get_layer("nope")


def test_weights_round_trip():
    a, b = residual_net(), residual_net()
    a(X, training=True)
    b.set_weights(a.get_weights())
    np.testing.assert_array_equal(a(X).numpy(), b(X).numpy())
    assert len(a.get_weights()) == 2 * 12 + 2


def test_a_frozen_model_has_nothing_to_train():
    model = residual_net()
    model.trainable = False
    assert model.trainable_weights == [] and not model(X).requires_grad
    model.get_layer("dense").trainable = True
    assert [w.name for w in model.trainable_weights] == ["dense/kernel", "dense/bias"]


def test_astype_gives_a_copy_in_float64():
    model = residual_net()
    exact = model.astype("float64")
    assert {w.dtype for w in exact.weights} == {np.dtype("float64")}
    assert {w.dtype for w in model.weights} == {np.dtype("float32")}
    assert list(exact.named_weights()) == list(model.named_weights())
    np.testing.assert_allclose(exact(X).numpy(), model(X).numpy(), rtol=1e-4, atol=1e-6)
    exact.get_layer("dense").kernel.assign(np.zeros((4, 3)))
    assert model.get_layer("dense").kernel.numpy().any()
    with pytest.raises(tr.errors.DTypeError, match=r"\[astype\] a model is float32 or float64; got 'int64'"):
        model.astype("int64")


@pytest.mark.slow
def test_a_deep_copy_of_a_deep_net_is_independent_and_does_not_recurse():
    inputs = x = layers.Input(shape=(2,))
    shared = layers.Dense(2, kernel_initializer="zeros")
    for _ in range(1500):
        x = shared(x) + x
    model = Model(inputs, x)
    clone = copy.deepcopy(model)
    assert len(clone.parameters()) == 2 and clone.parameters()[0] is not shared.kernel
    np.testing.assert_array_equal(clone(X[:, :2]).numpy(), X[:, :2])


def test_sequential_with_and_without_an_input():
    stack = [layers.Dense(5, activation="relu"), layers.Dropout(0.5), layers.Dense(2)]
    late = Sequential(stack)
    assert not late.built and late.layers == stack
    y = late(X)
    assert y.shape == (6, 2)
    assert list(late.named_parameters()) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert late.parameters()[0].name == "dense/kernel"
    early = Sequential([layers.Input(shape=(4,)), layers.Dense(5), layers.Dense(2)])
    assert early.built and [layer.name for layer in early.layers] == ["dense", "dense_1"]
    early.add(layers.Activation("softmax"))
    assert early(X).numpy().sum() == pytest.approx(6.0, rel=1e-5)
    assert early.final_activation == "softmax"
    exact = early.astype("float64")
    np.testing.assert_allclose(exact(X).numpy(), early(X).numpy(), rtol=1e-5)


def test_logits_stop_before_the_last_softmax():
    inputs = layers.Input(shape=(4,))
    fused = Model(inputs, layers.Dense(3, activation="softmax", name="head")(inputs))
    separate = Model(inputs, layers.Activation("softmax")(layers.Dense(3)(inputs)))
    wrapped_inputs = layers.Input(shape=(4,))
    wrapped = Model(wrapped_inputs, fused(wrapped_inputs))
    for model in (fused, separate, wrapped):
        assert model.final_activation == "softmax"
        logits = model(X, logits=True)
        np.testing.assert_allclose(tr.softmax(logits).numpy(), model(X).numpy(), rtol=1e-6)
        assert logits.node.op.name == "dense"
    assert Model(inputs, layers.Dense(3, activation="relu")(inputs)).final_activation is None


def test_a_subclassed_model_names_its_layers_without_a_prefix():
    class Net(Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(8, activation="relu")
            self.drop = layers.Dropout(0.5)
            self.head = layers.Dense(2)

        def call(self, x):
            return self.head(self.drop(self.hidden(x)))

    net = Net()
    y = net(X)
    assert y.shape == (6, 2)
    assert list(net.named_parameters()) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert y.node.scope.path == "dense_1"
    assert not np.array_equal(net(X, training=True).numpy(), y.numpy())


def test_summary_shows_shapes_parameters_connections_and_skips(capsys):
    residual_net(blocks=1).summary()
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    lines = out.splitlines()
    assert lines[0] == 'Model "model"'
    assert "block0/dense (Dense)            (None, 4)             20  input" in lines
    assert any(line.startswith("block0/add (Add)") for line in lines)
    assert lines[-1] == "1 skip connection"
    assert "87 parameters: 71 trained, 16 not trained" in lines
    joined = " ".join(out.split())
    assert "block0/batch_normalization_1, input (skip)" in joined


def test_a_symbolic_call_leaves_the_generator_of_dropout_alone():
    from tinyres.ops.random import default_generator

    tr.manual_seed(3)
    layers.Dropout(0.5)(layers.Input(shape=(4,)))
    assert default_generator().state.array.tolist() == [3, 0]


def test_a_copy_in_float64_takes_constants_and_parameters_of_operators_along():
    inputs = layers.Input(shape=(4,))
    model = Model(inputs, inputs * X[0] + layers.Dense(4)(inputs) * tr.Parameter(0.5, "alpha"))
    exact = model.astype("float64")
    np.testing.assert_allclose(exact(X).numpy(), model(X).numpy(), rtol=1e-5, atol=1e-6)
    assert list(exact.named_parameters()) == list(model.named_parameters())
    exact.parameters()[-1].assign(0.0)
    assert model.parameters()[-1].item() == 0.5


def test_comparisons_of_symbolic_tensors_record_too():
    inputs = layers.Input(shape=(4,))
    model = Model(inputs, tr.where(inputs > 0.5, inputs, 0.0))
    np.testing.assert_array_equal(model(X).numpy(), np.where(X > 0.5, X, 0))
    zeros = Model(inputs, tr.where(inputs == X[0], 1.0, inputs))
    np.testing.assert_array_equal(zeros(X).numpy(), np.where(X == X[0], 1, X))


def test_a_tutorial_runs_with_its_two_import_lines_changed():
    imports = """
import tinyres as tf
from tinyres.keras import layers
"""
    use = """
inputs = tf.keras.Input(shape=(128,))
x = residual_block(inputs, 128)
outputs = tf.keras.layers.Dense(10, activation="softmax")(x)
model = tf.keras.Model(inputs, outputs)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
"""
    names = {}
    exec(imports + inspect.getsource(residual_block) + use, names)
    model = names["model"]
    assert model.name is None and len(model.layers) == 8
    assert model(np.zeros((2, 128))).numpy() == pytest.approx(0.1)
