"""What layers, Inputs and models refuse: each message in one wording, and nothing half-changed after it."""

import re

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.engine.state import state
from tinyres.errors import ArgumentError, CaptureError, DTypeError, ShapeError
from tinyres.model import Model, Sequential

X = np.ones((4, 3), np.float32)


def inputs(*shape, **kwargs):
    return layers.Input(shape=shape, **kwargs)


def built(layer, x=X):
    layer(x)
    return layer


class Untold(layers.Layer):
    def __init__(self):
        self.width = 3

    def call(self, x):
        return x


class Callless(layers.Layer):
    pass


class Reader(layers.Layer):
    def call(self, x):
        return x * float(x.numpy().max())


class Lister(layers.Layer):
    def call(self, x):
        return "text"


class Twice(layers.Layer):
    def build(self, input_shape):
        self.a = self.add_weight(name="w", shape=(2,))
        self.b = self.add_weight(name="w", shape=(2,))


class OfBatch(layers.Layer):
    def build(self, input_shape):
        self.w = self.add_weight(name="w", shape=input_shape)


CASES = {
    "dense_units": (
        lambda: layers.Dense(0),
        ArgumentError,
        "[Dense] units is the number of outputs, at least 1; got 0; give an integer",
    ),
    "dense_units_type": (
        lambda: layers.Dense("64"),
        ArgumentError,
        "[Dense] units is the number of outputs, at least 1; got '64'; give an integer",
    ),
    "dense_activation": (
        lambda: layers.Dense(2, activation="rleu"),
        ArgumentError,
        "[Dense] known activations are elu, exponential, gelu, hard_sigmoid, hard_silu, hard_swish, leaky_relu, "
        "linear, log_softmax, mish, relu, relu6, selu, sigmoid, silu, softmax, softplus, softsign, swish, tanh; "
        "got 'rleu'; use one, or your own function",
    ),
    "activation": (
        lambda: layers.Activation(3),
        ArgumentError,
        "[Activation] known activations are elu, exponential, gelu, hard_sigmoid, hard_silu, hard_swish, leaky_relu, "
        "linear, log_softmax, mish, relu, relu6, selu, sigmoid, silu, softmax, softplus, softsign, swish, tanh; got 3; "
        "use one, or your own function",
    ),
    "dense_one_sample": (
        lambda: layers.Dense(2)(np.ones(3)),
        ShapeError,
        "[Dense] dense takes a batch of shape (n, features); got shape (3,); for one sample use x.reshape(1, -1)",
    ),
    "dense_other_width": (
        lambda: built(layers.Dense(2))(np.ones((4, 5))),
        ShapeError,
        "[Dense] dense was built for 3 features in the last axis; got shape (4, 5); "
        "use another layer for another width",
    ),
    "dense_other_width_symbolic": (
        lambda: built(layers.Dense(2))(inputs(5)),
        ShapeError,
        "[Dense] dense was built for 3 features in the last axis; got shape (2, 5); "
        "use another layer for another width",
    ),
    "dense_of_integers": (
        lambda: layers.Dense(2)(tr.tensor([[1, 2, 3]], dtype="int64")),
        DTypeError,
        '[dense] takes float Tensors; got int64 of shape (1, 3); use .astype("float32")',
    ),
    "batchnorm_other_width": (
        lambda: built(layers.BatchNorm())(np.ones((4, 5))),
        ShapeError,
        "[BatchNormalization] batch_normalization was built for 3 features in the last axis; got shape (4, 5); "
        "use another layer for another width",
    ),
    "batchnorm_one_sample": (
        lambda: layers.BatchNorm()(np.ones(3)),
        ShapeError,
        "[BatchNormalization] batch_normalization takes a batch of shape (n, features); got shape (3,); "
        "for one feature use x.reshape(-1, 1)",
    ),
    "batchnorm_momentum": (
        lambda: layers.BatchNorm(momentum=1.5),
        ArgumentError,
        "[BatchNormalization] momentum is within 0..1; got 1.5; the default is 0.99",
    ),
    "batchnorm_epsilon": (
        lambda: layers.BatchNorm(epsilon=float("nan")),
        ArgumentError,
        "[BatchNormalization] epsilon is at least 0; got nan; the default is 0.001",
    ),
    "batchnorm_empty": (
        lambda: layers.BatchNorm()(np.ones((0, 3)), training=True),
        ShapeError,
        "[batchnorm] the batch is empty, its mean is not defined: got shape (0, 3); give at least one example",
    ),
    "dropout_rate": (
        lambda: layers.Dropout(1.0),
        ArgumentError,
        "[Dropout] the rate is the share to drop, 0 <= rate < 1; got 1.0; choose one",
    ),
    "add_shapes": (
        lambda: layers.Add()([np.ones((4, 3)), np.ones((4, 2))]),
        ShapeError,
        "[Add] the inputs must have equal shapes; got (4, 3) and (4, 2); "
        "bring them to one width first, as by a layers.Dense on the skip",
    ),
    "add_shapes_symbolic": (
        lambda: layers.Add()([inputs(64), inputs(32)]),
        ShapeError,
        "[Add] the inputs must have equal shapes; got (None, 64) and (None, 32); "
        "bring them to one width first, as by a layers.Dense on the skip",
    ),
    "add_would_broadcast": (
        lambda: layers.Add()([inputs(64), inputs(1)]),
        ShapeError,
        "[Add] the inputs must have equal shapes; got (None, 64) and (None, 1); "
        "bring them to one width first, as by a layers.Dense on the skip",
    ),
    "add_batches": (
        lambda: built(layers.Add(), [X, X])([X, X[:2]]),
        ShapeError,
        "[Add] the inputs must have equal shapes; got (4, 3) and (2, 3); "
        "bring them to one width first, as by a layers.Dense on the skip",
    ),
    "add_of_one": (
        lambda: layers.Add()(inputs(4)),
        ShapeError,
        "[Add] it joins a list of two tensors or more; got (None, 4); write Add()([x, y])",
    ),
    "multiply_of_one": (
        lambda: layers.Multiply()([inputs(4)]),
        ShapeError,
        "[Multiply] it joins a list of two tensors or more; got [(None, 4)]; write Multiply()([x, y])",
    ),
    "concatenate_of_one": (
        lambda: layers.Concatenate()(inputs(4)),
        ShapeError,
        "[Concatenate] it joins a list of tensors; got (None, 4); call it on [x, y]",
    ),
    "reshape": (
        lambda: layers.Reshape((2, 2))(X),
        ShapeError,
        "[Reshape] reshape keeps the size of a sample; got samples of shape (3,) for (2, 2); "
        "give sizes whose product is 3",
    ),
    "flatten_of_a_number": (
        lambda: layers.Flatten()(tr.tensor(1.0)),
        ShapeError,
        "[Flatten] it takes a batch, whose first axis stays; got shape (); reshape the value first",
    ),
    "dropout_of_a_list": (
        lambda: layers.Dropout(0.5)([X, X]),
        ArgumentError,
        "[Dropout] it is called on one tensor; got a list; join them first",
    ),
    "dense_of_two": (
        lambda: layers.Dense(2)(X, X),
        ArgumentError,
        "[Dense] it is called on one tensor; got 2 arguments; join them first",
    ),
    "name": (
        lambda: layers.Dense(2, name="a/b"),
        ArgumentError,
        '[Dense] a name is a non-empty string without "/"; got \'a/b\'; use name_scope for "/"',
    ),
    "no_super": (
        lambda: Untold()(X),
        AttributeError,
        "[Untold] __init__ must begin with super().__init__(); it has not set 'scope'",
    ),
    "no_call": (
        lambda: Callless()(X),
        ArgumentError,
        "[Callless] a layer must define call(self, x); it does not; write one",
    ),
    "reads_values": (lambda: Reader()(inputs(3)), CaptureError, None),
    "returns_text": (
        lambda: Lister()(inputs(3)),
        ArgumentError,
        "[Lister] a layer's call must return a Tensor, or a list or tuple of them; got str; return what the ops gave",
    ),
    "weight_twice": (
        lambda: Twice()(X),
        ArgumentError,
        '[Twice] weight names must be unique; got "w" twice; rename one of them',
    ),
    "weight_of_batch": (
        lambda: OfBatch()(inputs(3)),
        ShapeError,
        "[OfBatch] a weight needs known sizes; got (None, 3) for w; leave out the batch axis, or size the Input",
    ),
    "input_shape": (
        lambda: layers.Input(shape=64),
        ShapeError,
        "[Input] the shape is that of one sample, without batch; got 64; write shape=(64,)",
    ),
    "input_with_batch": (
        lambda: layers.Input(shape=(-1, 64)),
        ShapeError,
        "[Input] the shape is that of one sample, without batch; got (-1, 64); write shape=(64,)",
    ),
    "symbolic_truth": (
        lambda: bool(inputs(3)),
        DTypeError,
        "[Input] a symbolic tensor has no values before the model runs; got shape (None, 3), asked for its truth; "
        "build tr.Model(inputs, outputs) and call it on data",
    ),
    "symbolic_rows": (
        lambda: list(inputs(3)),
        DTypeError,
        "[Input] a symbolic tensor has no values before the model runs; got shape (None, 3), asked for its rows; "
        "build tr.Model(inputs, outputs) and call it on data",
    ),
    "symbolic_with_computed": (
        lambda: inputs(3) * (tr.tensor(X, requires_grad=True) * 2.0),
        DTypeError,
        "[mul] with a symbolic tensor go symbolic ones, numbers, arrays and Parameters; got what an op gave; "
        "compute it in an own layer",
    ),
    "symbolic_reshape": (
        lambda: inputs(4).reshape(2, 2),
        ShapeError,
        "[reshape] a symbolic tensor keeps its batch axis; got (2, 2) for shape (None, 4); begin with -1",
    ),
    "symbolic_matmul": (
        lambda: inputs(4) @ np.ones((3, 2)),
        ShapeError,
        "[matmul] the last dimension of the left input must equal the first of the right: got (2, 4) @ (3, 2); "
        "transpose or reshape one of them",
    ),
    "model_of_tensors": (
        lambda: Model(tr.tensor(X), tr.tensor(X)),
        ArgumentError,
        "[Model] the inputs must be symbolic: what tr.Input and layers called on it give; got Tensor; "
        "begin with inputs = tr.Input(shape=(...,))",
    ),
    "model_without_layers": (
        lambda: (lambda x: Model(x, x))(inputs(3)),
        ArgumentError,
        "[Model] the outputs must come out of layers; got the inputs; call a layer",
    ),
    "model_not_connected": (
        lambda: Model(inputs(3), layers.ReLU()(inputs(5))),
        ArgumentError,
        "[Model] an output depends on an Input of shape (None, 5) that is not among the inputs; "
        "add it to the list of inputs",
    ),
    "model_same_input": (
        lambda: (lambda x: Model([x, x], layers.ReLU()(x)))(inputs(3)),
        ArgumentError,
        "[Model] the inputs must be different; got one of them twice; remove it",
    ),
    "model_same_names": (
        lambda: (lambda x: Model(x, layers.ReLU(name="a")(layers.ReLU(name="a")(x))))(inputs(3)),
        ArgumentError,
        '[Model] names must be unique; got "a" for two layers; rename one of them',
    ),
    "model_input_shape": (
        lambda: Model(*(lambda x: (x, layers.ReLU()(x)))(inputs(3)))(np.ones((4, 5))),
        ShapeError,
        '[Model] the input "input" takes shape (None, 3); got (4, 5); '
        "the first axis is the batch; reshape the data or build the model for it",
    ),
    "model_one_sample": (
        lambda: Model(*(lambda x: (x, layers.ReLU()(x)))(inputs(3)))(np.ones(3)),
        ShapeError,
        '[Model] the input "input" takes shape (None, 3); got (3,); '
        "the first axis is the batch; reshape the data or build the model for it",
    ),
    "model_input_dtype": (
        lambda: Model(*(lambda x: (x, layers.ReLU()(x)))(inputs(3)))(tr.tensor(X, dtype="float64")),
        DTypeError,
        '[Model] the input "input" is float32; got a float64 Tensor; '
        'use x.astype("float32"), or model.astype to change the model',
    ),
    "model_number_of_inputs": (
        lambda: Model(*(lambda a, b: ([a, b], layers.Add()([a, b])))(inputs(3), inputs(3)))(X),
        ArgumentError,
        "[Model] the inputs are ['input', 'input_1']; got ndarray; give a list with one value for each",
    ),
    "model_names_of_inputs": (
        lambda: Model(*(lambda a, b: ([a, b], layers.Add()([a, b])))(inputs(3), inputs(3)))({"input": X}),
        ArgumentError,
        "[Model] the inputs are ['input', 'input_1']; got ['input']; give one value for each",
    ),
    "sequential_of_a_layer": (
        lambda: Sequential(layers.ReLU()),
        ArgumentError,
        "[Sequential] it takes a list of layers; got ReLU; write Sequential([...])",
    ),
    "sequential_of_a_class": (
        lambda: Sequential([layers.ReLU]),
        ArgumentError,
        f"[Sequential] it takes layers, with an Input only at the beginning; got {layers.ReLU!r}; "
        "for branches use tr.Model(inputs, outputs)",
    ),
    "sequential_empty": (
        lambda: Sequential()(X),
        ArgumentError,
        "[Sequential] it has no layers yet; got called; add some first",
    ),
    "set_weights_count": (
        lambda: built(layers.Dense(2)).set_weights([np.ones((3, 2))]),
        ShapeError,
        "[set_weights] <Dense dense> has 2 weights; got 1; give a list in the order of .weights",
    ),
    "set_weights_shape": (
        lambda: built(layers.Dense(2)).set_weights([np.ones((3, 2)), np.ones(3)]),
        ShapeError,
        "[set_weights] dense/bias has shape (2,); got (3,); give the weights in the order of .weights",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_message(case):
    action, kind, message = CASES[case]
    with pytest.raises(kind) as caught:
        action()
    if message is not None:
        assert str(caught.value) == message
    assert re.match(r"\[[\w.]+\] .+;", str(caught.value)), str(caught.value)
    assert state.scope is None and state.grad_enabled


def test_a_build_that_fails_leaves_no_weights_and_can_be_repeated():
    layer = layers.Dense(2, bias_initializer=lambda shape: np.ones(3))
    with pytest.raises(ShapeError, match=r"the initializer of bias must give shape \(2,\); got \(3,\); correct the"):
        layer(X)
    assert not layer.built and layer.weights == []
    layer.bias_initializer = "zeros"
    assert layer(X).shape == (4, 2) and len(layer.weights) == 2


def test_set_weights_changes_nothing_if_one_does_not_fit():
    layer = built(layers.Dense(2))
    before = layer.get_weights()
    with pytest.raises(ShapeError):
        layer.set_weights([before[0] + 1, np.ones(5)])
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights()))


def test_a_failed_symbolic_call_leaves_the_next_one_alone():
    a, b = inputs(4), inputs(5)
    with pytest.raises(ShapeError):
        a + b
    assert (a + a).shape == (None, 4)
