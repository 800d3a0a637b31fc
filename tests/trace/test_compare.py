"""tr.compare: rates toward the input, sentences, and the laws they state."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres.layers import blocks as presets
from tinyres.study.nets import stack


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((128, 64)), rng.integers(0, 10, 128)
    traces = {}
    for name in ("plain", "residual"):
        tr.manual_seed(2)
        model = stack(presets.PRESETS[name], 12, 64, 64, 10)
        traces[name] = model.graph(x, y, loss="sparse_categorical_crossentropy").trace()
    return tr.compare(**traces)


def test_rates_are_stated_toward_the_input(comparison):
    plain, with_skip = comparison.rows()
    trace = comparison.traces["plain"]
    expected = (trace.blocks[0].grad_norm / trace.blocks[-1].grad_norm) ** (1 / 11)  # no block stands out
    assert plain["rate"] == pytest.approx(expected)
    assert 0.4 < plain["rate"] < 0.6 and 1.0 < with_skip["rate"] < 1.4
    assert (plain["first"], plain["last"]) == ("block0", "block11")


def test_the_table(comparison):
    head, plain, with_skip = comparison.table.splitlines()
    assert head.split() == ["loss", "|g|", "block0", "|g|", "block11", "first/last", "per", "block"]
    assert plain.split()[0] == "plain" and plain.split()[-1] == f"{comparison.flows[0].rate:.2f}"
    assert max(map(len, str(comparison).splitlines())) <= 80


def test_sentences(comparison):
    plain, with_skip = comparison.sentences
    assert plain.startswith("plain: the gradient vanishes, it halves in every block toward the input (x 0.")
    assert "; theory for Glorot and ReLU: x 0.50); block0 receives 1/" in plain
    assert plain.endswith(" of what block11 receives.")
    skip = comparison.traces["residual"].blocks[0].skip
    assert with_skip.startswith("residual: the gradient reaches block0 (x 1.")
    assert f"{skip:.0%} of it came over the skip" in with_skip
    growth = comparison.flows[1].value_norms[-1] / comparison.flows[1].value_norms[0]
    assert with_skip.endswith(f" |x| grows {growth:.1f}-fold with depth.")


def test_what_has_no_partner_is_listed(comparison):
    assert comparison.unmatched == {"plain": [], "residual": [f"block{i}/add" for i in range(12)]}
    assert "only in residual: block0/add, block1/add and 10 more" in str(comparison)


def test_no_blocks_and_no_gradient():
    x = tr.tensor([1.0], name="x")
    w = tr.Parameter([0.0], "w")
    c = tr.compare(a=tr.Graph(tr.sum(x * w)).trace())
    assert "no rate" in c.sentences[0]
    assert c.table.splitlines()[1].split()[-1] == "-"


def test_no_layers_at_all():
    x = tr.tensor([1.0], requires_grad=True, name="x")
    assert tr.compare(a=tr.Graph(tr.sum(tr.tanh(x))).trace()).sentences == [
        "a: no rate, for that takes two layers with a gradient."
    ]


def test_values_that_are_not_finite_are_named():
    x = tr.tensor([1.0, -1.0], requires_grad=True, name="x")
    c = tr.compare(a=tr.Graph(tr.sum(tr.log(x) * 2.0)).trace())
    line = test_values_that_are_not_finite_are_named.__code__.co_firstlineno + 2
    told = f"a: values are not finite from log (line {line}) on (1 NaN, 0 Inf): log of a number below 0 is NaN,"
    assert c.sentences == [f"{told} of 0 infinite;"]
