"""Look: what a step measures of its own gradient, by kernels of its own: `tr.Graph(loss).watch()`.

The numbers are those of `graph.trace()` at the same weights, to the last bit: the same kernels on the same values. A
captured step computes them in the pass that trains it, at every replay, and Python only reads them when it is asked to.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.backends import native
from tinyres.backends.buffers import Buffer, settle_writes
from tinyres.engine.backward import propagate
from tinyres.engine.bundle import Bundle
from tinyres.engine.node import Node
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor
from tinyres.errors import CaptureError
from tinyres.kernels.dtypes import FLOAT64
from tinyres.launch import backend, door
from tinyres.measure.assemble import assemble
from tinyres.measure.roles import LEAF
from tinyres.measure.shape import shape_of
from tinyres.measure.sheet import WIDTH
from tinyres.measure.statistics import Probes
from tinyres.measure.tape import Tape
from tinyres.structure.structure import Structure, structure_of
from tinyres.trace.trace import Header, Trace


class Look(Bundle):
    """The gradient of one loss as a step saw it, node by node and edge by edge; `.trace()` puts it into a Trace.

    Made by `graph.watch()`. Return it from a captured step: each call gives a Look with the numbers of that run. Left
    out are the audit, paths, arrays, |g| token by token and the heads of attentions.

    >>> import tinyres as tr
    >>> w = tr.tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> opt = tr.optim.SGD([w], lr=0.1)
    >>> @tr.capture
    ... def step(x):
    ...     loss = (w * x + x).square().sum()
    ...     look = tr.Graph(loss).watch()
    ...     opt.zero_grad(); loss.backward(); opt.step()
    ...     return loss, look
    >>> [round(step(tr.tensor([1.0, 1.0]))[1].trace()["w"].grad_norm, 2) for _ in range(2)]
    [7.21, 5.77]
    """

    def __init__(self, root: Node, tape: Tape, training: bool | None, chance: float | None, batch: int | None) -> None:
        self.structure: Structure = structure_of(shape_of(tape))
        self.tape = tape
        self.order = tape.order
        self._root, self._training, self._chance = root, training, chance
        self._batch = batch_of(tape) if batch is None else batch
        with no_grad():
            self.probes = Probes(tape, self.structure, by_kernels=True)
        self._numbers: Sequence[Tensor] | None = None
        self._recorded = door.recorder is not None
        self._seen = False
        self._drawn: set[Node] = set(tape.parameters)
        self.begins()

    def begins(self) -> None:
        """Note which parameters have the values that they were drawn with."""
        if self._drawn:
            settle_writes()
            self._drawn = {node for node in self._drawn if node.buffer.version == 0}

    def observe(self) -> None:
        """Look at the pass that the step being recorded makes, or, where nothing is recorded, make one now."""
        if door.recorder is not None:
            earlier = door.recorder.watcher_of(self._root)
            if isinstance(earlier, Look) and not earlier._seen:
                raise CaptureError(
                    "[watch] a pass back is watched once; got a second graph.watch() of the same loss before its "
                    "loss.backward(); return the look of the first"
                )
            door.recorder.watch(self._root, self)
        else:
            propagate(
                self._root, self.order, retain_graph=True, targets=set(), on_edge=self.on_edge, on_node=self.on_node
            )

    def on_edge(self, consumer: Node, position: int, producer: Node, cotangent: Tensor | None) -> None:
        self.probes.on_edge(consumer, position, producer, cotangent)

    def on_node(self, node: Node, total: Tensor) -> None:
        self._seen = True
        self.probes.on_node(node, total)

    def tensors(self) -> list[Tensor]:
        """The numbers, as kernels wrote them."""
        if not self._seen:
            raise CaptureError(
                "[watch] what is watched must be differentiated in the step; the loss of this graph was not, after "
                "graph.watch(); call loss.backward() between the two"
            )
        if self._numbers is not None:
            return list(self._numbers)
        return [Tensor(page, (page.size,), FLOAT64) for page in self.probes.sheet.pages]

    def _read(self) -> list[Tensor]:
        """The numbers, where a run has written them."""
        if self._recorded and self._numbers is None:
            raise CaptureError(
                "[watch] a look has numbers when the step has run; got a read of the one that the step is recorded "
                "with; return it from the step, and read what each call gives"
            )
        return self.tensors()

    def made_of(self, tensors: Sequence[Any]) -> Look:
        """The same look with the numbers of another run."""
        other = copy.copy(self)
        other.edge_rows, other.edge_names = self.edge_rows, self.edge_names
        other._numbers = tensors
        return other

    def trace(self) -> Trace:
        """All of it as a Trace, as `graph.trace(audit=False)` gives it."""
        return self.trace_of([t.buffer for t in self._read()])

    def trace_of(self, pages: Sequence[Buffer]) -> Trace:
        """The Trace of the numbers on these pages."""
        measured = self.probes.read(pages)
        header = Header(
            loss=measured.values[self._root].mean,
            batch=self._batch,
            training=self._training,
            dtype=str(self._root.dtype),
            backend=backend_of(self._root),
            level="layer",
            chance=self._chance,
        )
        return assemble(header, self.tape, self.structure, measured, None, self._drawn)

    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """|g_e|, share and cosine of every edge, in the order of `trace().edges`; NaN where a gradient is exactly 0."""
        pages = [t.buffer.array for t in self._read()]
        numbers = np.concatenate([*pages, np.zeros(WIDTH)]).reshape(-1, WIDTH)  # the last row for what has none: -1
        whole, part, dot = self.edge_rows
        with np.errstate(all="ignore"):
            g, own = np.sqrt(numbers[whole, 1]), np.sqrt(numbers[part, 1])
            product = np.where(dot >= 0, numbers[dot, 0], np.where(part >= 0, g * g, 0.0))
            return own, np.where(g != 0, product / (g * g), np.nan), np.where(g * own != 0, product / (own * g), np.nan)

    @functools.cached_property
    def edge_rows(self) -> np.ndarray:
        """By edge the rows of the producer's gradient, of what came over it, and of the inner product; -1 for none."""
        tape, observer = self.tape, self.probes.observer
        ends = [(tape.units[src], dst) for src, dst in self.structure.shape.edges]
        ends += [(tape.parameters[src], dst) for src, dst in tape.parameter_edges]
        found = []
        for producer, consumer in ends:
            whole = observer.gradients.get(producer, -1)
            alone = (-1, -1) if producer in observer.splitting else (whole, -1)
            found.append((whole, *observer.splits.get((producer, consumer), alone)))
        return np.array(found, np.int64).reshape(-1, 3).T

    @functools.cached_property
    def edge_names(self) -> tuple[tuple[str, str, str], ...]:
        """Source, destination and kind of every edge."""
        return tuple([(e.src, e.dst, e.kind) for e in self.trace_of([t.buffer for t in self.tensors()]).edges])

    def __repr__(self) -> str:
        return f"<Look at {len(self.tape.units)} nodes; look.trace() tells it>"


def batch_of(tape: Tape) -> int | None:
    """The rows of the first input."""
    inputs = (n for n, role in zip(tape.units, tape.roles) if role == LEAF and not n.requires_grad and n.shape)
    return next((n.shape[0] for n in inputs), None)


def backend_of(root: Node) -> str:
    """What computed it, as a header says it."""
    if root.dtype == FLOAT64 or backend() == "reference":
        return "reference"
    return f"native/{native.isa()}"
