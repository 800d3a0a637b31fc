"""The shape of a model's graph of layers: what `structure` sees of it, numbers without weights or data."""

from __future__ import annotations

import math

from tinyres.nn.functional import Functional
from tinyres.nn.symbolic import Call, symbolics
from tinyres.structure.blocks import block_of_nodes
from tinyres.structure.shape import Shape
from tinyres.structure.structure import Structure, structure_of


class LayerGraph:
    """The calls of a model by number, in the order in which they run, its Inputs among them, and their structure.

    A layer is parametric if it has weights. Behind the last call stands a node that reads the model's outputs.
    """

    def __init__(self, model: Functional) -> None:
        self.calls: list[Call] = sorted({s.producer for s in model.inputs} | set(model.calls), key=lambda c: c.index)
        self.number = {call: i for i, call in enumerate(self.calls)}
        self.structure: Structure = structure_of(self._shape(model))

    def skips_into(self, call: Call) -> tuple[int, ...]:
        """The positions of the inputs of a call that are skips."""
        skips = self.structure.skips_into(self.number[call])
        return tuple([i for i, s in enumerate(call.inputs()) if self.number[s.producer] in skips])

    def kinds_into(self, call: Call) -> tuple[str, ...]:
        """What each input of a call is: a skip, a branch, parallel to the others, or one way into a gate."""
        kinds = self.structure.inputs_of(self.number[call])
        return tuple([kinds[self.number[s.producer]] for s in call.inputs()])

    def closes_a_fork(self, call: Call) -> bool:
        """Whether ways that part somewhere meet in this call."""
        return bool(self.structure.forks.closed_at(self.number[call]))

    def _shape(self, model: Functional) -> Shape:
        sink = len(self.calls)
        number = self.number
        paths = {step.call: step.path for step in model.steps}
        reading = [(i, call) for i, call in enumerate(self.calls) if call.layer.reads_values]
        pairs = dict.fromkeys((number[s.producer], i) for i, call in reading for s in call.inputs())
        pairs |= dict.fromkeys((number[s.producer], sink) for s in model.outputs)
        read = {src for src, _ in pairs}
        pairs |= dict.fromkeys((i, sink) for i in range(sink) if i not in read)
        return Shape(
            edges=list(pairs),
            weights=[*(int(bool(call.layer.weights)) for call in self.calls), 0],
            is_weight=[False] * (sink + 1),
            sizes=[*map(_size, self.calls), 1],
            multiplicative=[*(call.multiplies for call in self.calls), False],
            scopes=[*(call.scope for call in self.calls), ""],
            positions=[*map(_positions, self.calls), 1],
            names=[*(paths.get(call, "") for call in self.calls), ""],
            labels=[*(type(call.layer).__name__ for call in self.calls), ""],
        )


def blocks_of_layers(model: Functional) -> dict[str, str]:
    """Per path of a layer call the block, or part of one, that it is a member of; calls outside of any are left out."""
    graph = LayerGraph(model)
    block_of = block_of_nodes(graph.structure.blocks)
    numbers = {step.path: graph.number[step.call] for step in model.steps}
    return {path: block_of[n] for path, n in numbers.items() if n in block_of}


def _positions(call: Call) -> int:
    """Pixels or tokens of what a call gives."""
    return max(math.prod(s.trials[0][1:-1]) for s in symbolics(call.outputs))


def _size(call: Call) -> int:
    """Elements of what a call gives for a batch of two."""
    return sum(math.prod(s.trials[0]) for s in symbolics(call.outputs))
