"""gradcheck: does the gradient that backward computes agree with central differences?

In float64, hence on the reference backend: it judges the VJPs, not the rounding of kernels. When they disagree, every
op of the graph is checked on its own, so that the error names the one whose VJP is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyres.engine.backward import propagate, pull_back, reachable
from tinyres.engine.node import FurtherOutput, Node
from tinyres.engine.op import apply, outputs_of
from tinyres.engine.state import enable_grad, no_grad
from tinyres.engine.tensor import FLOATS, Tensor, node_of, tensor
from tinyres.errors import ArgumentError, DTypeError, GradientError
from tinyres.kernels.dtypes import FLOAT64

Function = Callable[..., Tensor]

BLAME_TOLERANCE = 1e-4


def gradcheck(
    fn: Function,
    inputs: Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    directional: bool = False,
    second_order: bool = False,
) -> bool:
    """True if the gradient of fn agrees with central differences; GradientError names op, input, index and both values.

    fn(*inputs): Tensors to one Tensor of any shape; it must be deterministic, and smooth within eps of the inputs.
    inputs: a list of arrays or Tensors, or a single one; floats are cast to float64 and checked, integers and bools
    passed on as they are.
    eps: half the distance of a difference. atol, rtol: |analytic - numeric| may be atol + rtol · |numeric|.
    directional: one difference along a random direction instead of one per element.
    second_order: check the gradient as it is recorded (`vjp` where an op has a `fast_vjp` too), and its own gradient.

    >>> import tinyres as tr
    >>> tr.gradcheck(tr.tanh, [[0.5, -1.0]], second_order=True)
    True
    """
    values = [_value(x) for x in ([inputs] if isinstance(inputs, (Tensor, np.ndarray)) else inputs)]
    if not any(v.dtype == FLOAT64 for v in values):
        raise ArgumentError(f"[gradcheck] needs at least one float input; got {len(values)} without one; pass floats")
    check = _Check(fn, getattr(fn, "__name__", type(fn).__name__), eps, atol, rtol)
    compare = check.along_one_direction if directional else check.element_by_element
    compare(values)
    if second_order:
        check.recorded = True
        check.along_one_direction(values)
        cotangent = check.cotangent(values)
        for i, value in enumerate(values):
            if value.dtype == FLOAT64:
                gradient = _Check(_gradient_of(fn, i), f"the gradient of {check.name} for input {i}", eps, atol, rtol)
                (gradient.along_one_direction if directional else gradient.element_by_element)([*values, cotangent])
    return True


def _value(x: Any) -> np.ndarray:
    array = x.numpy() if isinstance(x, Tensor) else np.asarray(x)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _gradient_of(fn: Function, i: int) -> Function:
    """(inputs, cotangent) -> the gradient of input i, which can be differentiated again."""

    def gradient(*arguments: Tensor) -> Tensor:
        *inputs, cotangent = arguments
        out = fn(*inputs)
        x = inputs[i]
        if out.node is not None and out.requires_grad:
            target = node_of(x)
            found = propagate(
                out.node,
                reachable(out.node),
                retain_graph=True,
                create_graph=True,
                targets={target},
                seed=cotangent,
            )
            if target in found:
                return found[target]
        return tensor(np.zeros(x.shape), dtype=FLOAT64)

    return gradient


class _Check:
    """One function under test, with its tolerances. recorded: check the gradient that can be differentiated again."""

    def __init__(self, fn: Function, name: str, eps: float, atol: float, rtol: float) -> None:
        self.fn = fn
        self.name = name
        self.eps = eps
        self.atol = atol
        self.rtol = rtol
        self.recorded = False

    def run(self, values: Sequence[np.ndarray]) -> tuple[list[Tensor], Tensor]:
        inputs = [tensor(v, v.dtype == FLOAT64, v.dtype) for v in values]
        with enable_grad():
            out = self.fn(*inputs)
        if not isinstance(out, Tensor) or out.dtype is not FLOAT64:
            got = f"a {out.dtype} Tensor" if isinstance(out, Tensor) else type(out).__name__
            raise DTypeError(f"[gradcheck] {self.name} must return a float64 Tensor for float64 inputs; got {got}")
        return inputs, out

    def cotangent(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """The weights of the output's elements: 1 for a single one, else random, so that no errors can cancel."""
        _, out = self.run(values)
        if out.size == 1:
            return np.ones(out.shape)
        random = np.random.default_rng(0)
        return random.uniform(0.5, 1.5, out.shape) * random.choice([-1, 1], out.shape)

    def analytic(self, values: Sequence[np.ndarray], cotangent: np.ndarray) -> tuple[list[np.ndarray], Tensor]:
        inputs, out = self.run(values)
        gradients = [np.zeros(v.shape) for v in values]
        if out.node is not None and out.requires_grad:
            nodes = {node_of(x): i for i, x in enumerate(inputs) if x.requires_grad}
            order = reachable(out.node)
            seed = tensor(cotangent, dtype=FLOAT64)
            found = propagate(
                out.node, order, retain_graph=True, create_graph=self.recorded, targets=set(nodes), seed=seed
            )
            for node, total in found.items():
                gradients[nodes[node]] = total.numpy()
        return gradients, out

    def numeric(self, values: Sequence[np.ndarray], steps: Sequence[np.ndarray], cotangent: np.ndarray) -> float:
        """The derivative of <cotangent, fn> along `steps`."""
        ahead = self.run([v + s if v.dtype == FLOAT64 else v for v, s in zip(values, steps)])[1].numpy()
        behind = self.run([v - s if v.dtype == FLOAT64 else v for v, s in zip(values, steps)])[1].numpy()
        return float(np.sum(cotangent * (ahead - behind)) / (2 * self.eps))

    def element_by_element(self, values: Sequence[np.ndarray]) -> None:
        cotangent = self.cotangent(values)
        gradients, out = self.analytic(values, cotangent)
        self._require_determinism(values, out)
        steps = [np.zeros(v.shape) for v in values]
        for i, value in enumerate(values):
            if value.dtype != FLOAT64:
                continue
            for index in np.ndindex(value.shape):
                steps[i][index] = self.eps
                numeric = self.numeric(values, steps, cotangent)
                steps[i][index] = 0.0
                self._compare(float(gradients[i][index]), numeric, f"input {i} at {index}", out)

    def along_one_direction(self, values: Sequence[np.ndarray]) -> None:
        cotangent = self.cotangent(values)
        gradients, out = self.analytic(values, cotangent)
        self._require_determinism(values, out)
        random = np.random.default_rng(1)
        directions = [random.standard_normal(v.shape) * (v.dtype == FLOAT64) for v in values]
        analytic = float(sum(np.sum(g * d) for g, d in zip(gradients, directions)))
        numeric = self.numeric(values, [self.eps * d for d in directions], cotangent)
        self._compare(analytic, numeric, "all inputs along one direction", out)

    def _require_determinism(self, values: Sequence[np.ndarray], out: Tensor) -> None:
        if not np.array_equal(self.run(values)[1].numpy(), out.numpy(), equal_nan=True):
            raise GradientError(
                f"[gradcheck] {self.name} must give the same output for the same inputs; got two different ones of "
                f"shape {out.shape}; seed what is random inside it"
            )

    def _compare(self, analytic: float, numeric: float, where: str, out: Tensor) -> None:
        if not abs(analytic - numeric) <= self.atol + self.rtol * abs(numeric):
            raise GradientError(
                f"[gradcheck] the gradient of {self.name} is wrong for {where}: backward gives {analytic:.9g}, central "
                f"differences {numeric:.9g}; {_blame(out, self.eps)}"
            )


