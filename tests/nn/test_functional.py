"""The functional graph: what calling layers on Inputs records, names, scopes, sharing, nesting, copies, summary."""

import copy
import inspect
from pathlib import Path

import numpy as np
import pytest
import small_models
from small_models import residual_block

import tinyres as tr
from tinyres import layers
from tinyres.engine.state import state
from tinyres.model import Model, Sequential

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def residual_net(blocks=2, units=4, scoped=True):
    inputs = x = layers.Input(shape=(units,))
    for i in range(blocks):
        if scoped:
            with tr.name_scope(f"block{i}"):
                x = residual_block(x, units)
        else:
            x = residual_block(x, units)
    return Model(inputs, layers.Dense(3, activation="softmax")(x))


def nodes_of(loss):
    """Every node below the loss, newest first."""
    seen, stack = {loss.node}, [loss.node]
    while stack:
        for node in stack.pop().inputs:
            if node not in seen:
                seen.add(node)
                stack.append(node)
    return sorted(seen, key=lambda node: -node.index)


def test_the_tutorial_block_computes_what_its_layers_compute():
    inputs = layers.Input(shape=(4,))
    model = Model(inputs, residual_block(inputs, 4))
    _, d0, b0, d1, b1, add, relu = model.layers
    expected = relu(add([b1(d1(b0(d0(X)))), tr.tensor(X)]))
    np.testing.assert_array_equal(model(X).numpy(), expected.numpy())


def test_layers_are_named_per_model_and_scope():
    twins = [residual_net() for _ in range(2)]
    for model in twins:
        assert list(model.named_parameters())[:6] == [
            "block0/dense/kernel",
            "block0/dense/bias",
            "block0/batch_normalization/gamma",
            "block0/batch_normalization/beta",
            "block0/dense_1/kernel",
            "block0/dense_1/bias",
        ]
        assert [layer.path for layer in model.layers][-2:] == ["block1/activation", "dense"]
        assert all(parameter.name == name for name, parameter in model.named_weights().items())


def test_without_scopes_the_numbers_go_on():
    names = [layer.name for layer in residual_net(scoped=False).layers]
    assert names == [
        "input",
        "dense",
        "batch_normalization",
        "dense_1",
        "batch_normalization_1",
        "add",
        "activation",
        "dense_2",
        "batch_normalization_2",
        "dense_3",
        "batch_normalization_3",
        "add_1",
        "activation_1",
        "dense_4",
    ]


def test_names_of_the_user_are_kept_and_numbers_pass_them_by():
    inputs = layers.Input(shape=(4,), name="pixels")
    x = layers.Dense(4)(inputs)
    x = layers.Dense(4, name="dense")(x)
    model = Model(inputs, layers.Dense(4, name="head")(x))
    assert [layer.name for layer in model.layers] == ["pixels", "dense_1", "dense", "head"]


def test_a_layer_called_twice_counts_once_and_is_at_1_the_second_time():
    inputs = layers.Input(shape=(4,))
    dense = layers.Dense(4)
    model = Model(inputs, dense(layers.ReLU()(dense(inputs))))
    assert list(model.named_parameters()) == ["dense/kernel", "dense/bias"]
    assert [step.path for step in model.steps] == ["dense", "re_lu", "dense@1"]
    paths = {node.scope.path for node in nodes_of(model(X).sum()) if node.scope}
    assert paths == {"dense", "re_lu", "dense@1"}
    k = dense.kernel.numpy()
    np.testing.assert_allclose(model(X).numpy(), np.maximum(X @ k, 0) @ k, rtol=1e-5, atol=1e-6)


def test_nodes_carry_the_call_the_block_and_the_line_of_the_user():
    model = residual_net()
    nodes = nodes_of(model(X, training=True).sum())
    add = next(node for node in nodes if node.op is not None and node.op.name == "add")
    assert (add.scope.path, add.scope.block, add.scope.layer) == ("block1/add", "block1", "Add")
    file, line = add.source
    assert file == small_models.__file__
    assert "layers.Add()([x, shortcut])" in Path(file).read_text().splitlines()[line - 1]
    assert [node.name for node in nodes if node.op is None and not node.requires_grad] == ["input"]


def test_every_call_of_the_model_has_scopes_of_its_own():
    model = residual_net()
    first, second = (model(X).node.scope for _ in range(2))
    assert first.path == second.path == "dense" and first is not second
    assert state.scope is None


def test_an_error_inside_leaves_no_scope_open():
    class Failing(layers.Layer):
        armed = False

        def call(self, x):
            if self.armed:
                raise RuntimeError("on purpose")
            return x

    inputs = layers.Input(shape=(4,))
    layer = Failing()
    model = Model(inputs, layer(inputs))
    layer.armed = True
    with pytest.raises(RuntimeError, match="on purpose"):
        model(X)
    assert state.scope is None


def test_operators_on_symbolic_tensors_record_layers():
    inputs = layers.Input(shape=(4,))
    x = layers.Dense(4)(inputs)
    y = (x + inputs) * 0.5 - tr.tanh(x) / 2.0 + X[0]
    z = np.float64(2) * y[:, :2] ** 2 + abs(x)[:, 2:]
    model = Model(inputs, z * z)
    kinds = [layer.name for layer in model.layers]
    assert {"add", "scale", "sub", "tanh", "div", "index", "multiply"} <= set(kinds)
    d = model.get_layer("dense")(X).numpy()
    v = (d + X) * 0.5 - np.tanh(d) / 2 + X[0]
    w = 2 * v[:, :2] ** 2 + np.abs(d)[:, 2:]
    np.testing.assert_allclose(model(X).numpy(), w * w, rtol=1e-4, atol=1e-5)


