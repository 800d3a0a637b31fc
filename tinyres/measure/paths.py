"""The path-length spectrum: how much of a gradient passed exactly k residual branches, exactly.

One cotangent per length goes back through the ordinary VJPs, which are linear in it: over a branch edge the length
grows by one, over every other edge it stays. Apart from that it is kept which skip across a U the path took last. Veit,
Wilber, Belongie, "Residual networks behave like ensembles of relatively shallow networks" (2016), sampled such paths;
here all of them are summed, and the parts sum to the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
from tinyres.structure.ways import NONE, START, Steps, Way, after
from tinyres.trace.spectrum import Over, Spectrum

Ways = dict[Way, Tensor]


def path_spectrum(root: Node, tape: Tape, structure: Structure, unit: int) -> Spectrum:
    """The spectrum of the gradient at one unit of a tape of this structure."""
    target = tape.units[unit]
    order = _leading_to(target, tape.order)
    whole = propagate(root, order, retain_graph=True, targets={target}).get(target)
    steps = Steps(structure)
    names = steps.across
    with no_grad():
        ways = _by_way(root, order, target, tape.owner, steps)
        parts, over = _summed(ways, 0), _summed(ways, 1) if names else {}
    longest = max(parts, default=0)
    if whole is None:
        taken = [Over(name, None, 0.0) for name in (*names, "")] if names else []
        return Spectrum(tape.names[unit], (None,) * (longest + 1), (0.0,) * (longest + 1), 0.0, tuple(taken))
    return _measured(tape.names[unit], whole, [parts.get(k) for k in range(longest + 1)], over, names)


def _summed(ways: Ways, which: int) -> dict[int, Tensor]:
    """The parts by one of the two numbers that tell a way."""
    sums: dict[int, Tensor] = {}
    for way, part in sorted(ways.items(), key=lambda item: item[0]):
        before = sums.get(way[which])
        sums[way[which]] = part if before is None else apply(ADD, (before, part))
    return sums


def _leading_to(target: Node, order: list[Node]) -> list[Node]:
    leading = {target}
    kept = []
    for node in reversed(order):
        if node is target or any(n in leading for n in node.inputs):
            leading.add(node)
            kept.append(node)
    return kept[::-1]


def _by_way(root: Node, order: list[Node], target: Node, owner: Mapping[Node, int], steps_of: Steps) -> Ways:
    included = set(order)
    arrived: dict[Node, Ways] = {root: {START: unit_cotangent(root)}}
    further: dict[Way, Further] = {}
    owned: dict[Node, set[Way]] = {}
    for node in order:
        ways = arrived.pop(node, {})
        if node is target:
            return ways
        needs = tuple([n in included for n in node.inputs])
        steps = [steps_of.over(owner.get(n), owner[node]) if needs[i] else START for i, n in enumerate(node.inputs)]
        for way in sorted({*ways, *[known for known, parts in further.items() if node in parts]}):
            g = ways.get(way)
            for_outputs = further.setdefault(after(way, steps[0]) if type(node) is FurtherOutput else way, {})
            for i, cotangent in enumerate(pull_back(node, g, needs, for_outputs)):
                if needs[i] and cotangent is not None:
                    _add(arrived, owned, node.inputs[i], after(way, steps[i]), cotangent)
    return {}


def _add(arrived: dict[Node, Ways], owned: dict[Node, set[Way]], producer: Node, way: Way, cotangent: Tensor) -> None:
    """Sum out of place the first time, since a VJP may hand the same array to several inputs; then into that sum."""
    if cotangent.shape != producer.shape:
        cotangent = sum_to(cotangent, producer.shape)
    ways = arrived.setdefault(producer, {})
    before = ways.get(way)
    if before is None:
        ways[way] = cotangent
    elif way in owned.get(producer, ()):
        add_in_place(before, cotangent)
    else:
        ways[way] = apply(ADD, (before, cotangent))
        owned.setdefault(producer, set()).add(way)


def _measured(
    name: str, whole: Tensor, parts: Sequence[Tensor | None], over: Mapping[int, Tensor], names: Sequence[str]
) -> Spectrum:
    sheet = Sheet()
    n = whole.size
    taken = [over.get(place) for place in (*range(len(names)), NONE)] if names else []
    rows = [None if g is None else (sheet.statistics(g.buffer, n), sheet.dot(g.buffer, whole.buffer, n))
            for g in (*parts, *taken)]  # fmt: skip
    square = sheet.dot(whole.buffer, whole.buffer, n)
    left = sheet.statistics(_rest(whole, [g for g in parts if g is not None]), n)
    statistics, dots = sheet.read()
    norm = dots[square] ** 0.5
    shares = [None if norm == 0 else 0.0 if row is None else dots[row[1]] / dots[square] for row in rows]
    norms = [0.0 if row is None else statistics[row[0]].norm for row in rows]
    count = len(parts)
    return Spectrum(
        at=name,
        shares=tuple(shares[:count]),
        norms=tuple(norms[:count]),
        error=statistics[left].norm / norm if norm != 0 else statistics[left].norm,
        over=tuple(map(Over, (*names, ""), shares[count:], norms[count:])),
    )


def _rest(whole: Tensor, parts: Iterable[Tensor]) -> Buffer:
    """g − Σ g_k."""
    rest, left = Buffer(whole.size, whole.dtype), whole.buffer
    for part in parts:
        launch(kernels.sub, (rest,), (left, part.buffer), (1, whole.size))
        left = rest
    return left
