"""trace.verdict(): what it says about nets whose fate is known, and that it is quiet where all is well."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks as presets
from tinyres.study.nets import stack

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(128, 64)), RNG.integers(0, 10, 128)


def trace_of(block, blocks=16, x=X, **options):
    tr.manual_seed(0)
    model = stack(block, blocks, 64, 64, 10, **options)
    model.compile(loss="sparse_categorical_crossentropy")
    return model.graph(x, Y).trace(audit=False)


def only(trace):
    (sentence,) = trace.verdict()
    return sentence


def test_a_rate_with_its_interval_its_theory_its_cause_and_what_helps():
    told = only(trace_of(presets.plain, blocks=8))
    words = (
        r"the gradient vanishes, it halves in every block toward the input \(x (\S+), 95% interval (\S+) to (\S+); "
        r"theory for Glorot and ReLU: x 0\.50\); block0 receives 1/\d+ of what block7 receives\. "
        r"The kernels are 0\.71 of the size that keeps it \(glorot_uniform\): kernel_initializer='he_normal' keeps "
    )
    rate, low, high = map(float, re.match(words, told).groups())
    assert low < rate < high and 0.45 < rate < 0.55
    assert told.rule == "vanishes" and told == f"{told.told} {told.remedy}"


@pytest.mark.slow
@pytest.mark.parametrize(("block", "low", "high"), [("tutorial", 1.5, 2.5), ("he2015", 1.0, 1.8), ("preact", 0.8, 1.4)])
def test_growth_like_a_power_is_told_with_its_power(block, low, high):
    (sentence,) = tr.compare(net=trace_of(presets.PRESETS[block], blocks=32)).sentences
    power = float(re.search(r"L\^(\S+) \(± 0\.\d\)", sentence).group(1))
    assert low < power < high and "harmless" not in sentence


@pytest.mark.parametrize("block", ["residual", "rezero", "skipinit"])
def test_quiet_where_all_is_well(block):
    options = {"depth": 8} if block == "skipinit" else {}
    trace = trace_of(presets.PRESETS[block], 8, **options)
    assert trace.verdict() == ()
    told = {"residual": "the loss is 2.8 times that of an answer that ignores the input"}
    told = told.get(block, "and values and loss are in proportion")
    assert str(trace.verdict()).startswith(f"verdict: the gradient flows well, {told} (labels and learning rate")
    assert str(trace).splitlines()[-1] == "not audited"


def test_the_print_ends_with_it():
    trace = trace_of(presets.plain)
    lines = str(trace).splitlines()
    assert " ".join(line.strip() for line in lines[lines.index("not audited") + 1 :]) == only(trace)
    assert max(map(len, lines)) <= 80


def test_the_first_node_forward_that_is_not_finite():
    x = tr.tensor([1.0, -1.0], requires_grad=True, name="x")
    told = only(tr.Graph(tr.sum(tr.exp(tr.log(x) * 2.0))).trace())
    line = test_the_first_node_forward_that_is_not_finite.__code__.co_firstlineno + 2
    assert told.startswith(f"values are not finite from log (line {line}) on (1 NaN, 0 Inf): log of a number below 0")
    assert told.remedy == "keep its input positive, as with tr.clip(x, 1e-7, 1.0)."


def test_data_and_parameters_that_are_not_finite():
    assert "from input on (1 NaN, 0 Inf): this is data; look for missing values" in only(
        trace_of(presets.plain, 2, np.where(np.arange(X.size).reshape(X.shape) == 7, np.nan, X))
    )
    tr.manual_seed(0)
    model = stack(presets.plain, 2, 64, 64, 10)
    model.compile(loss="sparse_categorical_crossentropy")
    kernel = model.get_layer("block1/dense").kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    told = only(model.graph(X, Y).trace())
    assert told.startswith("values are not finite from block1/dense (line ") and "its kernel is not finite" in told


def attending(mask):
    """A net whose scores are masked by a function of them."""
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(6, 4))
    x = layers.Dense(4)(x)
    scores = mask(x @ tr.transpose(x, (0, 2, 1)))
    model = tr.Model(inputs, layers.Dense(3, activation="softmax")(x + tr.softmax(scores) @ x))
    model.compile(loss="sparse_categorical_crossentropy")
    return model.graph(RNG.normal(size=(5, 6, 4)), np.zeros((5, 6), int))


BELOW = np.tril(np.ones((6, 6))) > 0
MASKS = {
    "chosen": lambda scores: tr.where(BELOW, scores, float("-inf")),
    "added": lambda scores: scores + np.where(BELOW, 0, -np.inf).astype("float32"),
    "in two steps": lambda scores: tr.where(BELOW, scores, float("-inf")) * 0.5,
}


@pytest.mark.parametrize("name", MASKS)
def test_what_a_mask_leaves_out_of_a_softmax_is_not_broken(name):
    """An attention masked by -inf was told that its values had grown too large."""
    graph = attending(MASKS[name])
    assert list(graph.trace(level="op").verdict()) == [] and len(graph.lint()) == 0


def test_infinities_that_a_softmax_cannot_take_are_told():
    whole_rows = attending(lambda scores: tr.where(BELOW & False, scores, float("-inf")))
    assert only(whole_rows.trace()).startswith("values are not finite from where")
    above = attending(lambda scores: scores + np.where(BELOW, 0, np.inf).astype("float32"))
    assert "from constant on (0 NaN, 15 Inf): this is a constant of the program;" in only(above.trace())


def test_a_gradient_that_is_not_finite_though_values_are():
    x = tr.tensor([0.0, 1.0], requires_grad=True, name="x")
    told = only(tr.Graph(tr.sum(tr.sqrt(x * 1.0))).trace())
    assert told.startswith("the gradient is not finite from mul (line ") and "behind sqrt is infi" in told


def test_a_dead_relu_is_where_the_gradient_ends():
    def far_below(shape):
        return np.full(shape, -100.0)

    def net(x, units):
        x = layers.Dense(units, activation="relu")(x)
        return layers.Dense(units, activation="relu", bias_initializer=far_below, name="dead")(x)

    told = only(trace_of(net, 3))
    assert told.startswith("no gradient at all reaches block0: every unit of block0/dead (line ")


@pytest.mark.slow
def test_below_the_smallest_number():
    told = only(trace_of(presets.plain, 180))
    assert told.startswith("no gradient at all reaches block0: values or gradients have vanished below the ")
    assert "he_normal" in told


def test_too_little_to_judge():
    x = tr.tensor(2.0, requires_grad=True, name="x")
    assert tr.Graph(x * x).trace().verdict() == ()


def test_a_loaded_trace_has_the_same(tmp_path):
    trace = trace_of(presets.plain, 6)
    trace.save(tmp_path / "t.json")
    assert tr.Trace.load(tmp_path / "t.json").verdict() == trace.verdict() != ()


def test_what_print_compare_and_verdict_say_is_one_thing():
    trace = trace_of(presets.preact_plain, 24)
    told = trace.verdict()[0]
    (sentence,) = tr.compare(net=trace).sentences
    assert sentence.startswith(f"net: {told.told.rstrip('.')}; ")
    assert told.replace(" ", "") in str(trace).replace("\n", "").replace(" ", "")


def test_shares_that_cancel_are_no_percentages():
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(16,))
    for i in range(4):
        with tr.name_scope(f"block{i}"):
            minus = layers.Dense(16, kernel_initializer=lambda shape: -0.95 * np.eye(*shape), use_bias=False)(x)
            x = layers.Add()([x, minus])
    model = tr.Model(inputs, layers.Dense(1)(x))
    (sentence,) = tr.compare(net=model.graph(X[:, :16], X[:, :1], loss="mse").trace()).sentences
    assert "skip and branch cancel in part: their shares of it are 20 and -19" in sentence


def test_the_loss_is_held_against_its_chance_level():
    assert trace_of(presets.plain, 2).header.chance == pytest.approx(np.log(10))
    model = stack(presets.plain, 2, 64, 64, 1, head=None)
    target = 3.0 * X[:, :1] + 100.0
    trace = model.graph(X, target, loss="mse").trace()
    assert trace.header.chance == pytest.approx(np.var(target), rel=1e-4)
    loss = next(s for s in trace.verdict() if s.rule == "loss")
    assert "times that of an answer that ignores the input" in loss
    assert model.graph(X, target, loss="mae").trace().header.chance == pytest.approx(2.4, abs=0.3)  # 3·√(2/π)
    yes_or_no = stack(presets.plain, 2, 64, 64, 1, head="sigmoid").graph(X, target > 100, loss="binary_crossentropy")
    assert yes_or_no.trace().header.chance == pytest.approx(np.log(2))
    assert model.graph(X, target, loss=lambda p, t: ((p - t) ** 2).mean()).trace().header.chance is None
