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


def test_glorot_with_relu_vanishes():
    told = only(trace_of(presets.plain))
    rate = float(re.match(r"vanishes: \|g\| x (\S+) \(± 0\.0\d\) per block toward the input, ", told).group(1))
    assert 0.45 < rate < 0.55
    assert "exponential in depth (theory for Glorot and ReLU: x 0.50); block0 receives 1/" in told
    assert told.endswith(
        "Glorot with ReLU loses half per block of 2 Dense: use kernel_initializer='he_normal', or add a skip."
    )


def test_batchnorm_without_a_skip_explodes():
    told = only(trace_of(presets.plain_batchnorm))
    assert 1.35 < float(told.split("x ")[1].split()[0]) < 1.7
    assert told.startswith("explodes: ") and "BatchNorm without a skip multiplies it by 1.21 per layer" in told


def test_a_skip_without_batchnorm_explodes():
    trace = trace_of(presets.preact_plain)
    told = only(trace)
    assert "(theory for He, skips and no BatchNorm: x 1.41)" in told and "layers.blocks.skipinit" in told
    assert float(told.split("x ")[1].split()[0]) == pytest.approx(2**0.5, rel=0.1)


@pytest.mark.parametrize(("block", "low", "high"), [("tutorial", 1.5, 2.5), ("he2015", 1.0, 1.8), ("preact", 0.8, 1.4)])
def test_growth_like_a_power_is_harmless(block, low, high):
    trace = trace_of(presets.PRESETS[block])
    told = only(trace)
    power = float(re.match(r"grows like L\^(\S+) \(± 0\.\d\) toward the input, harmless: x ", told).group(1))
    assert low < power < high
    (sentence,) = tr.compare(net=trace).sentences
    assert f"over 16 blocks, grows like L^{power:.1f}, harmless)" in sentence


@pytest.mark.parametrize("block", ["residual", "rezero", "skipinit"])
def test_quiet_where_all_is_well(block):
    options = {"depth": 16} if block == "skipinit" else {}
    trace = trace_of(presets.PRESETS[block], **options)
    assert trace.verdict() == () and str(trace.verdict()) == "verdict: the gradient flows well"
    assert str(trace).splitlines()[-1] == "not audited"


def test_plain_he_is_left_alone():
    assert trace_of(presets.plain, kernel_initializer="he_normal").verdict() == ()


def test_the_print_ends_with_it():
    trace = trace_of(presets.plain)
    lines = str(trace).splitlines()
    assert " ".join(line.strip() for line in lines[lines.index("not audited") + 1 :]) == only(trace)
    assert max(map(len, lines)) <= 80


def test_kernels_of_the_wrong_size():
    def scaled(factor):
        return lambda shape: factor * (2 / shape[0]) ** 0.5 * np.random.default_rng(shape[0]).normal(size=shape)

    told = only(trace_of(presets.plain, kernel_initializer=scaled(0.5)))
    assert "The kernels are 0.50 of the size of he_normal's: use that, or add a skip." in told
    told = only(trace_of(presets.plain, kernel_initializer=scaled(1.6)))
    assert told.startswith("explodes") and "The kernels are 1.6 times the size of he_normal's" in told


def test_a_sigmoid_is_named():
    def block(x, units):
        return layers.Dense(units, activation="sigmoid")(x)

    assert "The sigmoid lets at most a quarter through" in only(trace_of(block))


def test_a_bent_skip_is_named():
    def block(x, units):
        f = layers.BatchNorm()(layers.Dense(units)(x))
        return layers.ReLU()(layers.Add()([f, x * 0.5]))

    told = only(trace_of(block, blocks=64))
    assert told.startswith("explodes") and "graph.lint() tells what lies on the skip" in told


def test_the_first_node_forward_that_is_not_finite():
    x = tr.tensor([1.0, -1.0], requires_grad=True, name="x")
    told = only(tr.Graph(tr.sum(tr.exp(tr.log(x) * 2.0))).trace())
    line = test_the_first_node_forward_that_is_not_finite.__code__.co_firstlineno + 2
    assert told.startswith(f"values are not finite from log (line {line}) on (1 NaN, 0 Inf): log of a number below 0")
    assert told.endswith("keep its input positive, as with tr.clip(x, 1e-7, 1.0).")


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
