"""Cuts: a model without some of its blocks, or without their skips, over copies of its layers.

The blocks are those of a trace, each with the blocks inside it. A deleted block passes on its shortcut: its Adds keep
their skips only, and what comes after the last Add goes too. A plain block has no Add; without it, its input goes on as
it is. A deleted skip into a Concatenate leaves zeros in its channels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyres.errors import ArgumentError
from tinyres.layers.merge import Add
from tinyres.model import Model
from tinyres.model.rewiring import joins_with_skips, others, rewired
from tinyres.nn.shape import LayerGraph
from tinyres.nn.symbolic import Call, Symbolic, symbolics
from tinyres.structure.blocks import rows_of


@dataclass(frozen=True)
class LayerBlock:
    """One block of a model: its calls in order, and for each join with a skip in it the positions of the skips."""

    name: str
    calls: tuple[Call, ...]
    joins: Mapping[Call, tuple[int, ...]]

    @property
    def adds(self) -> dict[Call, tuple[int, ...]]:
        """Those of the joins that are Adds."""
        return {call: positions for call, positions in self.joins.items() if type(call.layer) is Add}

    @property
    def concatenates(self) -> bool:
        """Whether one of the joins does, so that zeros stand for its skip."""
        return len(self.adds) < len(self.joins)


@dataclass(frozen=True)
class Cut:
    """What is changed to delete something: as `rewired` takes it."""

    kept: Mapping[Call, Sequence[int]]
    instead: Mapping[Symbolic, Symbolic]


def blocks_of(model: Model) -> dict[str, LayerBlock]:
    """Every block by name, of one of several parts these, in the order of its first call."""
    graph = LayerGraph(model)
    joins = joins_with_skips(graph, model)
    found = {}
    for block in rows_of(graph.structure.blocks):
        calls = tuple([graph.calls[n] for n in block.inside])
        found[block.name] = LayerBlock(block.name, calls, {call: joins[call] for call in calls if call in joins})
    return found


def cut_block(model: Model, block: LayerBlock) -> Cut:
    """Delete a block. Raises ArgumentError where nothing of its output's shape would be left to pass on."""
    outputs = outputs_of(model, block)
    if len(outputs) != 1:
        raise ArgumentError(
            f"[lesion] a block that is deleted must have one output; {block.name} has {len(outputs)}; delete another"
        )
    (output,) = outputs
    kept = block.adds
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
    """Delete the skips of a block: its joins keep their branches only. Raises ArgumentError if it has none."""
    if not block.joins:
        raise ArgumentError(f'[lesion] only a skip can be deleted as one; {block.name} has none; use what="block"')
    return Cut({call: others(call, positions) for call, positions in block.joins.items()}, {})


def without(model: Model, cuts: Sequence[Cut]) -> Model:
    """The model after these cuts: layers are shared with it."""
    kept = {call: positions for cut in cuts for call, positions in cut.kept.items()}
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
