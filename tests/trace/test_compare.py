"""tr.compare: rates toward the input, sentences, and the laws they state."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import Weights, residual

import tinyres as tr


@pytest.fixture(scope="module")
def comparison():
    options = {"blocks": 12, "units": 64, "batch": 128, "seed": 2}
    return tr.compare(
        plain=tr.Graph(residual(skip=False, **options)[0]).trace(), residual=tr.Graph(residual(**options)[0]).trace()
    )


def test_rates_are_stated_toward_the_input(comparison):
    plain, with_skip = comparison.rows()
    trace = comparison.traces["plain"]
    expected = (trace.blocks[0].grad_norm / trace.blocks[-1].grad_norm) ** (1 / 11)
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
    assert plain.startswith(
        "plain: the gradient halves in every block toward the input (theory for Glorot and ReLU: x 0.50); "
        "block0 receives 1/"
    )
    assert plain.endswith(" of what block11 receives.")
    skip = comparison.traces["residual"].blocks[0].skip
    assert with_skip.startswith("residual: the gradient reaches block0 (x 1.")
    assert f"{skip:.0%} of it came over the skip" in with_skip
    assert "BatchNorm in the branch tames it." in with_skip


def test_what_has_no_partner_is_listed(comparison):
    assert comparison.unmatched == {"plain": [], "residual": [f"block{i}/add" for i in range(12)]}
    assert "only in residual: block0/add, block1/add and 10 more" in str(comparison)


def test_theory_for_batchnorm():
    w = Weights()
    x = w.data(64, 32)
    for i in range(8):
        with tr.name_scope(f"block{i}"):
            h = tr.dense(x, w(f"block{i}/kernel", 32, 32))
            gamma, beta = tr.Parameter(np.ones(32), "gamma"), tr.Parameter(np.zeros(32), "beta")
            x = tr.relu(tr.batchnorm(h, gamma, beta, 1e-3)[0])
    c = tr.compare(plain_bn=tr.Graph(tr.sum(x * w("head", 64, 32))).trace())
    assert "(theory for BatchNorm and ReLU: x 1.21)" in c.sentences[0]
    assert c.flows[0].rate == pytest.approx(1.21, abs=0.12)


def test_no_blocks_and_no_gradient():
    x = tr.tensor([1.0], name="x")
    w = tr.Parameter([0.0], "w")
    c = tr.compare(a=tr.Graph(tr.sum(x * w)).trace())
    assert "no rate" in c.sentences[0]
    assert c.table.splitlines()[1].split()[-1] == "-"


def test_values_that_are_not_finite_are_named():
    x = tr.tensor([1.0, -1.0], requires_grad=True, name="x")
    c = tr.compare(a=tr.Graph(tr.sum(tr.log(x) * 2.0)).trace())
    assert c.sentences == ["a: values are not finite from log on (1 NaN, 0 Inf)."]


def test_polynomial_growth_is_told_from_a_rate():
    from tinyres.layers import blocks
    from tinyres.study.nets import stack

    (x, y), _ = tr.data.load_digits()
    flows, stories = {}, {}
    for name in ("preact", "preact_plain"):
        tr.manual_seed(0)
        model = stack(blocks.PRESETS[name], 16, 32, 64, 10)
        model.compile(loss="sparse_categorical_crossentropy")
        c = tr.compare(**{name: model.graph(x[:64], y[:64]).trace()})
        flows[name], (stories[name],) = c.flows[0], c.sentences
    assert 0.4 < flows["preact"].power < 2
    assert f"over 16 blocks, grows like L^{flows['preact'].power:.1f}, harmless" in stories["preact"]
    assert flows["preact_plain"].power is None
    assert flows["preact_plain"].rate == pytest.approx(2**0.5, rel=0.1)
    assert f"(x {flows['preact_plain'].rate:.2f} per block, growing)" in stories["preact_plain"]