def _blame(out: Tensor, eps: float) -> str:
    """Which op's VJP disagrees with its own forward; checked one by one, in the order in which they ran."""
    if out.node is None:
        return f"nothing recorded computes its output of shape {out.shape}"
    for node in reversed(reachable(out.node)):
        if node.op is None or node.op.view or type(node) is FurtherOutput:
            continue
        if _disagrees(node, eps, False) or _disagrees(node, eps, True):
            return f"correct the VJP of op [{node.op.name}], or keep its inputs further than eps from a kink"
    return "the VJP of each op is right on its own: look for a .numpy() or .detach() inside"


def _disagrees(node: Node, eps: float, create_graph: bool) -> bool:
    op = node.op
    assert op is not None and op.vjp is not None
    values = [n.buffer.array.reshape(n.shape).copy() for n in node.inputs]
    random = np.random.default_rng(3)
    directions = [random.standard_normal(v.shape) if n.dtype in FLOATS else None for v, n in zip(values, node.inputs)]

    def outputs(sign: float) -> list[np.ndarray]:
        moved = [v if d is None else v + sign * eps * d for v, d in zip(values, directions)]
        tensors = tuple([tensor(v, dtype=n.dtype) for v, n in zip(moved, node.inputs)])
        return [t.numpy() for t in outputs_of(apply(op, tensors, *node.attrs))]

    with no_grad():
        ahead, behind = outputs(1.0), outputs(-1.0)
        cotangents = [
            tensor(random.standard_normal(a.shape), dtype=a.dtype) if a.dtype in FLOATS else None for a in ahead
        ]
        needs = tuple([n.dtype in FLOATS for n in node.inputs])
        gradients = pull_back(node, cotangents[0], needs, {node: cotangents[1:]}, create_graph)
    pairs = [(c.numpy(), a - b) for c, a, b in zip(cotangents, ahead, behind) if c is not None]
    numeric = sum(float(np.sum(c * difference)) for c, difference in pairs) / (2 * eps)
    analytic = sum(_inner(g, d) for g, d in zip(gradients, directions) if g is not None and d is not None)
    return not abs(analytic - numeric) <= BLAME_TOLERANCE * (1.0 + abs(numeric))


def _inner(gradient: Tensor, direction: np.ndarray) -> float:
    """<gradient, direction>, where a gradient may still have the broadcast shape of the output."""
    return float(np.sum(gradient.numpy() * direction))
