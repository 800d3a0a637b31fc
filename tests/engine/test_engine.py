"""The tape: accumulation and ownership of gradients, observers, freeing, versions, and differentiation of gradients."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest

import tinyres as tr
from tinyres.engine.backward import backward
from tinyres.engine.node import Node
from tinyres.errors import ArgumentError, GradientError


def leaf(values: object, name: str | None = None) -> tr.Tensor:
    return tr.tensor(values, requires_grad=True, name=name)


def grad_of(x: tr.Tensor) -> list[float]:
    assert x.grad is not None
    return x.grad.tolist()


# Accumulation and ownership


def test_the_issue_equation_on_scalars() -> None:
    """w = 0.1, x = 3, L = (wx + x)²: dL/dx = 7.26, of which 6.60 over the skip and 0.66 through the branch."""
    w, x = tr.tensor(0.1, True, "float64"), tr.tensor(3.0, True, "float64")
    parts = {}

    def on_edge(consumer: Node, i: int, producer: Node, g: tr.Tensor | None) -> None:
        if producer is x.node and g is not None:
            parts[consumer.op.name] = g.item()

    backward((w * x + x) ** 2, on_edge=on_edge)
    assert parts == pytest.approx({"add": 6.60, "mul": 0.66})
    assert x.grad is not None and x.grad.item() == pytest.approx(7.26)


def test_residual_add_hands_the_same_gradient_to_both_and_nobody_corrupts_it() -> None:
    """In-place accumulation into a shared gradient would double the branch that is visited later."""
    x = leaf([1.0, -2.0])
    h = x * 1.0
    f = h * 10.0
    y = f + h
    (y * np.array([1.0, 2.0])).sum().backward()
    assert grad_of(x) == [11.0, 22.0]


@pytest.mark.parametrize("order", ["first", "last"])
def test_an_add_of_two_leaves_gives_each_its_own_grad(order: str) -> None:
    a, b = leaf([1.0]), leaf([2.0])
    y = a + b
    extra = (a if order == "first" else b) * 5.0
    (y.sum() + extra.sum()).backward()
    expected = ([6.0], [1.0]) if order == "first" else ([1.0], [6.0])
    assert (grad_of(a), grad_of(b)) == expected


@pytest.mark.parametrize("uses", [1, 2, 3, 5])
def test_n_uses_add_up(uses: int) -> None:
    x = leaf([2.0])
    terms = [x * float(k + 1) for k in range(uses)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    total.sum().backward()
    assert grad_of(x) == [sum(range(1, uses + 1))]


def test_the_same_input_twice_in_one_op() -> None:
    x = leaf([3.0])
    (x * x).sum().backward()
    assert grad_of(x) == [6.0]
    y = leaf([[1.0, 2.0]])
    tr.concatenate([y, y, y]).sum().backward()
    assert grad_of(y) == [[3.0, 3.0]]


def test_views_share_memory_and_not_gradients() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    flat = x.reshape(4)
    assert flat.buffer is x.buffer
    (flat * np.array([1.0, 10.0, 100.0, 1000.0]) + flat).sum().backward()
    assert grad_of(x) == [[2.0, 11.0], [101.0, 1001.0]]


def test_grad_accumulates_until_cleared() -> None:
    x = leaf([1.0])
    (x * 2.0).sum().backward()
    first = x.grad
    (x * 3.0).sum().backward()
    assert grad_of(x) == [5.0]
    assert first is not None and first.tolist() == [2.0], "a .grad that the user kept must not change"
    x.grad = None
    (x * 4.0).sum().backward()
    assert grad_of(x) == [4.0]


def test_broadcast_inputs_get_gradients_of_their_shape() -> None:
    row, column, scalar = leaf([1.0, 2.0, 3.0]), leaf([[1.0], [2.0]]), leaf(2.0)
    (row * column * scalar).sum().backward()
    assert grad_of(row) == [6.0, 6.0, 6.0]
    assert grad_of(column) == [[12.0], [12.0]]
    assert grad_of(scalar) == 18.0


def test_only_what_requires_a_gradient_gets_one() -> None:
    x, constant = leaf([1.0]), tr.tensor([2.0])
    (x * constant).sum().backward()
    assert constant.grad is None
    assert grad_of(x) == [2.0]


def test_a_vjp_is_asked_only_for_what_is_needed() -> None:
    asked = []

    def vjp(g: tr.Tensor, ctx: object) -> tuple[tr.Tensor, ...]:
        asked.append(ctx.needs)  # type: ignore[attr-defined]
        return g, g, g

    three = tr.custom_vjp(lambda a, b, c: a + b + c, vjp, "three")
    three(leaf([1.0]), tr.tensor([1.0]), leaf([1.0])).sum().backward()
    assert asked == [(True, False, True)]


# Observers


def test_observers_see_every_edge_and_every_total() -> None:
    x = leaf([1.0, 2.0], "x")
    h = x * 3.0
    y = (h + tr.relu(h) + h).sum()
    edges: list[tuple[str, int, str, list[float]]] = []
    totals: dict[str, list[float]] = {}

    def label(node: Node) -> str:
        return node.op.name if node.op is not None else node.name or "leaf"

    def on_edge(consumer: Node, i: int, producer: Node, g: tr.Tensor | None) -> None:
        assert g is not None
        edges.append((label(consumer), i, label(producer), g.tolist()))

    def on_node(node: Node, total: tr.Tensor) -> None:
        totals[f"{label(node)}{node.shape}"] = total.tolist()

    backward(y, on_edge=on_edge, on_node=on_node)
    ones = [1.0, 1.0]
    assert sorted(edges) == sorted(
        [
            ("sum", 0, "add", ones),
            ("add", 0, "add", ones),
            ("add", 1, "mul", ones),
            ("add", 0, "mul", ones),
            ("add", 1, "relu", ones),
            ("relu", 0, "mul", ones),
            ("mul", 0, "x", [9.0, 9.0]),
        ]
    )
    assert totals["mul(2,)"] == [3.0, 3.0]
    assert totals["x(2,)"] == [9.0, 9.0]
    assert grad_of(x) == [9.0, 9.0]


def test_cotangents_given_to_an_observer_are_never_changed_afterwards() -> None:
    x = leaf(np.ones(8))
    kept: list[tuple[tr.Tensor, list[float]]] = []

    def on_edge(consumer: Node, i: int, producer: Node, g: tr.Tensor | None) -> None:
        assert g is not None
        kept.append((g, g.tolist()))

    h = x * 2.0
    backward((h + h * 3.0 + h * 5.0 + h * 7.0).sum(), on_edge=on_edge)
    for g, then in kept:
        assert g.tolist() == then
    assert grad_of(x) == [32.0] * 8


def test_an_observer_does_not_change_a_bit() -> None:
    w = np.random.default_rng(0).normal(size=(16, 16))
    gradients = []
    for observer in (None, lambda *_: None):
        x = leaf(w)
        h = tr.tanh(x)
        for _ in range(4):
            h = h + tr.relu(h @ x) * 0.1
        backward((h * h).mean(), on_edge=observer)
        assert x.grad is not None
        gradients.append(x.grad.numpy().tobytes())
    assert gradients[0] == gradients[1]


def test_a_zero_gradient_by_definition_is_an_edge_without_cotangent() -> None:
    x = leaf([1.0, -1.0])
    seen = []
    backward((tr.sign(x) * x).sum(), on_edge=lambda c, i, p, g: seen.append((c.op.name, g is None)))
    assert ("sign", True) in seen
    assert grad_of(x) == [1.0, -1.0]


@pytest.mark.parametrize("function", [tr.sign, tr.round, tr.floor, tr.ceil, lambda x: x // 2])
def test_a_leaf_that_only_steps_lead_from_gets_zeros(function: Callable[..., tr.Tensor]) -> None:
    x, captured = leaf([1.5, -1.5]), leaf([1.5, -1.5])
    function(x).sum().backward()
    tr.capture(lambda: function(captured).sum().backward())()
    assert grad_of(x) == grad_of(captured) == [0.0, 0.0]


# Freeing


def test_a_second_backward_says_how_to_keep_the_graph() -> None:
    x = leaf([3.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(
        GradientError, match=r"was freed by an earlier backward\(\); call backward\(retain_graph=True\)"
    ):
        y.backward()
    assert grad_of(x) == [6.0], "nothing may be half-changed"


def test_a_graph_that_grew_on_a_freed_one_is_an_error() -> None:
    x = leaf([3.0])
    h = x * x
    h.sum().backward()
    with pytest.raises(GradientError, match="freed by an earlier backward"):
        (h * 2.0).sum().backward()


def test_a_loss_can_be_summed_up_after_its_backward() -> None:
    x, total = leaf([3.0]), tr.tensor(0.0)
    for _ in range(3):
        loss = (x * x).sum()
        loss.backward()
        total = total + loss * 0.5
    assert total.item() == 13.5


def test_retain_graph_allows_another_pass() -> None:
    x = leaf([3.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert grad_of(x) == [12.0]


def test_backward_frees_values_as_it_goes() -> None:
    x = leaf(np.ones(4))
    h = x * 2.0
    watched = weakref.ref(h.buffer)
    y = (h * 3.0).sum()
    del h
    gc.collect()
    assert watched() is not None, "the tape holds what backward needs"
    y.backward()
    assert watched() is None, "backward frees it, without the garbage collector"


def test_no_cycles_keep_a_graph_alive() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(np.ones(4))
        y = tr.tanh(x * 2.0).sum()
        watched = weakref.ref(y.node)
        del y
        assert watched() is None
    finally:
        gc.enable()


# Versions


def test_a_saved_value_that_was_changed_in_place_is_an_error_that_names_it() -> None:
    w = tr.Parameter([2.0], "block3/dense/kernel")
    y = (w * w).sum()
    w.assign([5.0])
    with pytest.raises(GradientError, match=r"block3/dense/kernel \(shape \(1,\)\).*\[mul\].*run forward again"):
        y.backward()


def test_a_value_that_was_not_saved_may_change() -> None:
    w = tr.Parameter([2.0], "bias")
    y = (w + 1.0).sum()
    w.assign([5.0])
    y.backward()
    assert grad_of(w) == [1.0]


# Modes and scopes


def test_no_grad_records_nothing_and_ends_with_its_block() -> None:
    x = leaf([1.0])
    with tr.no_grad():
        y = x * 2.0
        with tr.enable_grad():
            z = x * 2.0
        assert not tr.is_grad_enabled()
    assert tr.is_grad_enabled()
    assert (y.requires_grad, y.node, z.requires_grad) == (False, None, True)

    @tr.no_grad()
    def evaluate() -> tr.Tensor:
        return x * 3.0

    assert not evaluate().requires_grad
    with pytest.raises(ZeroDivisionError), tr.no_grad():
        raise ZeroDivisionError
    assert tr.is_grad_enabled()


def test_modes_are_thread_local() -> None:
    seen = []
    with tr.no_grad(), tr.name_scope("outer"):
        thread = threading.Thread(target=lambda: seen.append((tr.is_grad_enabled(), tr.current_scope())))
        thread.start()
        thread.join()
    assert seen == [(True, "")]


def test_a_no_grad_decorator_is_per_thread() -> None:
    first_inside, second_inside = threading.Event(), threading.Event()
    seen: list[bool] = []

    @tr.no_grad()
    def shared(first: bool) -> None:
        (first_inside if first else second_inside).set()
        assert (second_inside if first else first_inside).wait(10)
        if not first:
            other.join()

    def run_first() -> None:
        with tr.enable_grad():
            shared(True)
            seen.append(tr.is_grad_enabled())

    other = threading.Thread(target=run_first)
    with tr.no_grad():
        other.start()
        shared(False)
        seen.append(tr.is_grad_enabled())
    assert seen == [True, False]
    assert tr.is_grad_enabled()


def test_detach_cuts_the_graph() -> None:
    x = leaf([3.0])
    (x * x.detach()).sum().backward()
    assert grad_of(x) == [3.0]


def test_name_scopes_nest_and_nodes_remember_them() -> None:
    x = leaf([1.0])
    with tr.name_scope("block3"):
        with tr.name_scope("branch"):
            y = x * 2.0
        assert tr.current_scope() == "block3"
    assert tr.current_scope() == ""
    assert y.node is not None and y.node.scope is not None
    assert (y.node.scope.path, y.node.label()) == ("block3/branch", "block3/branch/mul")
    for bad in ("", "/a", "a/", 3):
        with pytest.raises(ArgumentError, match=r"\[name_scope\] a name is a non-empty string"), tr.name_scope(bad):
            pass


def test_a_node_knows_the_line_that_made_it() -> None:
    y = leaf([1.0]) * 2.0
    assert y.node is not None and y.node.source is not None
    file, line = y.node.source
    assert file == __file__
    with open(__file__) as source:
        assert "y = leaf([1.0]) * 2.0" in source.readlines()[line - 1]


@pytest.mark.slow
def test_a_chain_of_100_000_nodes() -> None:
    x = leaf([0.5])
    y = x
    for _ in range(100_000):
        y = -y
    y.sum().backward()
    assert grad_of(x) == [1.0]
    assert repr(y).startswith("Tensor([0.5]")
    del y
