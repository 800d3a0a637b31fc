"""lint finds each planted bug at its node, and is silent about nets that are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from planted_bugs import ONLY_THE_GRADIENT, Own, Planted, branch, graph_of, planted_bugs
from small_nets import Weights

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks as presets
from tinyres.trace.lint import lint_trace

PLANTED = list(planted_bugs())


def test_there_are_many() -> None:
    assert len(PLANTED) >= 50
    assert len({planted.name for planted in PLANTED}) == len(PLANTED)


@pytest.mark.parametrize("planted", PLANTED, ids=[planted.name for planted in PLANTED])
def test_what_is_found(planted: Planted) -> None:
    findings = planted.graph().lint()
    assert [f.rule for f in findings] == [planted.rule], str(findings)
    assert planted.node in findings[0].node, str(findings)


def bottleneck(x: Any, units: int, i: int = 0) -> Any:
    h = x
    for width in (max(1, units // 4), max(1, units // 4), units):
        h = layers.ReLU()(layers.BatchNorm()(layers.Dense(width, kernel_initializer="he_normal")(h)))
    return layers.ReLU()(layers.Add()([h, x]))


def widening(x: Any, units: int, i: int) -> Any:
    """Every third block has twice as many or half as many units, and a projection on its shortcut."""
    width = (units, 2 * units, 4 * units)[i // 3 % 3]
    shortcut = x if x.shape[-1] == width else layers.BatchNorm()(layers.Dense(width, use_bias=False)(x))
    h = layers.ReLU()(layers.BatchNorm()(layers.Dense(width, kernel_initializer="he_normal")(x)))
    h = layers.BatchNorm()(layers.Dense(width, kernel_initializer="he_normal")(h))
    return layers.ReLU()(layers.Add()([h, shortcut]))


RIGHT = {name: (lambda x, u, i, b=b: b(x, u)) for name, b in presets.PRESETS.items() if name != "skipinit"} | {
    "skipinit": lambda x, u, i: presets.skipinit(x, u, 8),
    "bottleneck": bottleneck,
    "widening": widening,
}


SIZES = [(1, 1024, 256), (3, 16, 4), (8, 1, 16), (8, 2, 64), (16, 1, 4), (64, 1, 64), (64, 4, 8), (64, 64, 16)]
# Without the plain ones that are dead as they are drawn: deep, and too narrow.
RIGHT_NETS = [
    (name, *size) for name in RIGHT for size in SIZES if not (name.startswith("plain") and size[0] > 8 and size[2] < 16)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "depth", "batch", "width"), RIGHT_NETS)
@pytest.mark.parametrize("scoped", [True, False])
def test_what_is_right_is_left_alone(name: str, depth: int, batch: int, width: int, scoped: bool) -> None:
    findings = graph_of(RIGHT[name], depth=depth, batch=batch, width=width, scoped=scoped)().lint()
    assert findings == (), str(findings)


@pytest.mark.slow
def test_a_detached_skip_tells_the_factor() -> None:
    said = {p.name: str(p.graph().lint()) for p in PLANTED if "detached" in p.name}
    assert "adds the values of block2/add times 1.01 cut off" in said["scaled and detached on the skip, norm True"]
    assert "adds the values of block2/add times -1 cut off" in said["negated and detached on the skip, norm True"]
    assert "adds a constant to the branch, where 5 of 6 blocks" in said["tanh and detached on the skip, norm True"]


@pytest.mark.parametrize("norm", [True, False])
def test_the_input_is_injected_into_each_block(norm: bool) -> None:
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(16,))
    for i in range(6):
        with tr.name_scope(f"block{i}"):
            x = layers.Add()([branch(x, 16, norm), x, inputs] if i else [branch(x, 16, norm), x])
    model = tr.Model(inputs, layers.Dense(4, activation="softmax")(x))
    model.compile(loss="sparse_categorical_crossentropy")
    data = np.random.default_rng(0)
    assert model.graph(data.standard_normal((32, 16)), data.integers(0, 4, 32)).lint() == ()


@pytest.mark.slow
def test_what_is_said_of_a_gradient_that_only_comes_back_changed() -> None:
    said = {p.name: str(p.graph().lint()) for p in PLANTED if "gradient" in p.name}
    assert "and reverses the gradient;" in said["reversed gradient"]
    assert "and reverses the gradient and scales it by 2;" in said["reversed and doubled gradient"]
    assert "and scales the gradient by 0.50;" in said["halved gradient"]
    assert "and sends no gradient back;" in said["no gradient"]
    assert "and turns the gradient (cosine 0." in said["rolled gradient"]


REVERSED = ONLY_THE_GRADIENT["reversed gradient"]
IDENTITIES = {
    "by 1": lambda x: x * 1.0,
    "twice reversed": lambda x: REVERSED(REVERSED(x)),
    "twice negated": lambda x: tr.neg(tr.neg(x)),
    "rolled and rolled back": lambda x: roll(roll(x, 1), -1),
}


def roll(x: tr.Tensor, by: int) -> tr.Tensor:
    return tr.concatenate([x[:, by:], x[:, :by]], axis=1)


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_ends_as_it_began_is_an_identity(name: str) -> None:
    def block(x: Any, units: int, i: int) -> Any:
        return layers.Add()([branch(x, units, True), Own(IDENTITIES[name])(x)])

    assert graph_of(block)().lint() == ()
    with tr.name_scope("bare"):
        w = Weights()
        x = tr.dense(w.data(16, 8), w("stem", 8, 8))
        h = tr.relu(tr.dense(x, w("k", 8, 8))) + IDENTITIES[name](x)
    assert found_in(tr.mean(tr.square(tr.dense(h, w("head", 8, 2))))) == []


def test_a_saved_trace_tells_what_comes_back_over_a_skip(tmp_path: Any) -> None:
    planted = next(p for p in PLANTED if p.name == "reversed gradient")
    trace = planted.graph().trace()
    trace.save(tmp_path / "net.trace.json")
    (finding,) = lint_trace(tr.Trace.load(tmp_path / "net.trace.json"))
    assert "reverses the gradient" in finding.problem
    (returned,) = [f.returned for f in trace.forks if f.returned]
    assert {name.rpartition("/")[2]: (round(r.ratio, 6), round(r.cosine, 6)) for name, r in returned.items()} == {
        "same": (1.0, -1.0), "odd": (1.0, -1.0), "own": (1.0, 1.0)
    }  # fmt: skip


def found_in(loss: tr.Tensor) -> list[tuple[str, str]]:
    return [(f.rule, f.node) for f in tr.Graph(loss).lint()]


def test_a_softmax_over_one_unit() -> None:
    w = Weights()
    prediction = layers.Dense(1, activation="softmax", name="one")(w.data(16, 4))
    loss = tr.mean(tr.square(prediction - w.data(16, 1, name="target")))
    assert ("one-unit", "one") in found_in(loss)


@pytest.mark.parametrize("name", ["sub", "mul", "maximum", "minimum", "div"])
def test_a_loss_that_broadcasts(name: str) -> None:
    w = Weights()
    prediction = tr.dense(w.data(16, 4), w("kernel", 4, 1))
    target = tr.tensor(np.random.default_rng(1).uniform(1, 2, 16), name="target")
    function = {"sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b}.get(name)
    loss = tr.mean(tr.square((function or getattr(tr, name))(prediction, target)))
    assert found_in(loss) == [("broadcast", name)]


def test_pairwise_differences_on_purpose() -> None:
    w = Weights()
    x = tr.dense(w.data(16, 4), w("kernel", 4, 3))
    assert found_in(tr.mean(tr.square(tr.reshape(x, (16, 1, 3)) - tr.reshape(x, (1, 16, 3))))) == []


@pytest.mark.parametrize("depth", [3, 60])
def test_a_dead_net_is_one_finding_at_its_root(depth: int) -> None:
    w = Weights()
    h = w.data(16, 8)
    for i in range(depth):
        bias = tr.Parameter(np.full(8, -100.0 if i == 1 else 0.0), f"bias{i}")
        with tr.name_scope(f"layer{i}"):
            h = tr.relu(tr.dense(h, w(f"kernel{i}", 8, 8), bias))
    assert found_in(tr.mean(tr.square(tr.dense(h, w("head", 8, 1)) - 1.0))) == [("dead-relu", "layer1/relu")]


def test_a_net_without_values_is_one_finding() -> None:
    w = Weights()
    h = w.data(16, 8)
    for i in range(30):
        h = tr.dense(h, w(f"kernel{i}", 8, 8))
        h = tr.log(h) if i == 3 else h
    (finding,) = tr.Graph(tr.mean(h)).lint()
    assert (finding.rule, finding.node) == ("not-finite", "log")
    assert "log of a number below 0 is NaN" in finding.problem


def test_a_net_cut_off_from_its_loss_is_one_finding() -> None:
    inputs = x = tr.Input(shape=(8,))
    for i in range(20):
        x = layers.Dense(8, activation="tanh")(x)
        x = Own(lambda t: t.detach())(x) if i == 15 else x
    model = tr.Model(inputs, layers.Dense(1)(x))
    model.compile(loss="mse")
    (finding,) = model.graph(w_data(8), w_data(1)).lint()
    assert finding.rule == "no-gradient" and finding.node == "dense_15"
    assert "the parameters of 16 layers, dense to dense_15" in finding.problem


def w_data(columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, columns))
