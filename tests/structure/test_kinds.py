"""Kinds of edges and forks, on abstract graphs: no tensors, only who feeds whom."""

from __future__ import annotations

import random

import pytest

from tinyres.structure.kinds import Shape, classify, immediate_post_dominators


def graph(text: str, parametric: str = "", multiplicative: str = "", scalar: str = "", gating: str = ""):
    """ "x>a b; a>b" with nodes in order of first mention, last the loss -> {(src, dst): kind}, {fork: join}."""
    pairs = []
    for part in text.split(";"):
        source, targets = part.split(">")
        pairs += [(source.strip(), t) for t in targets.split()]
    names = _topological(pairs)
    at = {name: i for i, name in enumerate(names)}
    shape = Shape(
        edges=[(at[a], at[b]) for a, b in pairs],
        weights=[parametric.split().count(n) for n in names],
        is_weight=[False] * len(names),
        sizes=[1 if n in scalar.split() else 8 for n in names],
        multiplicative=[n in multiplicative.split() for n in names],
        gating=frozenset(at[n] for n in gating.split()),
    )
    kinds, forks = classify(shape)
    return dict(zip(pairs, kinds)), {names[f.node]: names[f.join] for f in forks}


def _topological(pairs):
    order, left = [], {n for pair in pairs for n in pair}
    while left:
        ready = sorted(n for n in left if not any(b == n and a in left for a, b in pairs))
        order += ready
        left -= set(ready)
    return order


def test_a_chain_has_no_forks():
    kinds, forks = graph("x>d; d>loss", parametric="d")
    assert set(kinds.values()) == {"chain"}
    assert forks == {}


def test_identity_skip():
    kinds, forks = graph("x>d1 add; d1>d2; d2>add; add>relu; relu>loss", parametric="d1 d2")
    assert forks == {"x": "add"}
    assert kinds["x", "add"] == "skip"
    assert kinds["x", "d1"] == "branch"
    assert kinds["d2", "add"] == kinds["add", "relu"] == "chain"


def test_projection_shortcut_is_the_skip():
    kinds, _ = graph("x>proj d1; d1>d2; d2>add; proj>add; add>loss", parametric="proj d1 d2")
    assert (kinds["x", "proj"], kinds["x", "d1"]) == ("skip", "branch")


def test_nested_blocks():
    kinds, forks = graph("x>outer d1; d1>inner d2; d2>inner; inner>d3; d3>outer; outer>loss", parametric="d1 d2 d3")
    assert forks == {"x": "outer", "d1": "inner"}
    assert (kinds["x", "outer"], kinds["x", "d1"]) == ("skip", "branch")
    assert (kinds["d1", "inner"], kinds["d1", "d2"]) == ("skip", "branch")


def test_several_branches_into_one_add():
    kinds, _ = graph("x>add d1 d2; d1>add; d2>e; e>add; add>loss", parametric="d1 d2 e")
    assert [kinds["x", n] for n in ("add", "d1", "d2")] == ["skip", "branch", "branch"]


def test_skip_over_a_skip():
    kinds, forks = graph("x>add1 add2 d1; d1>add1; add1>d2; d2>add2; add2>loss", parametric="d1 d2")
    assert forks == {"x": "add2"}
    assert [kinds["x", n] for n in ("add2", "add1", "d1")] == ["skip", "branch", "branch"]


def test_dense_skips():
    kinds, forks = graph("x>d1 c1 c2; d1>c1; c1>d2; d2>c2; c2>loss", parametric="d1 d2")
    assert forks == {"x": "c2"}
    assert kinds["x", "c2"] == "skip"
    assert kinds["x", "d1"] == kinds["x", "c1"] == "branch"


def test_gate_closes_in_a_product():
    kinds, forks = graph("x>g mul; g>mul; mul>out; out>loss", parametric="g", multiplicative="mul")
    assert forks == {"x": "mul"}
    assert kinds["x", "g"] == kinds["x", "mul"] == "gate"


def test_the_gate_of_a_highway():
    net = "x>h g carry; h>mul; g>t; t>mul u; u>carry; mul>add; carry>add; add>out; out>loss"
    words = {"parametric": "h g out", "multiplicative": "mul carry"}
    kinds, forks = graph(net, **words, gating="t")
    assert [kinds["x", n] for n in ("h", "g", "carry")] == ["branch", "gate", "skip"]
    assert kinds["t", "mul"] == kinds["t", "u"] == "gate" and forks["x"] == "add"
    kinds, _ = graph(net, **words)  # nothing squashes: two branches that are multiplied
    assert kinds["x", "g"] == "branch"


