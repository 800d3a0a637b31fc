"""The full audit: does each VJP fit its own forward?

At every op with inputs x and output y the *local adjoint identity* must hold for any cotangent ḡ and tangents ẋ:
⟨ḡ, ẏ⟩ = Σᵢ ⟨vjpᵢ(ḡ), ẋᵢ⟩. Each op runs once more at the values it met on the tape, in float64 on the reference backend,
and ẏ is the central difference of two more runs with its inputs moved by ±ε. The moves are local: in a deep net those
of a whole forward would grow with depth until they are no differences any more.

Where the three runs show a kink in an element of y (a ReLU at 0), its ḡ is 0. An op that fails is tested again with a
smaller ε and other directions, so that curvature raises no false alarm, and then input by input, to name the edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tinyres.backends.buffers import from_array
from tinyres.engine.backward import pull_back
from tinyres.engine.node import ConstantLeaf, FurtherOutput, Node
from tinyres.engine.op import Op, apply, output_dtypes, outputs_of
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.kernels.dtypes import FLOAT64
from tinyres.trace.nodes import Failure

_STEPS = (1e-6, 1e-7)
_TOLERANCE = 1e-5
_ROUNDING = 1e-12  # of float64 kernels, relative to the largest value; a difference divides it by the step
_KINK = 1e-3
_NOTHING = 1e-100  # so little that a softmax which is sure of its class leaves it out
_SEED = 0


def check_adjoints(nodes: Iterable[Node], label: Callable[[Node], str]) -> list[Failure]:
    """The ops among `nodes` whose VJP does not fit their forward, by what `label` calls them.

    Runs ops and records them: call it where that leaves no mark.
    """
    rng = np.random.default_rng(_SEED)
    failures = []
    for node in nodes:
        if node.op is None or type(node) is FurtherOutput:
            continue
        if fixes_precision(node):
            failures += _check_cast(node, label, rng) if len(node.inputs) == 1 else []
            continue
        moving = [i for i, n in enumerate(node.inputs) if n.dtype in FLOATS and type(n) is not ConstantLeaf]
        probe = _Probe(node, rng)
        if all(probe.fails(moving, step) for step in _STEPS):
            for i in moving:
                if len(moving) == 1 or probe.fails([i], _STEPS[0]):
                    edge = label(node.inputs[i]), label(node)
                    failures.append(Failure(edge[1], edge, _problem(node.op, i, probe.sides), probe.error))
    return failures


def summed_to(part: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """A gradient without the axes that its input was broadcast along, flat; not by the engine, which is on trial."""
    array = part.numpy()
    lead = array.ndim - len(shape)
    stretched = [lead + i for i, n in enumerate(shape) if n != array.shape[lead + i]]
    return np.asarray(array.sum(axis=(*range(lead), *stretched))).reshape(-1)


def fixes_precision(node: Node) -> bool:
    """Whether an op gives a float type of its own whatever goes in: there is no run of it in float64."""
    if node.op is None or node.op.dtype is None or node.inputs[0].dtype not in FLOATS:
        return False
    dtypes = output_dtypes(node.op, [as_float64(n) for n in node.inputs], node.attrs)
    return any(d in FLOATS and (d is not FLOAT64 or not callable(node.op.dtype)) for d in dtypes)


def _check_cast(node: Node, label: Callable[[Node], str], rng: np.random.Generator) -> list[Failure]:
    """A cast between float types is, up to rounding, the identity."""
    assert node.op is not None
    cotangent, tangent = rng.normal(size=(2, node.buffer.size))
    g = Tensor(from_array(cotangent, node.dtype), node.shape, node.dtype)
    with no_grad():
        (part,) = pull_back(node, g, (True,), {})
    forward = float(cotangent @ tangent)
    backward = 0.0 if part is None else float(part.buffer.array @ tangent)
    if abs(forward - backward) <= _TOLERANCE * float(np.linalg.norm(tangent)):
        return []
    edge = label(node.inputs[0]), label(node)
    return [Failure(edge[1], edge, _problem(node.op, 0, (forward, backward)), abs(forward - backward))]


def _problem(op: Op, position: int, sides: tuple[float, float]) -> str:
    forward, backward = sides
    return (
        f"the VJP of [{op.name}] for input {position} does not fit its forward: "
        f"<g, dy> = {forward:.6g} by differences, <vjp(g), dx> = {backward:.6g}"
    )


class _Probe:
    """One op at the values it met. sides, error: of the identity that was tested last."""

    def __init__(self, node: Node, rng: np.random.Generator) -> None:
        self._op, self._attrs, self._rng = node.op, node.attrs, rng
        self._inputs = [as_float64(n) for n in node.inputs]
        assert node.op is not None
        self._outputs = outputs_of(apply(node.op, tuple(self._inputs), *node.attrs))
        self.sides = (0.0, 0.0)
        self.error = 0.0

    def fails(self, moving: list[int], step: float) -> bool:
        """Whether the identity is broken when these inputs move, in a new direction."""
        tangents = {i: self._tangent(self._inputs[i]) for i in moving}
        middle = _values(self._outputs)
        with np.errstate(all="ignore"), no_grad():
            high, low = self._moved(tangents, step), self._moved(tangents, -step)
            values = [middle, high, low, *(self._inputs[i].buffer.array for i in moving)]
            if not all(np.isfinite(v).all() for v in values):
                return False
            difference = high - low
            kinks = np.abs(high - 2 * middle + low) > _KINK * np.abs(difference)
            cotangent = np.where(kinks, 0.0, self._rng.normal(size=middle.size))
            slope = np.where(kinks, 0.0, difference / (2 * step))
            forward = float(cotangent @ slope)
            backward, scale = self._pulled_back(cotangent, tangents)
        scale += float(np.linalg.norm(slope))
        rounding = _ROUNDING / step * float(np.linalg.norm(middle))
        self.sides = forward, backward
        self.error = abs(forward - backward)
        return not self.error <= _TOLERANCE * scale + rounding + _NOTHING

    def _tangent(self, x: Tensor) -> np.ndarray:
        """A random direction of the size of x."""
        size = float(np.sqrt(np.mean(np.square(x.buffer.array)))) if x.size else 0.0
        return self._rng.normal(size=x.size) * (size if 0 < size < np.inf else 1.0)

    def _moved(self, tangents: dict[int, np.ndarray], step: float) -> np.ndarray:
        inputs = list(self._inputs)
        for i, tangent in tangents.items():
            x = inputs[i]
            inputs[i] = Tensor(from_array(x.buffer.array + step * tangent, FLOAT64), x.shape, FLOAT64)
        assert self._op is not None
        return _values(outputs_of(apply(self._op, tuple(inputs), *self._attrs)))

    def _pulled_back(self, cotangent: np.ndarray, tangents: dict[int, np.ndarray]) -> tuple[float, float]:
        """Σ ⟨vjp(ḡ), ẋ⟩ over the moving inputs, and the size of what is summed."""
        node = self._outputs[0].node
        assert node is not None
        needs = tuple(i in tangents for i in range(len(self._inputs)))
        cotangents: list[Tensor | None] = []
        for y in self._outputs:
            own, cotangent = np.split(cotangent, [y.size if y.dtype in FLOATS else 0])
            cotangents.append(Tensor(from_array(own, FLOAT64), y.shape, FLOAT64) if y.dtype in FLOATS else None)
        total = scale = 0.0
        for i, part in enumerate(pull_back(node, cotangents[0], needs, {node: cotangents[1:]})):
            if needs[i] and part is not None:
                x = self._inputs[i]
                pulled = summed_to(part, x.shape)
                total += float(pulled @ tangents[i])
                scale += float(np.linalg.norm(pulled) * np.linalg.norm(tangents[i])) / max(1.0, x.size**0.5)
        return total, scale


def _values(outputs: tuple[Tensor, ...]) -> np.ndarray:
    """All float outputs as one vector."""
    return np.concatenate([y.buffer.array for y in outputs if y.dtype in FLOATS])


def as_float64(node: Node) -> Tensor:
    if node.dtype not in FLOATS:
        return Tensor(node.buffer, node.shape, node.dtype)
    return Tensor(from_array(node.buffer.array, FLOAT64), node.shape, FLOAT64)
