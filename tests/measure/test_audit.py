"""The audit: gradients that do not add up are found, by "full" also each VJP that is wrong; right ones are not."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from op_cases import CASES
from small_nets import Weights, residual

import tinyres as tr
from tinyres import layers
from tinyres.engine.layout import Part
from tinyres.engine.op import OPS

WITHOUT_GRADIENT = "sign max index floor ceil round floor_divide".split()
DIFFERENTIABLE = [case for case in CASES if case.differentiable]


def zeroed(gradient):
    return None


def doubled(gradient):
    return gradient * 2.0


def masked(gradient):
    """As if a mask were off by one element."""
    mask = np.ones(gradient.shape)
    mask.reshape(-1)[-1:] = 0.0
    return gradient * tr.tensor(mask, dtype=gradient.dtype)


def turned(gradient):
    """As if it had been laid out along the wrong axis."""
    return tr.tensor(np.roll(gradient.numpy().reshape(-1), 1).reshape(gradient.shape), dtype=gradient.dtype)


def summed(gradient, shape):
    """As the engine undoes a broadcast."""
    a = gradient.numpy().astype("float64")
    a = a.sum(tuple(range(a.ndim - len(shape))))
    return a.sum(tuple(i for i, n in enumerate(shape) if n != a.shape[i]), keepdims=True)


@contextlib.contextmanager
def mutated(op, spoil, seen=None):
    """While open, the first gradient of the VJP that trains is spoiled; `seen` collects by how much."""
    field = "parts" if op.parts is not None else "vjp" if op.fast_vjp is None else "fast_vjp"
    genuine = getattr(op, field)

    def vjp(g, ctx):
        gradients = [part.tensor() if isinstance(part, Part) else part for part in genuine(g, ctx)]
        for i, gradient in enumerate(gradients):
            if gradient is not None:
                gradients[i] = spoil(gradient)
                if seen is not None:
                    true = summed(gradient, ctx.shapes[i])
                    wrong = 0.0 if gradients[i] is None else summed(gradients[i], ctx.shapes[i])
                    seen.append(float(np.linalg.norm(true - wrong) / (np.linalg.norm(true) + 1e-300)))
                break
        return gradients

    object.__setattr__(op, field, vjp)
    try:
        yield
    finally:
        object.__setattr__(op, field, genuine)


def loss_of(case, shapes):
    rng = np.random.default_rng(0)
    dtype = "float64" if case.op == "cast_float32" else "float32"
    arrays = case.inputs(shapes, dtype)
    tensors = [tr.tensor(a, requires_grad=True, name=f"x{i}", dtype=dtype) for i, a in enumerate(arrays)]
    out = case.run(*tensors)
    weights = tr.tensor(rng.normal(size=out.shape), name="weights", dtype=out.dtype)
    return tr.sum(tr.reshape(out * weights, (-1,)))


@pytest.mark.slow
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda c: c.op)
def test_right_vjps_pass(case):
    for shapes in case.shapes:
        audit = tr.Graph(loss_of(case, shapes)).trace(audit="full").audit()
        assert audit.ok and audit.level == "full", [str(f) for f in audit.failures]


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [zeroed, doubled, masked, turned])
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda c: c.op)
def test_wrong_vjps_are_named(case, spoil):
    op = OPS[case.op]
    found = 0
    for shapes in case.shapes:
        seen: list[float] = []
        with mutated(op, spoil, seen):
            trace = tr.Graph(loss_of(case, shapes)).trace(level="op", audit="full")
        if not seen or not max(seen) > 1e-3:
            continue  # this spoiling leaves this gradient as it is
        failures = trace.audit().failures
        assert failures and {trace[f.node].op for f in failures} == {case.op}, [str(f) for f in failures]
        assert all(f"the VJP of [{case.op}] for input" in f.problem for f in failures)
        found += 1
    if spoil in (zeroed, doubled) and not found:
        assert case.op in WITHOUT_GRADIENT  # some of their cases have no gradient at all


def test_a_custom_vjp_that_is_wrong_is_named():
    def right(g, ctx):
        (x,) = ctx.inputs
        return (g * (1.0 - tr.square(tr.tanh(x))),)

    def wrong(g, ctx):
        (x,) = ctx.inputs
        return (g * (1.0 - tr.tanh(x)),)

    def loss_with(vjp, name):
        mine = tr.custom_vjp(tr.tanh, vjp, name)
        w = Weights()
        x = w.data(8, 4)
        with tr.name_scope("block0"):
            h = x + mine(tr.dense(x, w("kernel", 4, 4)))
        return tr.sum(tr.square(h))

    assert tr.Graph(loss_with(right, "my_tanh")).trace(audit="full").audit().ok
    trace = tr.Graph(loss_with(wrong, "my_bad_tanh")).trace(audit="full")
    (failure,) = trace.audit().failures
    assert failure.node == "block0/my_bad_tanh"
    assert failure.edge == ("block0/dense_without_bias", "block0/my_bad_tanh")
    assert failure.problem.startswith("the VJP of [my_bad_tanh] for input 0 does not fit its forward: ")
    assert "\nAUDIT FAILED in 1 place\n  block0/my_bad_tanh (edge block0/dense_without_bias" in str(trace)


def test_the_edge_of_a_wrong_vjp_is_named():
    w = Weights()
    x = w.data(8, 4)
    loss = tr.sum(tr.square(tr.matmul(x, w("kernel", 4, 4))))
    op = OPS["matmul"]
    genuine = op.vjp

    def second_is_wrong(g, ctx):
        first, second = genuine(g, ctx)
        return first, None if second is None else second * 0.5

    object.__setattr__(op, "vjp", second_is_wrong)
    try:
        (failure,) = tr.Graph(loss).trace(audit="full").audit().failures
    finally:
        object.__setattr__(op, "vjp", genuine)
    assert failure.edge == ("matmul/kernel", "matmul")


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("blocks", [1, 16, 200])
def test_no_false_alarms(blocks, scale):
    audit = tr.Graph(residual(blocks=blocks, scale=scale)[0]).trace(audit="full").audit()
    assert audit.ok, [str(f) for f in audit.failures[:3]]


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 40])
def test_no_false_alarms_with_batchnorm_dead_units_and_dropout(blocks):
    """A plain net with BatchNorm, whose gradient explodes, and inputs that sit exactly on the kink of ReLU."""
    tr.manual_seed(0)
    x = tr.tensor(np.maximum(np.random.default_rng(0).normal(size=(16, 8)), 0), name="input")
    for _ in range(blocks):
        x = tr.relu(layers.BatchNorm()(layers.Dense(8)(tr.relu(x)), training=True))
        x = layers.Dropout(0.2)(x, training=True)
    audit = tr.Graph(tr.mean(tr.square(x))).trace(audit="full").audit()
    assert audit.ok, [str(f) for f in audit.failures[:3]]


def test_a_full_audit_leaves_no_mark():
    loss, w = residual()
    loss.backward(retain_graph=True)
    before = [(p.numpy().tobytes(), p.grad.numpy().tobytes()) for p in w.made.values()]
    graph = tr.Graph(loss)
    plain, full = graph.trace(), graph.trace(audit="full")
    assert [(p.numpy().tobytes(), p.grad.numpy().tobytes()) for p in w.made.values()] == before
    assert plain.rows("edge") == full.rows("edge")


def test_values_that_are_not_finite_are_not_judged():
    x = tr.tensor([1.0, float("nan"), float("inf")], requires_grad=True, name="x")
    assert tr.Graph(tr.sum(tr.exp(x))).trace(audit="full").audit().ok


def test_audit_takes_three_values():
    with pytest.raises(tr.errors.ArgumentError, match="audit is True, False or \"full\"; got 'all'"):
        tr.Graph(residual()[0]).trace(audit="all")


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("blocks", [1, 16, 200])
def test_no_false_alarms_about_sums(blocks, scale):
    trace = tr.Graph(residual(blocks=blocks, scale=scale, seed=blocks)[0]).trace()
    assert trace.audit().ok, trace.audit().failures[:3]
    assert len(trace.blocks) == blocks


def audited(monkeypatch, spoil):
    """The failures of a trace whose engine passes `spoil(call, arguments)` instead of each call of on_edge, on_node."""
    from tinyres.measure import statistics as measure

    genuine = measure.propagate

    def propagate(root, order, **options):
        return spoil(genuine, root, order, options)

    monkeypatch.setattr(measure, "propagate", propagate)
    return tr.Graph(residual()[0]).trace().audit()


def test_the_audit_sees_a_consumer_that_is_dropped(monkeypatch):
    def spoil(genuine, root, order, options):
        on_edge = options.pop("on_edge")
        seen = []

        def dropping(consumer, i, producer, cotangent):
            if consumer.op.name == "add" and producer.op is not None and producer.op.name == "relu" and not seen:
                seen.append(producer)
                return
            on_edge(consumer, i, producer, cotangent)

        return genuine(root, order, on_edge=dropping, **options)

    audit = audited(monkeypatch, spoil)
    assert not audit.ok
    assert audit.failures[0].node == "block1/relu"
    assert audit.failures[0].edge == ("block1/relu", "block2/add")
    assert "sent nothing back" in str(audit.failures[0])


def test_the_audit_sees_a_consumer_that_is_counted_twice(monkeypatch):
    def spoil(genuine, root, order, options):
        on_edge = options.pop("on_edge")

        def doubling(consumer, i, producer, cotangent):
            on_edge(consumer, i, producer, cotangent)
            if producer.name == "input" and consumer.op.name == "add":
                on_edge(consumer, i, producer, cotangent)

        return genuine(root, order, on_edge=doubling, **options)

    audit = audited(monkeypatch, spoil)
    assert {f.node for f in audit.failures} == {"input"}
    assert any("more often" in f.problem for f in audit.failures)


def test_the_audit_sees_a_total_that_is_not_the_sum(monkeypatch):
    def spoil(genuine, root, order, options):
        on_node = options.pop("on_node")

        def wrong(node, total):
            on_node(node, total * 1.0001 if node.name == "input" else total)

        return genuine(root, order, on_node=wrong, **options)

    (failure,) = audited(monkeypatch, spoil).failures
    assert failure.node == "input" and "not the sum of its 2 edges" in failure.problem and failure.error > 0


def test_the_audit_sees_a_gradient_that_is_lost(monkeypatch):
    def spoil(genuine, root, order, options):
        on_node = options.pop("on_node")
        return genuine(root, order, on_node=lambda n, t: None if n.name == "input" else on_node(n, t), **options)

    assert {f.node for f in audited(monkeypatch, spoil).failures} == {"input"}
