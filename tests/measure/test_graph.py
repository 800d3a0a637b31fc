"""Graph and its trace against the gradients that training computes, and that a trace leaves no mark."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import Weights, residual

import tinyres as tr
from tinyres import layers
from tinyres.measure.audit import Ledger
from tinyres.ops.random import default_generator, preserving_generator
from tinyres.ops.softmax import softmax_cross_entropy


def test_the_equation_on_scalars():
    """L = (w x + x)^2 at w = 0.1, x = 3: 7.26 = skip 6.60 (0.909) + branch 0.66 (0.091)."""
    x, w = tr.tensor(3.0, name="x", dtype="float64"), tr.tensor(0.1, requires_grad=True, name="w", dtype="float64")
    h = w * x + x
    trace = tr.Graph(h * h).trace()
    fork = trace.fork("x")
    assert trace["x"].grad_norm == pytest.approx(7.26)
    assert {(e.kind, round(e.grad_norm, 9), round(e.share, 6)) for e in fork.edges} == {
        ("skip", 6.6, 0.909091),
        ("branch", 0.66, 0.090909),
    }
    assert fork.join == "add" and trace.fork("block0") is fork and trace.fork(0) is fork


def test_gradients_are_those_of_backward():
    loss, w = residual()
    trace = tr.Graph(loss).trace(arrays=True)
    loss.backward()
    for name, p in w.made.items():
        np.testing.assert_array_equal(trace[name].grad, p.grad.numpy())
        np.testing.assert_array_equal(trace[name].value, p.numpy())
        assert trace[name].grad_norm == pytest.approx(np.linalg.norm(p.grad.numpy().astype("f8")))


def test_gradients_of_nodes_are_those_of_grad():
    w = Weights()
    x = w.data(4, 8)
    h = tr.tanh(tr.dense(x, w("kernel", 8, 8)))
    loss = tr.sum(h * h)
    node = tr.Graph(loss).trace(arrays=True)["tanh"]
    np.testing.assert_allclose(node.grad, tr.grad(loss, [h])[0].numpy(), rtol=1e-6)
    assert node.value_mean == pytest.approx(float(h.numpy().mean()), rel=1e-5)
    assert node.value_std == pytest.approx(float(h.numpy().std()), rel=1e-5)
    assert (node.zeros, node.nans, node.infs) == (0, 0, 0)


def test_inputs_have_gradients_though_training_skips_them():
    loss, _ = residual(blocks=1, dtype="float64")
    trace = tr.Graph(loss).trace(arrays=True)
    fork = trace.fork("input")
    assert [(e.dst, e.kind) for e in fork.edges] == [
        ("block0/dense_without_bias", "branch"),
        ("block0/add", "skip"),
    ]
    assert trace["input"].grad_norm > 0
    assert sum(e.share for e in fork.edges) == pytest.approx(1)
    branch, skip = fork.edges
    assert skip.grad_norm == pytest.approx(trace["block0/add"].grad_norm)
    cross = (skip.share - skip.grad_norm**2 / trace["input"].grad_norm ** 2) * trace["input"].grad_norm ** 2
    assert trace["input"].grad_norm ** 2 == pytest.approx(skip.grad_norm**2 + branch.grad_norm**2 + 2 * cross)
    assert skip.cosine == pytest.approx(skip.share * trace["input"].grad_norm / skip.grad_norm)


def test_layer_calls_are_nodes():
    tr.manual_seed(0)
    dense, norm = layers.Dense(8, activation="relu", name="dense"), layers.BatchNorm(name="norm")
    x = tr.tensor(np.random.default_rng(0).normal(size=(16, 8)), name="input")
    with tr.name_scope("block0"):
        h = layers.Add(name="add")([norm(dense(x), training=True), x])
    trace = tr.Graph(tr.mean(tr.square(h))).trace()
    assert [(n.name, n.op) for n in trace.nodes] == [
        ("input", "leaf"),
        ("block0/dense", "Dense"),
        ("block0/norm", "BatchNormalization"),
        ("block0/add", "Add"),
        ("square", "square"),
        ("mean", "mean"),
    ]
    assert list(trace["block0/dense"].params) == ["kernel", "bias"]
    assert trace["block0/dense"].params["kernel"] is trace["block0/dense/kernel"]
    assert trace["block0/dense/kernel"].value_norm == pytest.approx(np.linalg.norm(dense.kernel.numpy()), rel=1e-5)
    assert trace["block0/dense"].block == "block0"
    assert trace["block0/dense"].source[0] == __file__


def test_a_layer_called_twice_is_two_nodes_with_one_gradient_of_its_parameters():
    dense = layers.Dense(4, name="dense")
    x = tr.tensor(np.random.default_rng(1).normal(size=(3, 4)), name="input")
    loss = tr.sum(tr.square(dense(tr.tanh(dense(x)))))
    trace = tr.Graph(loss).trace()
    assert "dense" in trace and "dense@1" in trace
    kernel = trace["dense/kernel"]
    assert kernel is trace["dense"].params["kernel"] is trace["dense@1"].params["kernel"]
    calls = [e for e in trace.edges if e.src == "dense/kernel"]
    assert [e.dst for e in calls] == ["dense", "dense@1"]
    assert {e.kind for e in calls} == {"parameter"}
    assert sum(e.share for e in calls) == pytest.approx(1)
    loss.backward()
    assert kernel.grad_norm == pytest.approx(np.linalg.norm(dense.kernel.grad.numpy()), rel=1e-5)


class Twice(layers.Layer):
    """A layer whose ops read its input three times."""

    def call(self, x):
        return tr.tanh(x) * x + x


def test_an_edge_is_the_sum_of_the_op_edges_of_a_layer():
    x = tr.tensor(np.linspace(-1, 1, 6), requires_grad=True, name="input", dtype="float64")
    loss = tr.sum(tr.square(Twice(name="twice")(x) + x))
    trace = tr.Graph(loss).trace(arrays=True)
    inner, outer = trace.fork("input").edges
    assert (inner.dst, outer.dst) == ("twice", "add")
    assert inner.count == 3
    g = trace["add"].grad
    values = x.numpy()
    own = g * (np.tanh(values) + values * (1 - np.tanh(values) ** 2) + 1)
    assert inner.grad_norm == pytest.approx(np.linalg.norm(own))
    assert inner.share == pytest.approx(own @ (own + g) / ((own + g) @ (own + g)))


class Block(layers.Layer):
    """A layer of layers: its own ops are nodes too."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(4, name="inner")

    def call(self, x):
        return tr.relu(self.dense(x) + x)


