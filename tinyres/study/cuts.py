"""Cuts: a model without some of its blocks, or without their skips, over copies of its layers.

A block is a `name_scope` with layers in it, those of scopes within it included; where there is no scope, what lies
between a fork and the Add that closes it, named block0, block1, … as in a trace. A deleted block passes on its
shortcut: its Adds keep their skips only, and what comes after the last Add goes too. A plain block has no Add; without
it, its input goes on as it is.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyres.errors import ArgumentError
from tinyres.model import Model
from tinyres.model.rewiring import branches, rewired, shortcuts, skips
from tinyres.nn.symbolic import Call, Symbolic, symbolics


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
    """Every block by name, in the order of its first call."""
    adds = skips(model)
    members: dict[str, list[Call]] = {}
    for call in model.calls:
        parts = call.scope.split("/") if call.scope else []
        for depth in range(1, len(parts) + 1):
            members.setdefault("/".join(parts[:depth]), []).append(call)
    direct = {call.scope for call in model.calls}
    found = [(name, calls) for name, calls in members.items() if name in direct]
    unused = (name for name in (f"block{i}" for i in itertools.count()) if name not in members)
    found += [(next(unused), _region(call, adds[call])) for call in adds if not call.scope]
    blocks = [
        LayerBlock(name, tuple(calls), {call: adds[call] for call in calls if call in adds}) for name, calls in found
    ]
    return {block.name: block for block in sorted(blocks, key=lambda b: b.calls[0].index)}


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
        raise ArgumentError(f"[lesion] only a skip can be deleted as one; {block.name} has none; use what=\"block\"")
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


def _region(add: Call, skip_positions: Sequence[int]) -> list[Call]:
    """The calls that lead from what the skips start at to an Add that stands in no name_scope."""
    starts = {s.producer for s in shortcuts(add, skip_positions)}
    first = min(call.index for call in starts)
    found: set[Call] = set()
    pending = [add]
    while pending:
        call = pending.pop()
        if call in found or call in starts or call.index < first:
            continue
        found.add(call)
        pending += [s.producer for s in call.inputs()]
    return sorted(found, key=lambda call: call.index)


def outputs_of(model: Model, block: LayerBlock) -> list[Symbolic]:
    """What the block gives to the rest of the model."""
    inside = set(block.calls)
    read = {s for call in model.calls if call not in inside for s in call.inputs()} | set(model.outputs)
    return [s for call in block.calls for s in symbolics(call.outputs) if s in read]
