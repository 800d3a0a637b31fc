"""graph.lint(): each mistake is found and named, and nets that are right are left alone."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from small_nets import Weights

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks
from tinyres.nn.functional import Functional
from tinyres.nn.operators import Input

DATA = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")


def graph_of(block, count=3, units=8):
    """The graph of a small classifier made of this block."""
    tr.manual_seed(1)
    inputs = x = Input(shape=(8,))
    for i in range(count):
        with tr.name_scope(f"block{i}"):
            x = block(x, units)
    model = Functional(inputs, layers.Dense(4)(x))
    return tr.Graph.of(lambda: tr.mean(tr.square(model(tr.tensor(DATA), training=True))))


def rules(block, **options):
    return [(f.rule, f.node) for f in graph_of(block, **options).lint()]


@pytest.mark.parametrize("name", [n for n in blocks.PRESETS if n != "skipinit"])
def test_presets_are_left_alone(name):
    findings = graph_of(blocks.PRESETS[name], count=4).lint()
    assert findings == () and str(findings) == "lint: nothing found"


def test_skipinit_is_left_alone():
    assert rules(lambda x, units: blocks.skipinit(x, units, depth=3)) == []


def test_a_projection_with_batchnorm_is_left_alone():
    def block(x, units):
        shortcut = layers.BatchNorm()(layers.Dense(units)(x))
        x = layers.BatchNorm()(layers.Dense(units)(layers.ReLU()(layers.BatchNorm()(layers.Dense(units)(x)))))
        return layers.ReLU()(layers.Add()([x, shortcut]))

    assert rules(block) == []


def test_a_tensor_added_to_itself():
    def block(x, units):
        x = layers.Dense(units)(x)
        return layers.ReLU()(layers.Add(name="add")([x, x]))

    assert rules(block, count=1) == [("self-add", "block0/add")]


def test_a_skip_added_twice():
    def block(x, units):
        f = layers.Dense(units)(layers.ReLU()(x))
        return layers.Add(name="add2")([layers.Add(name="add1")([f, x]), x])

    graph = graph_of(block, count=2)
    assert [(f.rule, f.node) for f in graph.lint()] == [("double-skip", "block0/add2"), ("double-skip", "block1/add2")]
    assert "input is added 2 times" in graph.lint()[0].problem


def test_findings_name_the_line():
    def block(x, units):
        x = layers.Dense(units)(x)
        return layers.Add(name="add")([x, x])

    (finding,) = graph_of(block, count=1).lint()
    first = inspect.getsourcelines(block)[1]
    assert finding.source == (__file__, first + 2)
    place = f"[self-add] block0/add (test_lint.py:{first + 2})"
    assert str(finding).startswith(f"{place}: adds block0/dense to itself 2 times; ")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda x: layers.BatchNorm(name="odd")(x), "a BatchNorm"),
        (lambda x: layers.ReLU(name="odd")(x), "a ReLU"),
        (lambda x: layers.Dropout(0.5, name="odd")(x), "a Dropout"),
    ],
)
def test_what_lies_on_the_skip(change, what):
    def block(x, units):
        f = layers.Dense(units)(layers.BatchNorm()(layers.Dense(units)(layers.BatchNorm()(x))))
        return layers.Add()([f, change(x)])

    (finding,) = graph_of(block, count=1).lint()
    assert (finding.rule, finding.node) == ("skip-path", "block0/odd")
    assert finding.problem.startswith(f"{what} lies on the skip from input to block0/add, which lets ")


def test_a_scaled_skip_tells_what_it_lets_through():
    def block(x, units):
        f = layers.Dense(units)(layers.Dense(units)(x))
        return layers.Add()([f, x * 0.5])

    (finding,) = graph_of(block, count=1).lint()
    assert finding.problem == "a scale lies on the skip from input to block0/add, which lets 50% of |g| through"


def test_a_dead_branch():
    def block(x, units):
        f = layers.Dense(units)(layers.ReLU()(x)) * 0.0
        return layers.Add()([f, x])

    findings = graph_of(block, count=1).lint()
    assert [f.rule for f in findings] == ["dead-branch"]
    assert "the branch from input to block0/add outputs 0" in findings[0].problem


def test_a_branch_that_starts_at_zero_is_alive():
    def block(x, units):
        f = layers.BatchNorm(gamma_initializer="zeros")(layers.Dense(units)(layers.ReLU()(x)))
        return layers.Add()([f, x])

    assert rules(block) == []


def test_an_add_that_broadcasts():
    w = Weights()
    x = tr.tensor(w.rng.normal(size=(16, 8)), requires_grad=True, name="input")
    h = tr.dense(tr.relu(tr.dense(x, w("kernel_1", 8, 4))), w("kernel_2", 4, 1)) + x
    (finding,) = tr.Graph(tr.mean(tr.square(h))).lint()
    assert (finding.rule, finding.node) == ("broadcast", "add")
    assert finding.problem == "broadcasts (16, 1) and (16, 8) to (16, 8)"


def test_a_difference_that_broadcasts_both():
    w = Weights()
    prediction = tr.dense(w.data(16, 4), w("kernel", 4, 1))
    loss = tr.mean(tr.square(prediction - w.data(16, name="target")))
    (finding,) = tr.Graph(loss).lint()
    assert finding.rule == "broadcast" and finding.problem == "broadcasts (16, 1) and (16,) to (16, 16)"


def test_parameters_without_a_gradient():
    w = Weights()
    h = tr.dense(w.data(16, 4), w("kernel", 4, 4))
    loss = tr.mean(h * 0.0) + tr.mean(tr.square(tr.dense(w.data(16, 4, name="other"), w("kernel_2", 4, 4))))
    (finding,) = tr.Graph(loss).lint()
    assert (finding.rule, finding.problem) == ("no-gradient", "no gradient reaches kernel")


def test_frozen_parameters_may_be_without():
    w = Weights()
    kernel = w("kernel", 4, 4)
    kernel.trainable = False
    loss = tr.mean(tr.dense(w.data(16, 4), kernel) * tr.tensor(np.zeros((16, 4)), requires_grad=True))
    assert "no-gradient" not in [f.rule for f in tr.Graph(loss).lint()]


def test_a_dead_relu():
    def block(x, units):
        far_below = lambda shape: np.full(shape, -100.0)  # noqa: E731
        return layers.Dense(units, activation="relu", bias_initializer=far_below, name="dead")(x)

    assert ("dead-relu", "block0/dead") in rules(block, count=1)


def test_a_branch_that_never_rejoins():
    tr.manual_seed(0)
    dense = [layers.Dense(8, name="dense") for _ in range(3)]

    def run():
        x = tr.tensor(DATA, requires_grad=True, name="input")
        lost = []
        for i in range(3):
            with tr.name_scope(f"block{i}"):
                f = dense[i](x)
                if i == 1:
                    lost.append(tr.mean(tr.square(f)))
                else:
                    x = x + f
        return tr.mean(tr.square(x)) + lost[0]

    (finding,) = tr.Graph.of(run).lint()
    assert finding.rule == "lost-branch"
    assert finding.problem == "what block1 computes from block0/add is never added back to it"


class TwoHeads(tr.Model):
    """A model with a head that it does not use."""

    def __init__(self, use_both):
        super().__init__()
        self.head = layers.Dense(1)
        self.other = layers.Dense(1)
        self.use_both = use_both

    def call(self, x, training=False):
        y, unused = self.head(x), self.other(x)
        return y + unused if self.use_both else y


@pytest.mark.parametrize("use_both", [True, False])
def test_parameters_that_no_path_leads_from(use_both):
    model = TwoHeads(use_both)
    model.compile(loss="mse")
    findings = model.graph(DATA, DATA[:, :1]).lint()
    assert [(f.rule, f.node, f.source) for f in findings] == ([] if use_both else [("no-gradient", "dense_1", None)])
    if not use_both:
        assert findings[0].problem == "no path leads from kernel, bias to the loss, so nothing trains it"


def test_a_shared_layer_counts_as_used():
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(8,))
    shared = layers.Dense(8, name="shared")
    model = tr.Model(inputs, layers.Dense(1)(shared(layers.Dense(8)(shared(x)))))
    model.compile(loss="mse")
    assert model.graph(DATA, DATA[:, :1]).lint() == ()
