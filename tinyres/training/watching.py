"""Watching a training: what measures the gradient of every layer in a step, and what puts it into the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer, Window
from tinyres.engine.node import Node
from tinyres.engine.tensor import Tensor
from tinyres.kernels.dtypes import FLOAT64
from tinyres.launch import launch
from tinyres.nn.functional import Functional
from tinyres.nn.shape import blocks_of_layers
from tinyres.training.edges import EdgeNorms
from tinyres.training.gradients import GradientNorms
from tinyres.training.protocol import Trainable


class LayerNorms:
    """An observer of backward that measures the gradient of every layer call's output, and nothing within.

    names: the layer calls, in the order of backward. places: where the squared norm of each stands among all squares;
    layers that get the very same gradient, as an Add and what it adds, share one. squares: SQUARES to a Tensor, so that
    reading them costs a captured step one copy and not one per layer. losses: whose nodes are no layer calls.
    """

    SQUARES = 512

    def __init__(self, losses: Sequence[Tensor | None]) -> None:
        self.names: list[str] = []
        self.places: list[int] = []
        self.squares: list[Tensor] = []
        self._measured = 0
        self._last: Buffer | None = None
        self._seen = {loss.node.scope for loss in losses if loss is not None and loss.node is not None}

    def __call__(self, node: Node, total: Tensor) -> None:
        scope = node.scope
        # Backward comes to the newest node of a call first, and that is its output.
        if scope is None or scope.layer is None or node.op is None or scope in self._seen:
            return
        self._seen.add(scope)
        if total.buffer is not self._last:
            self._measure(total)
        self.names.append(scope.path)
        self.places.append(self._measured - 1)

    def _measure(self, total: Tensor) -> None:
        place = self._measured % self.SQUARES
        if place == 0:
            self.squares.append(Tensor(Buffer(self.SQUARES, FLOAT64), (self.SQUARES,), FLOAT64))
        square = Window(self.squares[-1].buffer, place * FLOAT64.itemsize, 1, FLOAT64)
        launch(kernels.dot, (square,), (total.buffer, total.buffer), (total.size,))
        self._measured += 1
        self._last = total.buffer


class Watch:
    """Every how many steps a training is looked at, and the record of what was seen.

    every: 0 for never; then `gradients` is None. model: what is trained, which tells the blocks of its layers. edges:
    whether edges are looked at too; else `edges` is None.
    """

    def __init__(self, every: int, model: Trainable, edges: bool = False) -> None:
        self.every = every
        blocks = blocks_of_layers(model) if every and isinstance(model, Functional) and model.steps else {}
        self.gradients = GradientNorms(blocks) if every else None
        self.edges = EdgeNorms() if edges else None
        self._forward: _Forward | None = None

    def looks(self, step: int) -> bool | str:
        """Whether step `step` of the training, counted from 0, is looked at: "edges" with its edges."""
        due = bool(self.every) and (step + 1) % self.every == 0
        return "edges" if due and self.edges is not None else due

    def record(
        self, step: int, layers: tuple[tuple[str, int], ...], squares: Sequence[Tensor], looks: Sequence[Any]
    ) -> None:
        """Keep what a watched step gave. looks: of its edges, if they are watched."""
        if self.edges is not None:
            for look in looks:
                self.edges.append(step, look)
        if self._forward is None or layers is not self._forward.layers:
            self._forward = _Forward(layers)
        if self.gradients is not None:
            self.gradients.append(step, self._forward.names, self._forward.norms(squares))

    def told(self) -> list[str]:
        """The lines that say how the gradient is; none before it was looked at."""
        return self.gradients.told() if self.gradients is not None and len(self.gradients) else []


class _Forward:
    """The watched layers of a step in forward order, once per recording: backward meets them the other way round."""

    def __init__(self, layers: tuple[tuple[str, int], ...]) -> None:
        self.layers = layers
        self.names = tuple([name for name, _ in layers[::-1]])
        self._places = [place for _, place in layers[::-1]]

    def norms(self, squares: Sequence[Tensor]) -> np.ndarray:
        """The norm of each layer."""
        if not squares:
            return np.zeros(0)
        return np.sqrt(np.concatenate([t.buffer.array for t in squares])[self._places])
