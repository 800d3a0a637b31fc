"""Rewiring: a model put together again without some of its connections, over copies of its layers.

Which inputs of an Add are skips, `structure` tells, as it does for a trace.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.layers.merge import Add
from tinyres.nn.functional import Functional
from tinyres.nn.layer import Layer
from tinyres.nn.shape import LayerGraph
from tinyres.nn.symbolic import Call, Symbolic, symbolics
from tinyres.structure.kinds import SKIP


def skips(model: Functional) -> dict[Call, tuple[int, ...]]:
    """Per Add that a skip enters, in the order of the calls: the positions of its inputs that are skips."""
    return adds_with_skips(LayerGraph(model), model)


def adds_with_skips(graph: LayerGraph, model: Functional) -> dict[Call, tuple[int, ...]]:
    """`skips` of a model whose graph is at hand."""
    found = {call: graph.skips_into(call) for call in model.calls if type(call.layer) is Add}
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
    graph = LayerGraph(model)
    for step in model.steps:
        kinds = graph.kinds_into(step.call)
        if SKIP in kinds:
            return (
                f"{step.path} joins a skip by {step.kind}, and without it the layers after it would not fit; "
                "build the plain net by hand"
            )
        if type(step.layer) is Add and graph.closes_a_fork(step.call):
            return f"the inputs of {step.path} are equally deep, so none is the skip; name the one to drop by hand"
    return "got a model without one; build it with layers.Add()([x, shortcut])"
