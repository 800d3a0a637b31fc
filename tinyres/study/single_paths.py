"""Single paths: the gradient that comes back along one way through a net, and how much paths of each length carry.

Veit, Wilber, Belongie, "Residual networks behave like ensembles of relatively shallow networks" (2016), section 4.3:
at each of k blocks the gradient goes back through the branch only, at all others over the skip only; what such a path
carries, times the number of paths of that length, is what the length carries. It is a sum of norms: single paths may
cancel each other, which the signed share of `trace.paths()` counts and this does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.engine.backward import pull_back, scalar_root, unit_cotangent
from tinyres.engine.node import Node
from tinyres.engine.op import apply
from tinyres.engine.primitives import ADD, sum_to
from tinyres.engine.state import enable_grad, no_grad, preserving
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.measure.shape import input_of, shape_of
from tinyres.measure.tape import read_tape
from tinyres.model import Model
from tinyres.ops.random import Generator, preserving_generator
from tinyres.structure.kinds import BRANCH, SKIP
from tinyres.structure.structure import structure_of
from tinyres.training.rehearsal import read


@dataclass(frozen=True)
class PathNorms:
    """norms[k]: the mean norm of the input's gradient over sampled single paths through exactly k branches."""

    norms: tuple[float, ...]

    @property
    def shares(self) -> list[float]:
        """Of each length: its norm times the number of such paths, as a share of the sum over all lengths."""
        blocks = len(self.norms) - 1
        carried = [math.comb(blocks, k) * norm for k, norm in enumerate(self.norms)]
        total = math.fsum(carried)
        return [c / total if total else 0.0 for c in carried]


class SinglePaths:
    """The ways back through a model's residual blocks, at one batch. Blocks are the forks with a skip and a branch.

    x, y: one batch. loss: by name. The forward pass is the ordinary one, in training mode, and leaves no mark. Raises
    ArgumentError for a net without residual blocks.

    >>> import tinyres as tr
    >>> x = h = tr.Input(shape=(1,))
    >>> for _ in range(3):
    ...     h = tr.layers.Add()([tr.layers.Dense(1, kernel_initializer="ones")(h), h])
    >>> paths = SinglePaths(tr.Model(x, h), np.ones((1, 1)), np.zeros((1, 1)), "mse")  # 8 ways, each of them times 1
    >>> paths.gradient({0, 2}).tolist(), paths.norms([0, 1, 2, 3], samples=2).shares
    ([[16.0]], [0.125, 0.375, 0.375, 0.125])
    """

    def __init__(self, model: Model, x: Any, y: Any, loss: str) -> None:
        inputs, target = read(model, "single_paths", x, y, loss).whole()
        with enable_grad(), preserving(), preserving_generator():
            self._root = scalar_root("single_paths", model.loss_of(loss)(model, inputs, target, True)[1])
        tape = read_tape(self._root, "layer")
        structure = structure_of(shape_of(tape))
        self._order, self._owner = tape.order, tape.owner
        self._target = tape.units[input_of(tape, structure.shape)]
        forks = [f.node for f in structure.forks if SKIP in f.kinds and BRANCH in f.kinds]
        position = {node: i for i, node in enumerate(dict.fromkeys(forks))}
        self._ways = {
            edge: (kind, position[edge[0]])
            for edge, kind in zip(structure.shape.edges, structure.kinds)
            if kind in (SKIP, BRANCH) and edge[0] in position
        }
        self.blocks = len(position)
        if not self.blocks:
            raise ArgumentError("[single_paths] the model must have residual blocks; got none; use one with skips")

    def gradient(self, through: set[int]) -> np.ndarray:
        """The input's gradient along the path through the branches of these blocks, over all other skips."""
        with no_grad():
            arrived: dict[Node, Tensor] = {self._root: unit_cotangent(self._root)}
            order = self._leading(through)
            included = set(order)
            for node in order:
                g = arrived.pop(node, None)
                if node is self._target:
                    return np.zeros(node.shape) if g is None else g.numpy()
                if g is None:
                    continue
                needs = tuple([n in included and self._open(n, node, through) for n in node.inputs])
                for i, cotangent in enumerate(pull_back(node, g, needs, {})):
                    if needs[i] and cotangent is not None:
                        producer = node.inputs[i]
                        part = cotangent if cotangent.shape == producer.shape else sum_to(cotangent, producer.shape)
                        before = arrived.get(producer)
                        arrived[producer] = part if before is None else apply(ADD, (before, part))
        return np.zeros(self._target.shape)

    def norms(self, lengths: Sequence[int], samples: int, seed: int = 0) -> PathNorms:
        """The mean norm over so many random paths of each of these lengths; 0 for other lengths."""
        rng = Generator(seed).numpy()
        found = [0.0] * (self.blocks + 1)
        for k in lengths:
            chosen = [set(rng.choice(self.blocks, k, replace=False).tolist()) for _ in range(samples)]
            found[k] = float(np.mean([np.linalg.norm(self.gradient(blocks)) for blocks in chosen]))
        return PathNorms(tuple(found))

    def _open(self, producer: Node, consumer: Node, through: set[int]) -> bool:
        """Whether the path may take this edge."""
        kind, block = self._ways.get((self._owner[producer], self._owner[consumer]), ("", 0))
        return not kind or (kind == BRANCH) == (block in through)

    def _leading(self, through: set[int]) -> list[Node]:
        """The nodes on the path, newest first."""
        leading = {self._target}
        kept = []
        for node in reversed(self._order):
            if node is self._target or any(n in leading and self._open(n, node, through) for n in node.inputs):
                leading.add(node)
                kept.append(node)
        return kept[::-1]
