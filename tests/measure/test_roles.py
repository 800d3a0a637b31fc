"""What the leaves of a trace are: inputs, targets, weights of samples, constants; and where paths start."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 8)).astype("float32")


def leaves(trace):
    return {n.name: n.op for n in trace.nodes if not n.primitive}


def graph_of(loss="mse", units=1, head=None, y=None, norm=None, **options):
    inputs = x = tr.Input(shape=(8,))
    for _ in range(2):
        x = norm(x) if norm else blocks.preact(x, 8)
    model = tr.Model(inputs, layers.Dense(units, activation=head)(x))
    model.compile(loss=loss)
    return model.graph(X, RNG.normal(size=(16, units)) if y is None else y, **options)


@pytest.mark.parametrize(
    ("loss", "units", "head", "y"),
    [
        ("mse", 1, None, None),
        ("mae", 3, None, None),
        ("huber", 1, None, None),
        ("binary_crossentropy", 1, "sigmoid", RNG.integers(0, 2, (16, 1))),
        ("categorical_crossentropy", 4, "softmax", np.eye(4)[RNG.integers(0, 4, 16)]),
        (lambda prediction, target: tr.mean(tr.abs(prediction * 2.0 - target)), 1, None, None),
    ],
)
def test_targets_are_of_their_own_kind(loss, units, head, y):
    trace = graph_of(loss, units, head, y).trace(paths=True)
    assert leaves(trace) == {"input": "leaf", "target": "target"}
    assert trace.paths().at == "input"
    assert "target" in trace.table(level="layer") and "input_1" not in trace.table(level="layer")


def test_weights_of_samples():
    trace = graph_of(sample_weight=np.ones(16)).trace()
    assert leaves(trace) == {"input": "leaf", "target": "target", "sample_weight": "sample_weight"}


def test_constants_of_a_net_of_words_are_no_inputs():
    """Integers stand on no tape: constants took the place of the input, and queries were a condition from the side."""
    tr.manual_seed(0)
    inputs = tr.Input(shape=(6,), dtype="int64")
    x = layers.Embedding(7, 4)(inputs)
    y = layers.LayerNormalization()(x)
    q, k, v = (layers.Dense(4)(y) for _ in range(3))
    scale = np.full((1, 1, 4), 0.7, np.float32)
    scores = tr.softmax((q * tr.tensor(scale)) @ tr.transpose(k * tr.tensor(scale), (0, 2, 1)))
    model = tr.Model(inputs, layers.Dense(3)(x + layers.Dense(4)(scores @ v)))
    trace = model.graph(np.zeros((5, 6), int), np.zeros((5, 6, 3)), "mse").trace()
    assert leaves(trace) == {"constant": "constant", "constant_1": "constant", "target": "target"}
    assert [edge.kind for edge in trace.fork("embedding").edges] == ["branch", "skip"]


def test_several_inputs_and_targets():
    a, b = tr.Input(shape=(8,)), tr.Input(shape=(8,))
    h = layers.Add()([layers.Dense(4)(a), layers.Dense(4)(b)])
    model = tr.Model([a, b], [layers.Dense(1)(h), layers.Dense(2)(h)])
    model.compile(loss=["mse", "mse"])
    trace = model.graph([X, X], [RNG.normal(size=(16, 1)), RNG.normal(size=(16, 2))]).trace()
    assert list(leaves(trace).values()) == ["leaf", "leaf", "target", "target"]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("level", ["layer", "op"])
def test_rows_of_batchnorm_are_no_inputs_and_no_forks(training, level):
    def norm(x):
        return layers.Dense(8)(layers.BatchNorm(scale=False, center=False)(x))

    graph = graph_of(norm=norm, training=training)
    trace = graph.trace(level=level, paths=True)
    assert list(leaves(trace)) == ["input", "target"]
    assert trace.forks == () and trace.header.batch == 16
    assert trace.paths().at == graph.paths().at == "input"


def test_a_loss_alone_tells_its_target_from_its_input():
    y, x, w = tr.tensor(X), tr.tensor(X, name="x"), tr.Parameter(np.eye(8), "w")  # whichever was made first
    normed, _, _ = tr.batchnorm(x @ w)
    again, _, _ = tr.batchnorm(normed @ w)
    graph = tr.Graph(tr.mean(tr.square(again + x - y)))
    trace = graph.trace(paths=True)
    assert leaves(trace) == {"x": "leaf", "target": "target"}
    assert [f.node for f in trace.forks] == ["x"] and graph.paths().at == "x"


def test_where_nothing_learns_no_leaf_is_a_target():
    x, y = tr.tensor(X, requires_grad=True), tr.tensor(X)
    assert leaves(tr.Graph(tr.mean(tr.square(x - y))).trace()) == {"tensor": "leaf", "input": "leaf"}


class Positions(layers.Layer):
    """Adds the same array to what comes in."""

    def call(self, x):
        return x + np.linspace(0, 1, 8)


def test_arrays_of_the_program_are_constants():
    trace = graph_of(norm=lambda x: layers.Add()([layers.Dense(8)(Positions()(x)), x])).trace()
    assert set(leaves(trace).values()) == {"leaf", "constant", "target"}
    assert [f.node for f in trace.forks] == ["input", "add"]


def test_what_integers_look_up_is_data():
    table, w = tr.Parameter(RNG.normal(size=(5, 8)), "table"), tr.Parameter(np.eye(8), "w")
    h = tr.take(table, tr.tensor([0, 3, 1, 4], dtype="int64"), axis=0)
    trace = tr.Graph(tr.mean(tr.square(h + tr.relu(h @ w)))).trace(paths=True)
    (fork,) = trace.forks
    assert [e.kind for e in fork.edges] == ["branch", "skip"]
    assert trace.paths().at == fork.node
