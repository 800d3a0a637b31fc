"""Rewiring: a model put together again without some of its connections, over copies of its layers.

An input of an Add is a *skip* if it bypasses another one: counted from the nearest place where the two part, it is
fewer parametric layers away. Inputs that are equally far are parallel branches, and none of them is a skip.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.layers.merge import Add
from tinyres.nn.functional import Functional
from tinyres.nn.layer import Layer
from tinyres.nn.symbolic import Call, Symbolic, symbolics


def skips(model: Functional) -> dict[Call, tuple[int, ...]]:
    """Per Add that a skip enters, in the order of the calls: the positions of its inputs that are skips."""
    order = _Order(model)
    found = {call: order.skips_into(call) for call in model.calls if type(call.layer) is Add}
    return {call: positions for call, positions in found.items() if positions}


def without_skips(model: Functional) -> Functional:
    """See Functional.without_skips."""
    owner = type(model).__name__
    if not model.steps:
        raise ArgumentError(
            f"[without_skips] a model is rewired along its graph of layers; got {owner} with a call of its own, or not "
            "built yet; build it as tr.Model(inputs, outputs)"
        )
    memo: dict[int, Any] = {}
    copies = {layer: _layer_without_skips(layer, memo) for _, layer in model._children()}
    kept = {call: branches(call, positions) for call, positions in skips(model).items()}
    nested = any(_has_skips(layer) for layer in model.layers)
    if not kept and not nested:
        raise ArgumentError(f"[without_skips] the model must have a skip that enters an Add; {_why_none(model)}")
    return rewired(model, copies, kept)


def branches(call: Call, skip_positions: Sequence[int]) -> list[Symbolic]:
    """The inputs of an Add that are no skips."""
    return [s for i, s in enumerate(call.inputs()) if i not in skip_positions]


def shortcuts(call: Call, skip_positions: Sequence[int]) -> list[Symbolic]:
    """The inputs of an Add that are skips."""
    return [call.inputs()[i] for i in skip_positions]


def rewired(
    model: Functional,
    layers: Mapping[Layer, Layer],
    kept: Mapping[Call, Sequence[Symbolic]] | None = None,
    instead: Mapping[Symbolic, Symbolic] | None = None,
) -> Functional:
    """The model over other layers of the same kinds, with the same names, and without some connections.

    kept: per Add call the inputs that stay; an Add of one input passes it on and disappears. instead: whoever read the
    one reads the other, earlier one. Calls that lead nowhere then are left out.
    """
    mapped: dict[Symbolic, Symbolic] = {}
    kept, instead = kept or {}, instead or {}
    entries = {s.producer for s in model.inputs}
    for old in sorted(entries | set(model.calls), key=lambda call: call.index):
        inputs = kept.get(old)
        if inputs is not None and len(inputs) == 1:
            mapped[old.outputs] = mapped[inputs[0]]
        else:
            model.recorded_again(old, layers[old.layer], mapped, None if inputs is None else ([*inputs],))
        for symbolic in symbolics(old.outputs):
            if symbolic in instead:
                mapped[symbolic] = mapped[instead[symbolic]]
    return model.from_mapped(mapped)


def _layer_without_skips(layer: Layer, memo: dict[int, Any]) -> Layer:
    if _has_skips(layer):
        assert isinstance(layer, Functional)
        return without_skips(layer)
    return copy.deepcopy(layer, memo)


def _has_skips(layer: Layer) -> bool:
    if not isinstance(layer, Functional) or not layer.steps:
        return False
    return bool(skips(layer)) or any(_has_skips(inner) for inner in layer.layers)


def _why_none(model: Functional) -> str:
    """What stands in the way, in words."""
    order = _Order(model)
    for step in model.steps:
        sources = step.call.inputs()
        if len(sources) < 2:
            continue
        if type(step.layer) is Add:
            if order.part_somewhere(sources):
                return f"the inputs of {step.path} are equally deep, so none is the skip; name the one to drop by hand"
            continue
        if order.bypass(sources):
            return (
                f"{step.path} joins a skip by {step.kind}, and without it the layers after it would not fit; "
                "build the plain net by hand"
            )
    return "got a model without one; build it with layers.Add()([x, shortcut])"


class _Order:
    """The calls of a model by number, in the order in which they run, and how far they are apart."""

    def __init__(self, model: Functional) -> None:
        entries = {s.producer for s in model.inputs}
        self.calls = sorted(entries | set(model.calls), key=lambda call: call.index)
        self.number = {s: i for i, call in enumerate(self.calls) for s in symbolics(call.outputs)}
        self.producers = [[self.number[s] for s in call.inputs()] for call in self.calls]
        self.parametric = [bool(call.layer.weights) for call in self.calls]
        self.above: list[int] = []  # the calls that each was computed from and itself, one bit each
        for i, producers in enumerate(self.producers):
            bits = 1 << i
            for p in producers:
                bits |= self.above[p]
            self.above.append(bits)

    def skips_into(self, call: Call) -> tuple[int, ...]:
        """The positions of the inputs of this call that bypass another of its inputs."""
        return self.bypass(call.inputs())

    def bypass(self, sources: Sequence[Symbolic]) -> tuple[int, ...]:
        numbers = [self.number[s] for s in sources]
        return tuple([i for i, a in enumerate(numbers) if any(self._is_shorter(a, b) for b in numbers)])

    def part_somewhere(self, sources: Sequence[Symbolic]) -> bool:
        """Whether two of these come from one place."""
        numbers = {self.number[s] for s in sources}
        return any(a < b and self.above[a] & self.above[b] for a in numbers for b in numbers)

    def _is_shorter(self, a: int, b: int) -> bool:
        """Whether `a` is fewer parametric layers away from where the two part than `b` is."""
        common = self.above[a] & self.above[b]
        if a == b or not common:
            return False
        start = common.bit_length() - 1
        return self._distance(start, a) < self._distance(start, b)

    def _distance(self, start: int, end: int) -> int:
        """The fewest parametric layers on a way from `start`, not counted itself, to `end`."""
        distance = {start: 0}
        for i in range(start + 1, end + 1):
            known = [distance[p] for p in self.producers[i] if p in distance]
            if known:
                distance[i] = min(known) + self.parametric[i]
        return distance[end]