def test_a_layer_of_layers_is_shown_op_by_op():
    x = tr.tensor(np.random.default_rng(1).normal(size=(3, 4)), name="input")
    trace = tr.Graph(tr.sum(Block(name="res")(x))).trace()
    assert [n.op for n in trace.nodes] == ["leaf", "Dense", "add", "relu", "sum"]
    assert {e.kind for e in trace.fork("input").edges} == {"skip", "branch"}


def test_every_op_is_a_node_at_op_level():
    x = tr.tensor(np.linspace(-1, 1, 6), requires_grad=True, name="input")
    graph = tr.Graph(tr.sum(Twice(name="twice")(x)))
    assert [n.name for n in graph.trace(level="op").nodes] == ["input", "twice/tanh", "twice/mul", "twice/add", "sum"]
    assert [n.name for n in graph.trace().nodes] == ["input", "twice", "sum"]


def test_numbers_in_the_program_are_no_nodes():
    x = tr.tensor([1.0, 2.0], requires_grad=True, name="input")
    trace = tr.Graph(tr.sum(x * 0.5 + 3.0 + x)).trace()
    assert [n.name for n in trace.nodes] == ["input", "mul", "add", "add_1", "sum"]
    assert trace.audit().ok


def test_blocks_without_scopes_are_regions():
    scoped, bare = tr.Graph(residual()[0]).trace(), tr.Graph(residual(scopes=False)[0]).trace()
    assert [b.name for b in bare.blocks] == [b.name for b in scoped.blocks] == ["block0", "block1", "block2"]
    for a, b in zip(bare.blocks, scoped.blocks):
        assert (a.x_norm, a.grad_norm, a.skip, a.strength) == (b.x_norm, b.grad_norm, b.skip, b.strength)
        assert a.skip + a.branch == pytest.approx(1, abs=1e-6)
    assert bare.blocks[1].output.primitive == "add" and scoped.blocks[1].output.primitive == "relu"
    assert scoped.blocks[1].passed < 1 and bare.blocks[1].passed == 1


