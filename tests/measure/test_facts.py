"""Facts: kinds, theory and lint follow from the records of ops, for ops and layers that the library has never seen.

All of these are defined here; measure/, trace/ and structure/ know none of their names.
"""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

import tinyres as tr
from tinyres import kernels, layers
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import launch_broadcast
from tinyres.engine.op import Context, Gradients, apply
from tinyres.launch import launch
from tinyres.nn.shape import LayerGraph
from tinyres.ops.custom import CustomOp
from tinyres.ops.matmul import DENSE_WITHOUT_BIAS
from tinyres.ops.rules import same_shape
from tinyres.trace.facts import Facts
from tinyres.trace.flow import theory_of

DATA = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")
LABELS = np.arange(256) % 10


# An op with two outputs that rectifies, and a layer


def _halves_forward(outs: tuple[Buffer, ...], x: tr.Tensor) -> None:
    positive, negative = outs
    launch(kernels.relu, (positive,), (x.buffer,), (x.size,))
    launch(kernels.sub, (negative,), (positive, x.buffer), (1, x.size))


def _halves_vjp(cotangents: tuple[tr.Tensor | None, ...], ctx: Context) -> Gradients:
    (x,) = ctx.inputs
    to_positive, to_negative = cotangents
    mask = x > 0.0
    parts = [] if to_positive is None else [tr.where(mask, to_positive, 0.0)]
    parts += [] if to_negative is None else [tr.where(mask, 0.0, -to_negative)]
    return (parts[0] if len(parts) == 1 else parts[0] + parts[1],)


HALVES = CustomOp(
    "halves",
    outputs=("positive", "negative"),
    shape=lambda x: (x.shape, x.shape),
    forward=_halves_forward,
    vjp=_halves_vjp,
    saves=(0,),
    rectifies=True,
)


class Positive(layers.Layer):
    """The positive half of its input."""

    def call(self, x: tr.Tensor) -> tr.Tensor:
        positive, _ = apply(HALVES, (x,))
        return positive


# A normaliser of one op, a product of two inputs, a product with a weight


def _unit_mean_square(x: tr.Tensor) -> tr.Tensor:
    return x / tr.sqrt(tr.mean(tr.square(x), -1, keepdims=True) + 1e-6)


def _unit_forward(out: Buffer, x: tr.Tensor) -> None:
    y = _unit_mean_square(x)
    launch(kernels.add, (out,), (y.buffer, y.buffer), (1, out.size))
    launch(kernels.sub, (out,), (out, y.buffer), (1, out.size))


def _unit_vjp(g: tr.Tensor, ctx: Context) -> Gradients:
    (x,) = ctx.inputs
    scale = tr.sqrt(tr.mean(tr.square(x), -1, keepdims=True) + 1e-6)
    y = x / scale
    return ((g - y * tr.mean(g * y, -1, keepdims=True)) / scale,)


UNIT = CustomOp("unit", shape=same_shape, forward=_unit_forward, vjp=_unit_vjp, saves=(0,), normalises="row")