def test_a_plus_of_two_symbolic_tensors_is_an_add():
    inputs = layers.Input(shape=(4,))
    total = inputs + layers.Dense(4)(inputs)
    assert type(total.producer.layer) is layers.Add
    assert Model(inputs, total).layers[-1].name == "add"


def test_methods_of_symbolic_tensors_keep_the_batch():
    inputs = layers.Input(shape=(4,))
    outputs = [inputs.mean(axis=-1), inputs.reshape(-1, 2, 2), inputs.sum(axis=1, keepdims=True), inputs.exp()]
    assert [output.shape for output in outputs] == [(None,), (None, 2, 2), (None, 1), (None, 4)]
    mean, reshaped, total, exp = Model(inputs, outputs)(X)
    np.testing.assert_allclose(mean.numpy(), X.mean(axis=-1), rtol=1e-5)
    np.testing.assert_array_equal(reshaped.numpy(), X.reshape(6, 2, 2))
    np.testing.assert_allclose(total.numpy(), X.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(exp.numpy(), np.exp(X), rtol=1e-5)


def test_a_parameter_on_the_branch_is_a_weight_of_the_model():
    inputs = layers.Input(shape=(4,))
    alpha = tr.Parameter(0.0, "alpha")
    model = Model(inputs, inputs + layers.Dense(4)(inputs) * alpha)
    assert list(model.named_parameters()) == ["dense/kernel", "dense/bias", "scale/alpha"]
    np.testing.assert_array_equal(model(X).numpy(), X)
    model(X).sum().backward()
    assert alpha.grad.item() == pytest.approx(model.get_layer("dense")(X).numpy().sum(), rel=1e-5)


def test_nested_models_prefix_names_and_scopes():
    def encoder():
        inputs = layers.Input(shape=(4,))
        with tr.name_scope("block0"):
            x = layers.Dense(4, activation="tanh")(inputs)
        return Model(inputs, x + inputs, name="encoder")

    inner = encoder()
    inputs = layers.Input(shape=(4,))
    model = Model(inputs, layers.Dense(2)(inner(inputs)))
    assert list(model.named_parameters()) == [
        "encoder/block0/dense/kernel",
        "encoder/block0/dense/bias",
        "dense/kernel",
        "dense/bias",
    ]
    assert list(inner.named_parameters()) == ["block0/dense/kernel", "block0/dense/bias"]
    scopes = {(s.path, s.block, s.layer) for s in (node.scope for node in nodes_of(model(X).sum())) if s is not None}
    assert scopes == {
        ("encoder/block0/dense", "encoder/block0", "Dense"),
        ("encoder/add", "", "Add"),
        ("dense", "", "Dense"),
    }
    np.testing.assert_array_equal(model(X).numpy(), model.layers[-1](inner(X)).numpy())


def test_training_reaches_nested_models_and_own_layers():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNorm()

        def call(self, x):
            return self.norm(x)

    inputs = layers.Input(shape=(4,))
    inner = Model(inputs, layers.BatchNorm()(Block()(inputs)))
    outer_inputs = layers.Input(shape=(4,))
    model = Model(outer_inputs, inner(outer_inputs))
    means = [w for name, w in model.named_weights().items() if name.endswith("moving_mean")]
    model(X)
    assert [w.numpy().any() for w in means] == [False, False]
    model(X, training=True)
    assert [w.numpy().any() for w in means] == [True, True]


def test_training_given_at_the_symbolic_call_holds_whatever_the_model_is_told():
    inputs = layers.Input(shape=(4,))
    norm = layers.BatchNorm()
    model = Model(inputs, norm(inputs, training=False))
    model(X, training=True)
    assert not norm.moving_mean.numpy().any()


def test_preserving_runs_leave_moving_statistics_alone():
    from tinyres.engine.state import preserving

    model = residual_net()
    before = model.get_weights()
    with preserving():
        model(X, training=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_several_inputs_and_outputs():
    a, b = layers.Input(shape=(4,), name="a"), layers.Input(shape=(2,), name="b")
    joined = layers.Concatenate()([a, b])
    model = Model([a, b], [layers.Dense(3)(joined), joined])
    y, z = model([X, X[:, :2]])
    assert y.shape == (6, 3)
    np.testing.assert_array_equal(z.numpy(), np.concatenate([X, X[:, :2]], axis=1))
    np.testing.assert_array_equal(model({"b": X[:, :2], "a": X})[1].numpy(), z.numpy())


def test_a_layer_with_several_arguments_and_outputs():
    class Split(layers.Layer):
        def call(self, x, y, scale=1.0):
            return x * scale, y + x

    a, b = layers.Input(shape=(4,)), layers.Input(shape=(4,))
    left, right = Split()(a, b, scale=3.0)
    model = Model([a, b], [right, left])
    right, left = model([X, 2 * X])
    np.testing.assert_allclose(left.numpy(), 3 * X)
    np.testing.assert_allclose(right.numpy(), 3 * X)


def test_values_that_nothing_reads_again_are_freed_without_gradients():
    alive = []

    class Watch(layers.Layer):
        def call(self, x):
            import weakref

            alive.append(weakref.ref(x.buffer))
            return x * 1.0

    inputs = x = layers.Input(shape=(4,))
    for _ in range(4):
        x = Watch()(x)
    model = Model(inputs, x)
    alive.clear()
    counts = []

    class Count(layers.Layer):
        def call(self, x):
            counts.append(sum(ref() is not None for ref in alive[1:]))
            return x + 0.0

    model = Model(inputs, Count()(x))
    alive.clear()
    counts.clear()
    with tr.no_grad():
        model(X)
    assert len(alive) == 4 and counts == [0]


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
