"""The full audit: did each VJP of this run send what it means?

A rule that is right in float64 may still go wrong in the kernels that trained. So each op's VJP runs once more in
float64 on the reference backend, at the values and at the very cotangent that it met on the tape, and is un-broadcast
by a sum of NumPy's own; beside that stands what the engine passed on.

How far the two may differ is measured, not guessed: by what the rule makes of a random cotangent of the same size, and
of inputs that are off by their own rounding (a BatchNorm of large values that hardly vary loses digits; a ReLU at 0 may
fall to either side).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from tinyres.backends.buffers import from_array
from tinyres.engine.backward import pull_back
from tinyres.engine.node import FurtherOutput, Node
from tinyres.engine.op import apply, outputs_of
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.kernels.dtypes import FLOAT32, FLOAT64
from tinyres.measure.adjoint import as_float64, fixes_precision, summed_to
from tinyres.trace.nodes import Failure

_RELATIVE = 1e-3
_ROUNDINGS = 1000  # of the dtype, relative to what the rule makes of a random cotangent
_MOVES = 2
_AMPLIFIED = 100
_SEED = 0


class Sent(NamedTuple):
    """The cotangent of one node, and what its VJP sent to its inputs, by position; copies, in the run's dtype."""

    cotangent: np.ndarray
    parts: dict[int, np.ndarray]


def check_sent(sent: Mapping[Node, Sent], label: Callable[[Node], str]) -> list[Failure]:
    """The edges over which something else came back than the VJP means in float64.

    Runs ops and records them: call it where that leaves no mark.
    """
    rng = np.random.default_rng(_SEED)
    further: dict[Node, list[tuple[int, np.ndarray]]] = {}
    for node, own in sent.items():
        if type(node) is FurtherOutput:
            further.setdefault(node.inputs[0], []).append((node.position, own.cotangent))
    failures = []
    for node, own in sent.items():
        if own.parts and type(node) is not FurtherOutput and not fixes_precision(node):
            cotangents = {0: own.cotangent, **dict(further.get(node, ()))}
            failures += _compared(node, cotangents, own.parts, label, rng)
    return failures


def _compared(
    node: Node,
    cotangents: dict[int, np.ndarray],
    parts: dict[int, np.ndarray],
    label: Callable[[Node], str],
    rng: np.random.Generator,
) -> list[Failure]:
    assert node.op is not None
    dtype = next(iter(parts.values())).dtype
    roundoff = 2.0**-24 if dtype == FLOAT32 else 2.0**-53
    inputs = [as_float64(n) for n in node.inputs]
    with np.errstate(all="ignore"):
        size = float(np.sqrt(sum(float(np.sum(np.square(c, dtype=np.float64))) for c in cotangents.values())))
        if not np.isfinite(size):
            return []
        meant = _vjp(node, inputs, cotangents, parts)
        moved = [_vjp(node, _off_by_rounding(inputs, roundoff, rng), cotangents, parts) for _ in range(_MOVES)]
        noise = {k: rng.normal(size=c.size) for k, c in cotangents.items()}
        unit = float(np.sqrt(sum(float(np.sum(np.square(c))) for c in noise.values()))) or 1.0
        spread = _vjp(node, inputs, noise, parts)
        failures = []
        for i, part in parts.items():
            error = float(np.linalg.norm(part - meant[i]))
            gain = float(np.linalg.norm(spread[i])) / unit
            shaky = max(float(np.linalg.norm(m[i] - meant[i])) for m in moved)
            flushed = float(np.finfo(dtype).tiny) * np.sqrt(part.size) * max(1.0, gain)
            whole = float(np.linalg.norm(meant[i]))
            allowed = _RELATIVE * whole + _ROUNDINGS * roundoff * gain * size + _AMPLIFIED * (shaky + flushed)
            if np.isfinite(error) and np.isfinite(allowed) and error > allowed:
                edge = label(node.inputs[i]), label(node)
                problem = (
                    f"[{node.op.name}] in {dtype} sent another gradient to input {i} than its VJP means in float64: "
                    f"|g| = {float(np.linalg.norm(part)):.6g}, meant is {whole:.6g}, off by {error:.3g}"
                )
                failures.append(Failure(edge[1], edge, problem, error))
    return failures


def _vjp(
    node: Node, inputs: list[Tensor], cotangents: dict[int, np.ndarray], wanted: Mapping[int, object]
) -> dict[int, np.ndarray]:
    """What the VJP sends to the wanted inputs, un-broadcast, in float64."""
    assert node.op is not None
    outputs = outputs_of(apply(node.op, tuple(inputs), *node.attrs))
    again = outputs[0].node
    assert again is not None
    given: list[Tensor | None] = [
        Tensor(from_array(cotangents[k].astype(np.float64), FLOAT64), y.shape, FLOAT64) if k in cotangents else None
        for k, y in enumerate(outputs)
    ]
    needs = tuple(i in wanted for i in range(len(inputs)))
    with no_grad():
        parts = pull_back(again, given[0], needs, {again: given[1:]})
    zeros = {i: np.zeros(inputs[i].size) for i in wanted}
    return {i: zeros[i] if (part := parts[i]) is None else summed_to(part, inputs[i].shape) for i in wanted}


def _off_by_rounding(inputs: list[Tensor], roundoff: float, rng: np.random.Generator) -> list[Tensor]:
    """The inputs, each element off by about as much as it may be rounded."""
    moved = []
    for x in inputs:
        if x.dtype in FLOATS:
            array = x.buffer.array * (1 + roundoff * rng.normal(size=x.size))
            moved.append(Tensor(from_array(array, FLOAT64), x.shape, FLOAT64))
        else:
            moved.append(x)
    return moved