def test_a_branch_that_is_all_gate_is_a_branch():
    kinds, _ = graph("x>g add; g>mul; z>mul; mul>add; add>loss2; loss2>loss", "g", "mul", gating="g")
    assert (kinds["x", "g"], kinds["x", "add"]) == ("branch", "skip")


def test_a_condition_of_three_places_is_no_residual_fork():
    stream = "x>a; a>i1; i1>b; b>i2; i2>c; c>i3; i3>loss2; loss2>loss"
    kinds, _ = graph(f"t>e; e>p1 p2 p3; p1>i1; p2>i2; p3>i3; {stream}", "e a b c p1 p2 p3 loss2")
    assert {kinds["e", p] for p in ("p1", "p2", "p3")} == {"condition"}
    kinds, _ = graph(f"e>p1 p2; p1>i1; p2>i2; {stream.replace(' c>i3; i3>', ' c>')}", "a b c p1 p2 loss2")
    assert "condition" not in kinds.values()  # two places outside of scopes may be a skip


def test_dense_nets_and_attention_have_no_conditions():
    kinds, _ = graph("x>d1 c1 c2 c3; d1>c1; c1>d2; d2>c2; c2>d3; d3>c3; c3>out; out>loss", "d1 d2 d3 out")
    assert "condition" not in kinds.values()
    attention = "x>q k v add; q>qk; k>qk; qk>m; mask>m; m>av; v>av; av>o; o>add; add>out; out>loss"
    kinds, _ = graph(attention, "q k v o out", "qk av")
    assert (kinds["x", "add"], kinds["x", "q"]) == ("skip", "branch")


def test_equal_costs_are_parallel():
    kinds, _ = graph("x>d1 d2; d1>add; d2>add; add>relu; relu>loss", parametric="d1 d2")
    assert kinds["x", "d1"] == kinds["x", "d2"] == "parallel"


def test_two_losses_are_parallel_even_if_one_head_is_deeper():
    kinds, forks = graph(
        "x>h1 h2; h1>l1; h2>h3; h3>l2; l1>total; l2>total; total>loss", parametric="h1 h2 h3", scalar="l1 l2 total loss"
    )
    assert forks == {"x": "total"}
    assert kinds["x", "h1"] == kinds["x", "h2"] == "parallel"


def test_shared_layer_called_twice():
    kinds, _ = graph("x>d add; d>d@1; d@1>add; add>loss2; loss2>loss", parametric="d d@1")
    assert (kinds["x", "add"], kinds["x", "d"]) == ("skip", "branch")


def test_the_equation_on_scalars():
    """L = (w x + x)^2: a skip and a branch, unless the Add is the loss itself."""
    kinds, _ = graph("w>mul; x>mul loss; mul>loss", parametric="mul", scalar="w x mul loss")
    assert (kinds["x", "mul"], kinds["x", "loss"]) == ("parallel", "parallel")
    kinds, _ = graph("w>mul; x>mul add; mul>add; add>sq; sq>loss", parametric="mul", scalar="w x mul add sq loss")
    assert (kinds["x", "mul"], kinds["x", "add"]) == ("branch", "skip")


def test_one_node():
    kinds, forks = classify(Shape([], [0], [False], [1], [False]))
    assert kinds == [] and forks == []


@pytest.mark.parametrize("seed", range(30))
def test_post_dominators_are_those_of_the_definition(seed):
    rng = random.Random(seed)
    n = rng.randint(2, 14)
    successors = [
        sorted(rng.sample(range(i + 1, n), min(n - 1 - i, rng.randint(1, 3)))) if i < n - 1 else [] for i in range(n)
    ]
    expected = []
    for node in range(n):
        on_all = [m for m in range(node + 1, n) if not _reaches_without(successors, node, m)]
        expected.append(min(on_all, default=n - 1))
    assert immediate_post_dominators(successors) == expected


def _reaches_without(successors, start, removed):
    stack, seen = [start], set()
    while stack:
        node = stack.pop()
        if node == len(successors) - 1:
            return True
        for c in successors[node]:
            if c != removed and c not in seen:
                seen.add(c)
                stack.append(c)
    return False


def test_long_skips_cost_no_more_than_short_ones():
    n = 20_000
    successors = [sorted({i + 1, n - 1 - i} if i + 1 < n - 1 - i else {i + 1}) for i in range(n - 1)] + [[]]
    joins = immediate_post_dominators(successors)
    assert joins[0] == n - 1
    assert joins[n // 2] == n // 2 + 1
