"""A recorded pass as a graph of units: the calls of modules and functions, their names, and who reads whom.

The calls inside one call of a module are one unit, unless it called other modules; one that users wrote is told apart
where it adds what it was given to something, for there a skip joins. Function calls outside of such modules are units
of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinyres.structure.names import unused
from tinyres.structure.shape import Shape, weights_among
from tinyres.structure.structure import Structure, structure_of
from tinyres.torch.calls import Call, Recorder, Visit, is_leaf
from tinyres.torch.facts import Ways, facts_of, fans_of
from tinyres.torch.library import torch
from tinyres.torch.vocabulary import function
from tinyres.trace.facts import Facts, Fans

Key = tuple[Any, int]  # a node of autograd and which of its outputs

LEAF, TARGET, CONSTANT = "leaf", "target", "constant"


@dataclass(slots=True, eq=False)
class Unit:
    """One node of a trace: calls of functions, or a leaf, whose tensor is kept."""

    name: str
    kind: str
    role: str = ""
    scope: str = ""
    calls: list[Call] = field(default_factory=list)
    tensor: Any = None
    facts: Facts = Facts()

    @property
    def channels_first(self) -> bool:
        """Whether channels stand on axis 1."""
        return self.calls[-1].channels_first if self.calls else self.tensor.dim() > 3


@dataclass(slots=True, eq=False)
class Weight:
    """One Parameter that the loss was computed from. node: where its gradient ends."""

    name: str
    tensor: Any
    node: Any
    trainable: bool
    fans: Fans | None = None


@dataclass(slots=True, eq=False)
class Tape:
    """units: in graph order. order: the nodes of autograd that gradients pass. place: by such node its unit or, of a
    Parameter, the number of its weight behind all units.

    edges: (producer, consumer) -> how often it is read; weight_edges: likewise by the number of the weight.
    """

    units: list[Unit]
    weights: list[Weight]
    place: dict[Any, int]
    edges: dict[tuple[int, int], int]
    weight_edges: dict[tuple[int, int], int]
    order: list[Any]
    structure: Structure

    @property
    def notes(self) -> list[str]:
        """What could not be looked into."""
        found = [(u.name, what) for u in self.units for what in {function(c.name).opaque for c in u.calls} if what]
        return [f"{name} is {what}: it is one node, what happens inside it is not seen." for name, what in found]

    def name(self, place: int) -> str:
        """What is at a place, that of a unit or behind them that of a weight."""
        count = len(self.units)
        return self.units[place].name if place < count else self.weights[place - count].name


def read_tape(
    root: Any, recorder: Recorder, parameters: Mapping[str, tuple[Any, bool]], inputs: Iterable[Any], level: str
) -> Tape:
    """The tape below a loss, by level "layer" or "op". parameters: by name, and whether they are trained."""
    reached = _reachable(root)
    called = sorted({recorder.of[n] for n in reached if not is_leaf(n)}, key=lambda c: c.index)
    learned = {id(p) for p, _ in parameters.values()}
    whole = {v for v in {c.visit for c in called} if v is not None and not v.holds} if level == "layer" else set()
    ways = Ways(dict.fromkeys(called, 0), recorder, learned)
    whole -= {c.visit for c in called if c.visit is not None and c.visit.own and _adds_what_came(c, ways)}
    return _tape(called, reached, recorder, parameters, list(inputs), whole)


def _reachable(root: Any) -> list[Any]:
    """All nodes of autograd below the root."""
    found, seen, stack = [], {root}, [root]
    while stack:
        node = stack.pop()
        found.append(node)
        for below, _ in node.next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                stack.append(below)
    return found


def _adds_what_came(call: Call, ways: Ways) -> bool:
    """Whether a call in a module that users wrote adds what the module was given to something: a skip joins in it."""
    if not function(call.name).adds:
        return False
    data = [read for read, way in zip(ways.reads[call], ways.into(call)) if way]
    return len(data) > 1 and any(read.call is None or read.call.visit is not call.visit for read in data)


def _tape(
    called: list[Call],
    reached: list[Any],
    recorder: Recorder,
    parameters: Mapping[str, tuple[Any, bool]],
    inputs: list[Any],
    whole: set[Visit],
) -> Tape:
    names = {id(p): (name.replace(".", "/"), trained) for name, (p, trained) in parameters.items()}
    units, unit_of_call = _units(called, reached, recorder, inputs, whole)
    owner = {n: unit_of_call[recorder.of[n]] for n in reached if not is_leaf(n)}
    ends = {id(n.variable): n for n in reached if is_leaf(n)}
    weights: list[Weight] = []
    for key in [*(i for i in names if i in ends), *(i for i in ends if i not in names)]:
        tensor = ends[key].variable
        if isinstance(tensor, torch.nn.Parameter):
            name, trained = names.get(key, ("parameter", tensor.requires_grad))
            weights.append(Weight(name, tensor, ends[key], trained))
    number = {w.node: i for i, w in enumerate(weights)}
    leaves = {id(u.tensor): i for i, u in enumerate(units) if u.tensor is not None}
    owner.update({n: leaves[id(n.variable)] for n in reached if is_leaf(n) and n not in number})
    edges, weight_edges = _edges(reached, units, owner, number, leaves)
    learned = {id(w.tensor) for w in weights}
    ways = Ways(unit_of_call, recorder, learned)
    for unit, facts in zip(units, facts_of([u.calls for u in units], ways)):
        unit.facts = facts
    for key, fans in fans_of(called, ways, learned).items():
        weights[number[ends[key]]].fans = fans
    structure = structure_of(_shape(units, edges, weight_edges))
    place = owner | {node: len(units) + i for node, i in number.items()}
    return Tape(units, weights, place, edges, weight_edges, reached, structure)


def _units(
    called: list[Call], reached: list[Any], recorder: Recorder, inputs: list[Any], whole: set[Visit]
) -> tuple[list[Unit], dict[Call, int]]:
    """All units in graph order, without facts, and the unit of each call."""
    taken: dict[str, int] = {}
    units: list[Unit] = []
    known = {id(t) for t in inputs}
    read = {id(n.variable): n.variable for n in reached if is_leaf(n)}
    for t in inputs:
        if id(t) in read:
            units.append(Unit(unused("input", "_", taken), LEAF, LEAF, tensor=t))
    loose = [t for i, t in read.items() if i not in known and not isinstance(t, torch.nn.Parameter)]
    units += [Unit(unused("tensor", "_", taken), LEAF, LEAF, tensor=t) for t in loose]
    known.update(map(id, loose))
    by_visit: dict[Visit, int] = {}
    found: dict[Call, int] = {}
    for call in called:
        for t in call.constants:
            if id(t) not in known:
                known.add(id(t))
                role = TARGET if call.index >= recorder.at_loss else CONSTANT
                units.append(Unit(unused(role, "_", taken), role, role, tensor=t))
        visit = call.visit
        if visit is not None and visit in whole:
            if visit in by_visit:
                found[call] = by_visit[visit]
                units[by_visit[visit]].calls.append(call)
                continue
            by_visit[visit] = len(units)
            unit = Unit(unused(visit.path or visit.kind, "@", taken), visit.kind, scope=visit.scope)
        else:
            path = "" if visit is None else visit.path
            name = f"{path}/{call.name}" if path else call.name
            unit = Unit(unused(name, "_", taken), call.name, scope=path)
        unit.calls.append(call)
        found[call] = len(units)
        units.append(unit)
    return units, found


def _edges(
    reached: list[Any],
    units: list[Unit],
    owner: Mapping[Any, int],
    number: Mapping[Any, int],
    leaves: Mapping[int, int],
) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]:
    edges: dict[tuple[int, int], int] = {}
    weight_edges: dict[tuple[int, int], int] = {}
    for node in reached:
        for below, _ in node.next_functions:
            if below is None:
                continue
            if below in number:
                key = number[below], owner[node]
                weight_edges[key] = weight_edges.get(key, 0) + 1
            elif owner[below] != owner[node]:
                edges[owner[below], owner[node]] = edges.get((owner[below], owner[node]), 0) + 1
    for i, unit in enumerate(units):
        for call in unit.calls:
            for t in call.constants:
                edges[leaves[id(t)], i] = edges.get((leaves[id(t)], i), 0) + 1
    return dict(sorted(edges.items(), key=lambda item: (item[0][1], item[0][0]))), weight_edges


def _positions(shape: Sequence[int]) -> int:
    """Pixels of (batch, channels, height, width), tokens of (batch, tokens, features)."""
    return math.prod(shape[2:]) if len(shape) > 3 else math.prod(shape[1:-1])


def _shape(units: list[Unit], edges: Mapping[tuple[int, int], int], weight_edges: Iterable[tuple[int, int]]) -> Shape:
    """The tape as `structure` sees it."""
    reads = [0] * len(units)
    for _, dst in weight_edges:
        reads[dst] += 1
    leaves = {i: False for i, u in enumerate(units) if u.tensor is not None}
    looking_up = {i for i, u in enumerate(units) if any(c.name.startswith("embedding") for c in u.calls)}
    weights, is_weight = weights_among(list(edges), reads, leaves, looking_up)
    return Shape(
        edges=list(edges),
        weights=weights,
        is_weight=is_weight,
        sizes=[u.tensor.numel() if u.tensor is not None else u.calls[-1].size for u in units],
        multiplicative=[u.facts.multiplies for u in units],
        scopes=[u.scope for u in units],
        asides=frozenset(i for i, u in enumerate(units) if u.role not in ("", LEAF)),
        gating=frozenset(i for i, u in enumerate(units) if 0 < u.facts.slope < 1 or u.facts.distributes),
        positions=[_positions(u.tensor.shape if u.tensor is not None else u.calls[-1].shape) for u in units],
        names=[u.name for u in units],
        labels=[u.kind for u in units],
    )
