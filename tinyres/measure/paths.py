"""The path-length spectrum: how much of a gradient passed exactly k residual branches, exactly.

One cotangent per length goes back through the ordinary VJPs, which are linear in it: over a branch edge the length
grows by one, over every other edge it stays. Veit, Wilber, Belongie, "Residual networks behave like ensembles of
relatively shallow networks" (2016), sampled such paths; here all of them are summed, and the parts sum to the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.backward import Further, propagate, pull_back, unit_cotangent
from tinyres.engine.node import FurtherOutput, Node
from tinyres.engine.op import apply
from tinyres.engine.primitives import ADD, add_in_place, sum_to
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor
from tinyres.launch import launch
from tinyres.measure.sheet import Sheet
from tinyres.measure.tape import Tape
from tinyres.structure.structure import Structure
from tinyres.trace.spectrum import Spectrum

Lengths = dict[int, Tensor]


def path_spectrum(root: Node, tape: Tape, structure: Structure, unit: int) -> Spectrum:
    """The spectrum of the gradient at one unit of a tape of this structure."""
    target = tape.units[unit]
    order = _leading_to(target, tape.order)
    whole = propagate(root, order, retain_graph=True, targets={target}).get(target)
    with no_grad():
        parts = _by_length(root, order, target, _Branches(tape, structure))
    longest = max(parts, default=0)
    if whole is None:
        return Spectrum(tape.names[unit], (None,) * (longest + 1), (0.0,) * (longest + 1), 0.0)
    return _measured(tape.names[unit], whole, parts, longest)


class _Branches:
    """How much an edge between ops adds to the length of a path."""

    def __init__(self, tape: Tape, structure: Structure) -> None:
        self._owner = tape.owner
        self._branches = structure.branch_edges()

    def added(self, producer: Node, consumer: Node) -> int:
        return int((self._owner.get(producer), self._owner[consumer]) in self._branches)


def _leading_to(target: Node, order: list[Node]) -> list[Node]:
    leading = {target}
    kept = []
    for node in reversed(order):
        if node is target or any(n in leading for n in node.inputs):
            leading.add(node)
            kept.append(node)
    return kept[::-1]


def _by_length(root: Node, order: list[Node], target: Node, branches: _Branches) -> Lengths:
    included = set(order)
    arrived: dict[Node, Lengths] = {root: {0: unit_cotangent(root)}}
    further: dict[int, Further] = {}  # by length
    owned: dict[Node, set[int]] = {}
    for node in order:
        lengths = arrived.pop(node, {})
        if node is target:
            return lengths
        needs = tuple([n in included for n in node.inputs])
        steps = [branches.added(n, node) if needs[i] else 0 for i, n in enumerate(node.inputs)]
        for length in sorted({*lengths, *[k for k, parts in further.items() if node in parts]}):
            g = lengths.get(length)
            for_outputs = further.setdefault(length + (steps[0] if type(node) is FurtherOutput else 0), {})
            for i, cotangent in enumerate(pull_back(node, g, needs, for_outputs)):
                if needs[i] and cotangent is not None:
                    _add(arrived, owned, node.inputs[i], length + steps[i], cotangent)
    return {}


def _add(
    arrived: dict[Node, Lengths], owned: dict[Node, set[int]], producer: Node, length: int, cotangent: Tensor
) -> None:
    """Sum out of place the first time, since a VJP may hand the same array to several inputs; then into that sum."""
    if cotangent.shape != producer.shape:
        cotangent = sum_to(cotangent, producer.shape)
    lengths = arrived.setdefault(producer, {})
    before = lengths.get(length)
    if before is None:
        lengths[length] = cotangent
    elif length in owned.get(producer, ()):
        add_in_place(before, cotangent)
    else:
        lengths[length] = apply(ADD, (before, cotangent))
        owned.setdefault(producer, set()).add(length)


def _measured(name: str, whole: Tensor, parts: Lengths, longest: int) -> Spectrum:
    sheet = Sheet()
    n = whole.size
    rows = {k: (sheet.statistics(g.buffer, n), sheet.dot(g.buffer, whole.buffer, n)) for k, g in parts.items()}
    square = sheet.dot(whole.buffer, whole.buffer, n)
    left = sheet.statistics(_rest(whole, parts.values()), n)
    statistics, dots = sheet.read()
    norm = dots[square] ** 0.5
    lengths = range(longest + 1)
    return Spectrum(
        at=name,
        shares=tuple(None if norm == 0 else dots[rows[k][1]] / dots[square] if k in rows else 0.0 for k in lengths),
        norms=tuple(statistics[rows[k][0]].norm if k in rows else 0.0 for k in lengths),
        error=statistics[left].norm / norm if norm != 0 else statistics[left].norm,
    )


def _rest(whole: Tensor, parts: Iterable[Tensor]) -> Buffer:
    """g − Σ g_k."""
    rest, left = Buffer(whole.size, whole.dtype), whole.buffer
    for part in parts:
        launch(kernels.sub, (rest,), (left, part.buffer), (1, whole.size))
        left = rest
    return left
