"""Cuts: a model without some of its blocks, or without their skips, over copies of its layers.

The blocks are those of a trace, each with the blocks inside it. A deleted block passes on its shortcut: its Adds keep
their skips only, and what comes after the last Add goes too. A plain block has no Add; without it, its input goes on as
it is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyres.errors import ArgumentError
from tinyres.model import Model
from tinyres.model.rewiring import adds_with_skips, branches, rewired, shortcuts
from tinyres.nn.shape import LayerGraph
from tinyres.nn.symbolic import Call, Symbolic, symbolics
from tinyres.structure.blocks import rows_of


@dataclass(frozen=True)
class LayerBlock:
    """One block of a model: its calls in order, and for each Add with a skip in it the positions of the skips."""

    name: str
    calls: tuple[Call, ...]
    adds: Mapping[Call, tuple[int, ...]]


@dataclass(frozen=True)
class Cut:
    """What is changed to delete something: as `rewired` takes it."""

    kept: Mapping[Call, Sequence[Symbolic]]
    instead: Mapping[Symbolic, Symbolic]


def blocks_of(model: Model) -> dict[str, LayerBlock]:
    """Every block by name, of one of several parts these, in the order of its first call."""
    graph = LayerGraph(model)
    adds = adds_with_skips(graph, model)
    found = {}
    for block in rows_of(graph.structure.blocks):
        calls = tuple([graph.calls[n] for n in block.inside])
        found[block.name] = LayerBlock(block.name, calls, {call: adds[call] for call in calls if call in adds})
    return found


def cut_block(model: Model, block: LayerBlock) -> Cut:
    """Delete a block. Raises ArgumentError where nothing of its output's shape would be left to pass on."""
    outputs = outputs_of(model, block)
    if len(outputs) != 1:
        raise ArgumentError(
            f"[lesion] a block that is deleted must have one output; {block.name} has {len(outputs)}; delete another"
        )
    (output,) = outputs
    kept = {call: shortcuts(call, positions) for call, positions in block.adds.items()}
    if kept:
        left = list(kept)[-1].outputs
        instead = {} if left is output else {output: left}
    else:
        inside = {s for call in block.calls for s in symbolics(call.outputs)}
        entries = list(dict.fromkeys(s for call in block.calls for s in call.inputs() if s not in inside))
        if len(entries) != 1:
            raise ArgumentError(
                f"[lesion] a block without a skip must have one input to be deleted; {block.name} has {len(entries)}; "
                "delete another"
            )
        left = entries[0]
        instead = {output: left}
    if left.shape != output.shape or left.dtype != output.dtype:
        raise ArgumentError(
            f"[lesion] what is left of a deleted block must have the shape of its output; {block.name} turns "
            f"{left.shape} into {output.shape}; delete another"
        )
    return Cut(kept, instead)


def cut_skip(model: Model, block: LayerBlock) -> Cut:
    """Delete the skips of a block: its Adds keep their branches only. Raises ArgumentError if it has none."""
    if not block.adds:
        raise ArgumentError(f'[lesion] only a skip can be deleted as one; {block.name} has none; use what="block"')
    return Cut({call: branches(call, positions) for call, positions in block.adds.items()}, {})


def without(model: Model, cuts: Sequence[Cut]) -> Model:
    """The model after these cuts: layers are shared with it."""
    kept = {call: inputs for cut in cuts for call, inputs in cut.kept.items()}
    instead = {old: new for cut in cuts for old, new in cut.instead.items()}
    same = {layer: layer for _, layer in model._children()}
    remaining = rewired(model, same, kept, instead)
    assert isinstance(remaining, Model)
    return remaining


def copied(model: Model) -> Model:
    """A model of copied layers, free to be cut."""
    return copy.deepcopy(model)


def outputs_of(model: Model, block: LayerBlock) -> list[Symbolic]:
    """What the block gives to the rest of the model."""
    inside = set(block.calls)
    read = {s for call in model.calls if call not in inside for s in call.inputs()} | set(model.outputs)
    return [s for call in block.calls for s in symbolics(call.outputs) if s in read]
