"""Rewiring: a model put together again without some of its connections, over copies of its layers.

Which inputs of an Add or a Concatenate are skips, `structure` tells, as it does for a trace. A Concatenate keeps its
shape: zeros stand where the skip stood.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.layers.merge import Add, Concatenate, ConcatenateZeros
from tinyres.nn.functional import Functional
from tinyres.nn.layer import Layer
from tinyres.nn.shape import LayerGraph
from tinyres.nn.symbolic import Call, Symbolic, symbolics
from tinyres.structure.kinds import SKIP


def skips(model: Functional) -> dict[Call, tuple[int, ...]]:
    """Per join that a skip enters, in the order of the calls: the positions of its inputs that are skips.

    Joins are Adds, and Concatenates whose skips are of known size.
    """
    return joins_with_skips(LayerGraph(model), model)


def joins_with_skips(graph: LayerGraph, model: Functional) -> dict[Call, tuple[int, ...]]:
    """`skips` of a model whose graph is at hand."""
    found = {call: graph.skips_into(call) for call in model.calls if type(call.layer) in (Add, Concatenate)}
    return {call: at for call, at in found.items() if at and None not in _sizes(call, at)}


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
    kept = {call: others(call, positions) for call, positions in skips(model).items()}
    nested = any(_has_skips(layer) for layer in model.layers)
    if not kept and not nested:
        raise ArgumentError(
            f"[without_skips] the model must have a skip that enters an Add or a Concatenate; {_why_none(model)}"
        )
    return rewired(model, copies, kept)


def others(call: Call, positions: Sequence[int]) -> tuple[int, ...]:
    """The positions of all other inputs of a call."""
    return tuple([i for i in range(len(call.inputs())) if i not in positions])


def rewired(
    model: Functional,
    layers: Mapping[Layer, Layer],
    kept: Mapping[Call, Sequence[int]] | None = None,
    instead: Mapping[Symbolic, Symbolic] | None = None,
) -> Functional:
    """The model over other layers of the same kinds, with the same names, and without some connections.

    kept: per call of an Add or a Concatenate the positions of the inputs that stay; an Add of one input passes it on
    and disappears, of a Concatenate zeros take the other places. instead: whoever read the one reads the other, earlier
    one. Calls that lead nowhere then are left out.
    """
    mapped: dict[Symbolic, Symbolic] = {}
    kept, instead = kept or {}, instead or {}
    entries = {s.producer for s in model.inputs}
    for old in sorted(entries | set(model.calls), key=lambda call: call.index):
        inputs = None if old not in kept else [old.inputs()[i] for i in kept[old]]
        if inputs is None:
            model.recorded_again(old, layers[old.layer], mapped)
        elif isinstance(old.layer, Concatenate):
            model.recorded_again(old, _with_zeros(old, kept[old]), mapped, (inputs,))
        elif len(inputs) == 1:
            mapped[old.outputs] = mapped[inputs[0]]
        else:
            model.recorded_again(old, layers[old.layer], mapped, (inputs,))
        for symbolic in symbolics(old.outputs):
            if symbolic in instead:
                mapped[symbolic] = mapped[instead[symbolic]]
    return model.from_mapped(mapped)


def _with_zeros(call: Call, kept: Sequence[int]) -> ConcatenateZeros:
    """A layer of the name and scope of a Concatenate for these inputs of its call, with zeros for the others."""
    assert isinstance(call.layer, Concatenate)
    sizes = _sizes(call, range(len(call.inputs())))
    zeros = [0 if i in kept else size or 0 for i, size in enumerate(sizes)]
    layer = ConcatenateZeros(zeros, call.layer.axis, name=call.layer.name)
    layer.scope, layer.built = call.layer.scope, True
    return layer


def _sizes(call: Call, positions: Sequence[int]) -> list[int | None]:
    """How far each of these inputs reaches along the axis of a Concatenate, 0 of an Add."""
    axis = getattr(call.layer, "axis", None)
    return [0 if axis is None else call.inputs()[i].shape[axis] for i in positions]


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
                f"{step.path} joins a skip by {step.kind}, which can do neither without it nor with zeros; "
                "build the plain net by hand"
            )
        if type(step.layer) is Add and graph.closes_a_fork(step.call):
            return f"the inputs of {step.path} are equally deep, so none is the skip; name the one to drop by hand"
    return "got a model without one; build it with layers.Add()([x, shortcut])"
