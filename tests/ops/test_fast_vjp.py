"""Where an op has two rules for its gradient, the fast one by kernels and the one made of ops say the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from op_cases import CASES, Case, Shape

import tinyres as tr
from tinyres import kernels, ops
from tinyres.engine.backward import propagate, reachable
from tinyres.engine.op import OPS
from tinyres.engine.tensor import node_of
from tinyres.launch import DryRecorder, recording

FAST = {op.name for op in OPS.values() if op.fast_vjp is not None}
WITH_A_FAST_RULE = [
    pytest.param(case, shapes, id=f"{case.op}-{i}-{shapes}")
    for i, case in enumerate(case for case in CASES if case.op in FAST)
    for shapes in (*case.shapes, *([case.bench] if case.bench else []))
]


def gradients(case: Case, shapes: tuple[Shape, ...], needs: tuple[bool, ...], dtype: str, recorded: bool) -> list:
    arrays = case.inputs(shapes, dtype)
    inputs = [tr.tensor(a, requires_grad=n, dtype=a.dtype) for a, n in zip(arrays, needs)]
    y = case.run(*inputs)
    assert y.node is not None
    seed = tr.tensor(np.random.default_rng(0).normal(size=y.shape), dtype=dtype)
    targets = {node_of(x) for x in inputs if x.requires_grad}
    found = propagate(y.node, reachable(y.node), create_graph=recorded, targets=targets, seed=seed)
    return [found[node_of(x)].numpy() for x in inputs if x.requires_grad]


def test_the_ops_that_have_one() -> None:
    assert {"dense", "dense_without_bias", "batchnorm", "softmax_cross_entropy"} <= FAST


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("case", "shapes"), WITH_A_FAST_RULE)
def test_the_fast_rule_says_what_the_other_says(case: Case, shapes: tuple[Shape, ...], dtype: str) -> None:
    tolerance = 1e-11 if dtype == "float64" else 3e-5
    for needs in itertools.product((False, True), repeat=len(shapes)):
        if any(needs):
            fast = gradients(case, shapes, needs, dtype, recorded=False)
            recorded = gradients(case, shapes, needs, dtype, recorded=True)
            for a, b in zip(fast, recorded, strict=True):
                scale = np.abs(b).max(initial=1e-3)
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=str(needs))


def test_a_recorded_gradient_computes_only_what_is_needed() -> None:
    """Of batchnorm's three gradients the one for beta is a sum over the rows and nothing else."""
    x, beta = tr.tensor(np.ones((4, 3))), tr.tensor(np.zeros(3), requires_grad=True)
    y = tr.batchnorm(x, None, beta)[0].sum()
    seen = Launches()
    with recording(seen):
        tr.grad(y, [beta], create_graph=True)
    assert kernels.sqrt not in seen.kernels and kernels.mul not in seen.kernels


class Launches(DryRecorder):
    """Notes which kernels would run."""

    def __init__(self) -> None:
        super().__init__("")
        self.kernels: list[object] = []

    def record(self, call: tuple) -> None:
        self.kernels.append(call[0])


STATISTICS = {
    "y": lambda y, mean, variance: y,
    "mean": lambda y, mean, variance: mean,
    "variance": lambda y, mean, variance: variance,
    "both statistics": lambda y, mean, variance: mean * variance,
    "y and variance": lambda y, mean, variance: y * variance,
    "all": lambda y, mean, variance: tr.tanh(y) * mean + variance,
}


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4)])
@pytest.mark.parametrize("combine", STATISTICS.values(), ids=STATISTICS)
def test_gradients_flow_through_the_statistics_of_batchnorm(combine: object, shape: Shape) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape), rng.uniform(0.5, 1.5, shape[-1:]), rng.normal(size=shape[-1:])]
    assert tr.gradcheck(
        lambda *inputs: combine(*tr.batchnorm(*inputs)),  # type: ignore[operator]
        arrays,
        directional=True,
        second_order=True,
    )
    assert tr.gradcheck(lambda *inputs: combine(*tr.batchnorm(*inputs)), arrays)  # type: ignore[operator]


def test_the_statistics_have_the_gradients_of_mean_and_var() -> None:
    values = np.random.default_rng(0).normal(size=(6, 2))
    x, same = tr.tensor(values, requires_grad=True), tr.tensor(values, requires_grad=True)
    _, mean, variance = tr.batchnorm(x)
    (mean * 2.0 + variance * variance).sum().backward()
    (same.mean(0) * 2.0 + same.var(0) * same.var(0)).sum().backward()
    assert x.grad is not None and same.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), same.grad.numpy(), rtol=1e-5)


def test_batchnorm_of_a_symbolic_tensor_says_what_to_use() -> None:
    with pytest.raises(tr.errors.DTypeError, match=r"\[batchnorm\] takes Tensors; got Symbolic; use layers.BatchNorm"):
        ops.batchnorm(tr.Input(shape=(3,)))