class UnitRows(layers.Layer):
    """Rows of mean square 1, times a learned factor: the normaliser stands in the middle of the layer."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.gain = self.add_weight("gain", (input_shape[-1],), "ones")

    def call(self, x: tr.Tensor) -> tr.Tensor:
        return apply(UNIT, (x,)) * self.gain


def _product_vjp(g: tr.Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    return g * b, g * a


PRODUCT = CustomOp(
    "product",
    shape=lambda a, b: a.shape,
    forward=lambda out, a, b: launch_broadcast(kernels.mul, out, a.shape, (a, b)),
    vjp=_product_vjp,
    saves=(0, 1),
    multiplies=True,
)


class Gated(layers.Layer):
    """a · sigmoid(b) through an op of its own, and something added behind it."""

    def call(self, inputs: list[tr.Tensor]) -> tr.Tensor:
        a, b = inputs
        return apply(PRODUCT, (a, tr.sigmoid(b))) + 1.0


class SelfGated(layers.Layer):
    """x + f · sigmoid(f): a product inside, but what comes in is added."""

    def call(self, inputs: list[tr.Tensor]) -> tr.Tensor:
        x, f = inputs
        return x + apply(PRODUCT, (f, tr.sigmoid(f)))


class Summed(layers.Layer):
    """The sum of its inputs, under another name than Add."""

    def call(self, inputs: list[tr.Tensor]) -> tr.Tensor:
        return inputs[0] + inputs[1]


WEIGHTED = CustomOp(
    "weighted",
    shape=lambda x, kernel: DENSE_WITHOUT_BIAS.shape(x, kernel, 0),
    forward=lambda out, x, kernel: DENSE_WITHOUT_BIAS.forward(out, x, kernel, 0),
    vjp=lambda g, ctx: (
        tr.matmul(g, ctx.inputs[1], transpose_b=True),
        tr.matmul(ctx.inputs[0], g, transpose_a=True),
    ),
    saves=(0, 1),
    multiplies=True,
    fans=lambda x, kernel: (None, kernel),
)


class Weighted(layers.Layer):
    """The positive half of a product with a weight: two ops in one layer."""

    def __init__(self, units: int, name: str | None = None) -> None:
        super().__init__(name)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.units), "he_normal")

    def call(self, x: tr.Tensor) -> tr.Tensor:
        return apply(HALVES, (apply(WEIGHTED, (x, self.kernel)),))[0]


def traced(block: Callable, count: int = 6, data: np.ndarray = DATA, level: str = "layer") -> tr.Trace:
    return net_of(block, count).graph(data, LABELS[: len(data)]).trace(level=level)


def net_of(block: Callable, count: int) -> tr.Model:
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(64,))
    for i in range(count):
        with tr.name_scope(f"block{i}"):
            x = block(x)
    model = tr.Model(inputs, layers.Dense(10, activation="softmax", name="head")(x))
    model.compile(loss="sparse_categorical_crossentropy")
    return model


def test_the_gradients_of_these_ops_are_right() -> None:
    x, other = DATA[:3, :4], DATA[:3, 4:8]
    both = lambda x: apply(HALVES, (x,))[0] * 2.0 + tr.square(apply(HALVES, (x,))[1])  # noqa: E731
    assert tr.gradcheck(both, [x], second_order=True)
    assert tr.gradcheck(lambda x: apply(UNIT, (x,)), [x], second_order=True)
    assert tr.gradcheck(lambda a, b: apply(PRODUCT, (a, b)), [x, other], second_order=True)
    assert tr.gradcheck(lambda x, w: apply(WEIGHTED, (x, w)), [x, DATA[:4, :2]], second_order=True)


def kinds(trace: tr.Trace, node: str) -> set[str]:
    return {e.kind for e in trace.edges if e.src == node}


# The fault: a fused ReLU was guessed from more than a fifth of zeros in the value


def test_zeros_do_not_make_a_linear_layer_a_relu() -> None:
    """40 of 128 rows are zero, so 31% of every value; twelve blocks of two Dense were told the theory of ReLU."""
    data = DATA[:128].copy()
    data[:40] = 0.0
    trace = traced(lambda x: layers.Dense(64)(layers.Dense(64)(x)), count=12, data=data)
    assert {n.zeros for n in trace.blocks[3].nodes} == {40 * 64}
    assert str(theory_of(trace)) == "theory for Glorot without an activation: x 1.00"
    assert not any("ReLU" in sentence for sentence in (*trace.verdict(), *tr.compare(a=trace, b=trace).sentences))


def test_a_fused_relu_counts_however_few_zeros_it_leaves() -> None:
    def block(x: tr.Tensor) -> tr.Tensor:
        return layers.Dense(64, activation="relu", bias_initializer=tr.initializers.Constant(9.0))(x)

    trace = traced(block, count=2)
    assert all(n.zeros < 0.2 * n.size and n.facts.rectified for b in trace.blocks for n in b.nodes)
    assert theory_of(trace) is None  # the law is for a cut in the middle, and the bias moves it


# New ops and layers


def test_an_own_rectifier_has_the_theory_of_one() -> None:
    own = traced(lambda x: Positive()(layers.Dense(64)(x)))
    known = traced(lambda x: layers.Dense(64, activation="relu")(x))
    assert theory_of(own) == theory_of(known) is not None
    assert str(theory_of(own)) == "theory for Glorot and ReLU: x 0.71"
    assert own["block0/positive"].facts == Facts(rectifies=1, rectified=True, piecewise_linear=True)


def test_an_own_product_with_a_weight_has_it_too() -> None:
    trace = traced(lambda x: Weighted(64)(x))
    assert trace["block0/weighted"].params["kernel"].fans == (64, 64)
    assert str(theory_of(trace)) == "theory for He and ReLU: x 1.00"
    residual = traced(lambda x: layers.Add()([x, layers.Dense(64, kernel_initializer="he_normal")(Weighted(64)(x))]))
    assert "skips and no BatchNorm" in str(theory_of(residual))


def test_own_ops_on_a_skip_are_found() -> None:
    def block(skip: layers.Layer) -> Callable:
        return lambda x: Summed()([layers.Dense(64)(layers.Dense(64, activation="relu")(x)), skip(x)])

    for skip, what in ((Positive, "a ReLU lies on the skip"), (UnitRows, "a normalisation (row) lies on the skip")):
        findings = net_of(block(skip()), 1).graph(DATA, LABELS).lint()
        assert [f.rule for f in findings] == ["skip-path"] and findings[0].problem.startswith(what)
    assert net_of(lambda x: Summed()([layers.Dense(64)(x), x]), 2).graph(DATA, LABELS).lint() == ()


def test_an_own_rectifier_that_lets_nothing_through_is_dead() -> None:
    def block(x: tr.Tensor) -> tr.Tensor:
        return Positive()(layers.Dense(64, bias_initializer=tr.initializers.Constant(-99.0))(x))

    findings = net_of(block, 1).graph(DATA, LABELS).lint()
    assert ("dead-relu", "block0/positive") in [(f.rule, f.node) for f in findings]


def test_theory_is_silent_about_an_own_normaliser() -> None:
    trace = traced(lambda x: UnitRows()(layers.Dense(64, activation="relu")(x)))
    assert trace["block0/unit_rows"].facts.normalises == "row" and trace["block0/unit_rows"].facts.scales
    assert theory_of(trace) is None


def test_an_own_sum_counts_what_it_adds() -> None:
    findings = net_of(lambda x: Summed()([x, x]), 1).graph(DATA, LABELS).lint()
    assert [f.rule for f in findings] == ["self-add"]


@pytest.mark.parametrize("level", ["layer", "op"])
def test_an_own_product_is_a_gate(level: str) -> None:
    trace = traced(lambda x: Gated()([layers.Dense(64)(x), layers.Dense(64, name="control")(x)]), 2, level=level)
    assert kinds(trace, "input") == {"gate"}


def test_a_product_inside_of_a_sum_is_no_gate() -> None:
    trace = traced(lambda x: SelfGated()([x, layers.Dense(64)(x)]), 2)
    assert kinds(trace, "input") == {"skip", "branch"}
    assert not trace["block0/self_gated"].facts.multiplies


@pytest.mark.parametrize(("join", "expected"), [(Gated, False), (SelfGated, True), (Summed, True)])
def test_summary_and_trace_agree_on_own_joins(join: type, expected: bool) -> None:
    model = net_of(lambda x: join()([x, layers.Dense(64)(x)]), 1)
    graph = LayerGraph(model)
    (call,) = [c for c in graph.calls if isinstance(c.layer, join)]
    assert bool(graph.skips_into(call)) is expected
    assert ("skip" in kinds(model.graph(DATA, LABELS).trace(), "input")) is expected


@pytest.mark.parametrize(
    ("shapes", "flags", "expected"),
    [(((5, 3), (3, 4)), (False, False), (3, 4)), (((5, 3), (4, 3)), (False, True), (3, 4))],
)
def test_fans_of_a_matmul_follow_its_flags(shapes: tuple, flags: tuple[bool, bool], expected: tuple[int, int]) -> None:
    x, weight = tr.tensor(np.ones(shapes[0])), tr.Parameter(np.ones(shapes[1]), "weight")
    trace = tr.Graph(tr.matmul(x, weight, *flags).sum()).trace()
    assert trace.parameters[0].fans == expected
    weight, x = tr.Parameter(np.ones((4, 3)), "weight"), tr.tensor(np.ones((3, 5)))
    assert tr.Graph(tr.matmul(weight, x).sum()).trace().parameters[0].fans == (3, 4)


def test_a_weight_that_is_read_in_two_ways_has_no_fans() -> None:
    weight = tr.Parameter(np.ones((3, 4)), "weight")
    x = tr.tensor(np.ones((2, 3)))
    once = tr.Graph((x @ weight).sum() + tr.square(weight).sum()).trace()
    assert once.parameters[0].fans == (3, 4)
    tied = tr.Graph(tr.matmul(x @ weight, weight, transpose_b=True).sum()).trace()
    assert tied.parameters[0].fans is None


@pytest.mark.parametrize(
    ("clipped", "rectifies"), [((0.0, None), True), ((None, 0.0), True), ((0.0, 6.0), False), ((-1.0, 1.0), False)]
)
def test_a_fact_may_depend_on_attributes(clipped: tuple, rectifies: bool) -> None:
    trace = tr.Graph(tr.clip(tr.tensor(DATA, requires_grad=True, name="x"), *clipped).sum()).trace()
    assert trace["clip"].facts.rectified is rectifies


# Files


def test_facts_survive_a_file(tmp_path: pathlib.Path) -> None:
    trace = traced(lambda x: Summed()([UnitRows()(Weighted(64)(x)), x]), 2)
    for name in ("t.json", "t.npz"):
        trace.save(str(tmp_path / name))
        loaded = tr.Trace.load(str(tmp_path / name))
        assert [n.facts for n in loaded.nodes] == [n.facts for n in trace.nodes]
        assert [p.fans for p in loaded.parameters] == [p.fans for p in trace.parameters]


def without_facts(trace: tr.Trace, path: pathlib.Path) -> dict:
    trace.save(str(path))
    data = json.loads(path.read_text())
    del data["facts"], data["fans"]
    return data


@pytest.mark.slow
def test_a_file_from_before_there_were_facts_is_judged_as_it_was(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "old.json"
    for preset, i in itertools.product(("plain", "residual", "plain_batchnorm", "preact"), range(2)):
        trace = traced(lambda x, preset=preset: layers.blocks.PRESETS[preset](x, 64), 3 + i)
        path.write_text(json.dumps(without_facts(trace, path)))
        old = tr.Trace.load(str(path))
        assert theory_of(old) is None  # what drew the weights does not stand in it
        assert [s.rule for s in old.verdict()] == [s.rule for s in trace.verdict()]
        assert [n.facts.rectifies for n in old.nodes] == [n.facts.rectifies for n in trace.nodes]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("facts", {}),
        ("facts", []),
        ("facts", {"rectifies": ["2"]}),
        ("fans", [[1.5, 2]]),
        ("fans", []),
        ("fans", "none"),
    ],
)
def test_damaged_facts_are_an_error(key: str, value: object, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "t.json"
    trace = traced(lambda x: layers.Dense(64)(x), 2)
    trace.save(str(path))
    data = json.loads(path.read_text())
    if isinstance(value, dict) and value:
        data[key] = {**data[key], **{k: v * len(trace.nodes) for k, v in value.items()}}
    else:
        data[key] = value
    path.write_text(json.dumps(data))
    with pytest.raises(tr.errors.FileError, match="is damaged or something else"):
        tr.Trace.load(str(path))
