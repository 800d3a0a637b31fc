"""audit="full": a VJP that is wrong in itself is found and named, in every family of ops, and right ones are not."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from op_cases import CASES
from small_nets import Weights, residual

import tinyres as tr
from tinyres import layers
from tinyres.engine.op import OPS

DIFFERENTIABLE = [case for case in CASES if case.differentiable]


def zeroed(gradient):
    return None


def doubled(gradient):
    return gradient * 2.0


def masked(gradient):
    """As if a mask were off by one element."""
    mask = np.ones(gradient.shape)
    mask.reshape(-1)[-1] = 0.0
    return gradient * tr.tensor(mask, dtype=gradient.dtype)


def turned(gradient):
    """As if it had been laid out along the wrong axis."""
    return tr.tensor(np.roll(gradient.numpy().reshape(-1), 1).reshape(gradient.shape), dtype=gradient.dtype)


@contextlib.contextmanager
def mutated(op, spoil, seen=None):
    """While open, the first gradient of this op's VJP is spoiled; `seen` collects by how much."""
    genuine = op.vjp

    def vjp(g, ctx):
        gradients = list(genuine(g, ctx))
        for i, gradient in enumerate(gradients):
            if gradient is not None:
                gradients[i] = spoil(gradient)
                if seen is not None:
                    true = gradient.numpy()
                    wrong = 0.0 if gradients[i] is None else gradients[i].numpy()
                    seen.append(float(np.linalg.norm(true - wrong) / (np.linalg.norm(true) + 1e-300)))
                break
        return gradients

    object.__setattr__(op, "vjp", vjp)
    try:
        yield
    finally:
        object.__setattr__(op, "vjp", genuine)


def loss_of(case, shapes):
    rng = np.random.default_rng(0)
    tensors = [tr.tensor(a, requires_grad=True, name=f"x{i}") for i, a in enumerate(case.inputs(shapes, "float32"))]
    out = case.run(*tensors)
    weights = tr.tensor(rng.normal(size=out.shape), name="weights")
    return tr.sum(tr.reshape(out * weights, (-1,)))


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda c: c.op)
def test_right_vjps_pass(case):
    for shapes in case.shapes:
        audit = tr.Graph(loss_of(case, shapes)).trace(audit="full").audit()
        assert audit.ok and audit.level == "full", [str(f) for f in audit.failures]


@pytest.mark.parametrize("spoil", [zeroed, doubled, masked, turned])
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda c: c.op)
def test_wrong_vjps_are_named(case, spoil):
    op = OPS[case.op]
    found = 0
    for shapes in case.shapes:
        seen = []
        with mutated(op, spoil, seen):
            trace = tr.Graph(loss_of(case, shapes)).trace(level="op", audit="full")
        if not seen or not max(seen) > 1e-3:
            continue  # this spoiling leaves this gradient as it is
        failures = trace.audit().failures
        assert failures and {trace[f.node].op for f in failures} == {case.op}, [str(f) for f in failures]
        assert all(f"the VJP of [{case.op}] for input" in f.problem for f in failures)
        found += 1
    assert found or spoil in (masked, turned)