def test_branch_strength():
    loss, _ = residual(blocks=1)
    trace = tr.Graph(loss).trace(arrays=True)
    branch = trace["block0/dense_without_bias_1"].value
    assert trace.blocks[0].strength == pytest.approx(np.linalg.norm(branch) / np.linalg.norm(trace["input"].value))


def test_weights_that_are_computed_count_as_weights():
    w = Weights()
    x = w.data(4, 8)
    with tr.name_scope("block0"):
        h = x + tr.dense(x, w("kernel", 8, 8) * 0.5)
    trace = tr.Graph(tr.sum(tr.square(h))).trace()
    assert trace.blocks[0].input.name == "input"
    assert [(e.dst, e.kind) for e in trace.fork("block0").edges] == [
        ("block0/dense_without_bias", "branch"),
        ("block0/add", "skip"),
    ]


def marks(w, generator):
    return [(p.numpy().tobytes(), p.grad.numpy().tobytes(), p.node.grad) for p in w.made.values()], (
        generator.state.array.tobytes()
    )


def test_a_trace_leaves_no_mark():
    loss, w = residual()
    loss.backward(retain_graph=True)
    before = marks(w, default_generator())
    tr.Graph(loss).trace(arrays=True)
    assert marks(w, default_generator()) == before


def train(steps, traced):
    tr.manual_seed(3)
    rng = np.random.default_rng(0)
    x = tr.tensor(rng.normal(size=(16, 8)))
    y = rng.integers(0, 4, 16)
    first, norm, drop, last = layers.Dense(8), layers.BatchNorm(), layers.Dropout(0.3), layers.Dense(4)
    first(x), norm(x), last(x)
    optimizer = tr.optim.SGD([p for layer in (first, norm, last) for p in layer.parameters()], lr=0.1, momentum=0.9)
    traces = []

    def loss_of():
        h = tr.relu(norm(first(x), training=True)) + x
        return softmax_cross_entropy(last(drop(h, training=True)), y)

    def run():
        with preserving_generator():
            return loss_of()

    for _ in range(steps):
        if traced:
            traces.append(tr.Graph.of(run).trace())
        loss = loss_of()
        if traced:
            traces.append(tr.Graph(loss).trace())
            assert traces[-2].loss == traces[-1].loss
            assert traces[-2].rows("edge") == traces[-1].rows("edge")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [w.tobytes() for layer in (first, norm, last) for w in layer.get_weights()]


def test_training_with_and_without_tracing_is_the_same_bit_for_bit():
    assert train(4, traced=True) == train(4, traced=False)


def test_a_graph_pins_its_tape():
    loss, w = residual()
    graph = tr.Graph(loss)
    loss.backward()
    before = [p.grad for p in w.made.values()]
    trace = graph.trace()
    assert trace.audit().ok and [p.grad for p in w.made.values()] == before
    graph.close()
    loss.backward()
    with pytest.raises(tr.errors.TraceError, match="closed"):
        graph.trace()
    with pytest.raises(tr.errors.TraceError, match="freed"):
        tr.Graph(loss)


def test_a_trace_inside_an_open_capture():
    x = tr.tensor([1.0, 2.0], requires_grad=True, name="input")
    graph = tr.Graph.of(lambda: tr.sum(x * x))
    norms = []

    def step(y):
        norms.append(graph.trace()["input"].grad_norm)
        return y * 2.0

    captured = tr.capture(step)
    assert captured(tr.tensor([1.0])).tolist() == [2.0]
    assert norms == [pytest.approx(20**0.5)]
    assert captured(tr.tensor([4.0])).tolist() == [8.0]
    assert len(norms) == 1


def test_a_trace_under_no_grad():
    x = tr.tensor([1.0, 2.0], requires_grad=True, name="input")
    graph = tr.Graph.of(lambda: tr.sum(x * x))
    with tr.no_grad():
        assert graph.trace()["input"].grad_norm == pytest.approx(20**0.5)


