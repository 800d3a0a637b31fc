"""The functional graph: what calling layers on Inputs records, names, scopes, sharing, nesting, copies, summary."""

from pathlib import Path

import numpy as np
import pytest
import small_models
from nets_of_layers import X, residual_net
from small_models import residual_block

import tinyres as tr
from tinyres import layers
from tinyres.engine.state import state
from tinyres.model import Model


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