def test_the_ledger_names_ops_inside_of_layers():
    x = tr.tensor(np.linspace(-1, 1, 6), requires_grad=True, name="input")
    graph = tr.Graph(tr.sum(Twice(name="twice")(x)))
    ledger = Ledger(graph._root, graph._tape)
    inner = next(n for n in graph._tape.order if n.op is not None and n.op.name == "tanh")
    ledger.check(graph._root, [], tr.tensor(1.0))
    ledger.check(inner, [], tr.tensor(np.ones(6)))
    assert ledger.failures[0].node == "twice/tanh"


def test_zero_gradients_have_no_shares():
    x = tr.tensor([1.0, 2.0], name="input")
    w = tr.tensor([0.0, 0.0], requires_grad=True, name="w")
    trace = tr.Graph(tr.sum((tr.tanh(x * w) + x) * 0.0)).trace()
    assert trace["input"].grad_norm == 0.0
    assert {(e.grad_norm, e.share, e.cosine) for e in trace.fork("input").edges} == {(0.0, None, None)}
    assert trace.blocks[0].skip is None
    assert trace.audit().ok and " - " in str(trace)


def test_graphs_with_nan():
    x = tr.tensor([1.0, float("nan")], name="input")
    w = tr.tensor([2.0, 3.0], requires_grad=True, name="w")
    trace = tr.Graph(tr.sum(tr.square(tr.tanh(x * w) + x))).trace()
    assert np.isnan(trace.loss) and np.isnan(trace["input"].grad_norm)
    assert trace["input"].nans == 1 and trace["input"].grad_nans == 1
    assert trace.audit().ok
    assert "nan" in str(trace)


def test_one_node():
    trace = tr.Graph(tr.tensor(3.0, requires_grad=True, name="x")).trace()
    assert [n.name for n in trace.nodes] == ["x"]
    assert trace["x"].grad_norm == 1.0 and trace.edges == () and trace.forks == ()
    assert trace.audit().ok and "1 node" in str(trace)


@pytest.mark.slow
def test_a_chain_of_many_nodes():
    x = tr.tensor([0.5], requires_grad=True, name="x")
    h = x
    for _ in range(20_000):
        h = -h
    trace = tr.Graph(tr.sum(h)).trace()
    assert len(trace.nodes) == 20_002
    assert trace["x"].grad_norm == 1.0
    assert len(str(trace).splitlines()) < 30


def test_ambiguous_forks_say_so():
    x = tr.tensor([1.0, 2.0], requires_grad=True, name="x")
    w = tr.Parameter([0.5, 0.5], "w")

    def note(h):
        return tr.Graph(tr.sum(tr.square(h))).trace().fork("x").note

    assert note(x + w * x) == ""
    assert note(x + tr.tanh(x) + w * x) == "2 edges are equally short, all count as skip: tanh, add"
    assert note(x + tr.tanh(x)) == "no edge is the skip: the ways meet at add and are equally long"
    assert note(x * tr.tanh(w * x)) == "the ways meet in a product, mul_1: each scales the gradient of the other"
    two_losses = tr.Graph(tr.sum(x) + tr.mean(tr.square(x))).trace()
    assert two_losses.fork("x").note == "no edge is the skip: the ways meet only at the loss"


def test_a_long_skip_belongs_to_the_block_where_it_joins():
    w = Weights()
    x = tr.tensor(w.rng.normal(size=(4, 8)), requires_grad=True, name="input")
    with tr.name_scope("encoder"):
        e = tr.relu(tr.dense(x, w("kernel_1", 8, 8)))
    with tr.name_scope("middle"):
        m = tr.relu(tr.dense(e, w("kernel_2", 8, 8)))
    with tr.name_scope("decoder"):
        d = tr.concatenate([m, e], axis=1)
    trace = tr.Graph(tr.sum(tr.square(d))).trace()
    encoder, middle, decoder = trace.blocks
    assert (encoder.skip, middle.skip) == (None, None)
    assert decoder.input.name == decoder.fork.node == "encoder/relu"
    assert decoder.strength == pytest.approx(trace["middle/relu"].value_norm / trace["encoder/relu"].value_norm)
    assert decoder.skip + decoder.branch == pytest.approx(1)
