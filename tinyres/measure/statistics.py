"""Run backward over a tape and measure it: statistics of every value and gradient, and of every edge at a fork.

It watches the pass that trains, through the engine's observers. The numbers are computed by kernels (float64
accumulation) that are queued on the way and read once at the end. Where a producer has one consumer its gradient *is*
the edge's cotangent, so only forks cost more than one statistic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.backward import propagate
from tinyres.engine.node import Node
from tinyres.engine.tensor import Tensor
from tinyres.launch import launch
from tinyres.measure.audit import Arrived, Ledger
from tinyres.measure.carried import Carried
from tinyres.measure.heads import Heads
from tinyres.measure.returned import Returns
from tinyres.measure.sheet import Sheet
from tinyres.measure.tape import Tape
from tinyres.structure.structure import Structure
from tinyres.trace.building import EdgeNumbers, Statistics
from tinyres.trace.nodes import Audit, Head, Returned


@dataclass(frozen=True, slots=True)
class Measurement:
    """By node: statistics of values and gradients; by (producer, consumer unit): of edges where a gradient splits.

    A node that no gradient reached is not in `gradients`: its gradient is zero by definition. splitting: the nodes that
    several units read; an edge from one of them that is not in `splits` carried nothing. carried: per fork, by unit on
    its skips, how far its value is from the fork's; returned: what became of the gradient there. dead: by unit that
    ends in a ReLU, how many channels are all 0. by_position: of the gradients of (batch, tokens, features). heads: by
    unit that attends, what each does.
    """

    values: dict[Node, Statistics]
    gradients: dict[Node, Statistics]
    splits: dict[tuple[Node, int], EdgeNumbers]
    splitting: set[Node]
    carried: list[dict[int, float | None]]
    returned: list[dict[int, Returned]]
    arrays: dict[Node, tuple[np.ndarray, np.ndarray | None]]
    audit: Audit | None
    dead: dict[int, int]
    by_position: dict[Node, tuple[float, ...]]
    heads: dict[int, tuple[Head, ...]]


def measure(root: Node, tape: Tape, structure: Structure, ledger: Ledger | None, arrays: bool) -> Measurement:
    """Values, then gradients, of all units and parameters of a tape. `ledger` audits every node on the way."""
    probes = Probes(tape, structure, ledger, arrays)
    propagate(root, tape.order, retain_graph=True, targets=set(), on_edge=probes.on_edge, on_node=probes.on_node)
    return probes.read()


class Probes:
    """What is measured of a tape: of its values when it is made, of its gradients as an observer of a backward pass.

    by_kernels: measure nothing in Python, so that a captured step can do it: the gradient by position and the heads of
    attentions are left out. sheet: where the kernels put the numbers. values: by node the row of its statistics; dead:
    by unit that a ReLU cuts that of its channels' largest values, -1 where Python looks.
    """

    def __init__(
        self,
        tape: Tape,
        structure: Structure,
        ledger: Ledger | None = None,
        arrays: bool = False,
        by_kernels: bool = False,
    ) -> None:
        self.tape = tape
        self.sheet = sheet = Sheet()
        self._ledger, self._arrays, self._by_kernels = ledger, arrays, by_kernels
        watched = [*tape.units, *tape.parameters]
        self.values = {node: sheet.statistics(node.buffer, node.buffer.size) for node in watched}
        self._carried = Carried(tape, structure, sheet)
        self._returns = Returns(tape, structure.forks, self._carried.carriers, sheet)
        self._heads = None if by_kernels else Heads(tape.order)
        cut = [i for i, node in enumerate(tape.units) if tape.facts[i].rectified and node.shape]
        self.dead = {i: _largest_of_channels(tape.units[i], sheet) if by_kernels else -1 for i in cut}
        self.observer = _Observer(tape, sheet, self._returns, self._heads, ledger, arrays)

    def on_edge(self, consumer: Node, position: int, producer: Node, cotangent: Tensor | None) -> None:
        self.observer.on_edge(consumer, position, producer, cotangent)

    def on_node(self, node: Node, total: Tensor) -> None:
        self.observer.on_node(node, total)

    def read(self, pages: Sequence[Buffer] | None = None) -> Measurement:
        """What was measured. pages: what the kernels wrote in another run, for probes that measure by kernels."""
        tape, observer = self.tape, self.observer
        statistics, dots = self.sheet.read(pages)
        copies = {}
        if self._arrays:
            for node in self.values:
                copies[node] = _frozen(node.buffer.array.reshape(node.shape)), observer.copies.get(node)
        splits = {key: EdgeNumbers(statistics[part].norm, dots[dot]) for key, (part, dot) in observer.splits.items()}
        deep = [] if self._by_kernels else [n for n in tape.units if len(n.shape) == 3]
        return Measurement(
            values={node: statistics[row] for node, row in self.values.items()},
            gradients={node: statistics[row] for node, row in observer.gradients.items()},
            splits=splits,
            splitting=observer.splitting,
            carried=self._carried.read({i: statistics[self.values[node]] for i, node in enumerate(tape.units)}, dots),
            returned=self._returns.read(statistics, dots),
            arrays=copies,
            audit=self._ledger.close(observer.left) if self._ledger is not None else None,
            dead={i: _dead(tape.units[i]) if row < 0 else statistics[row].zeros for i, row in self.dead.items()},
            by_position={n: observer.by_position.get(n, (0.0,) * n.shape[1]) for n in deep},
            heads={} if self._heads is None else self._heads.read(tape.owner),
        )


def _largest_of_channels(node: Node, sheet: Sheet) -> int:
    """The row of the largest value of each channel: of what a ReLU cuts it is 0 where the channel is dead."""
    channels = node.shape[-1]
    largest = Buffer(channels, node.dtype)
    rows = node.buffer.size // channels if channels else 0
    if rows:
        launch(kernels.max, (largest,), (node.buffer,), (1, rows, channels))
    else:
        launch(kernels.fill, (largest,), (), (channels,), (1.0,))
    return sheet.statistics(largest, channels)


def _dead(node: Node) -> int:
    """How many channels are 0 throughout; most are seen to be alive within few rows, and only the others read on."""
    rows = node.buffer.array[: node.buffer.size].reshape(-1, node.shape[-1]) if node.buffer.size else np.ones((1, 0))
    left = np.arange(rows.shape[1])
    first, count = 0, 64
    while first < len(rows) and left.size:
        left = left[~np.any(rows[first : first + count, left], axis=0)]
        first, count = first + count, count * 4
    return int(left.size)


def _by_position(g: Tensor) -> tuple[float, ...]:
    """The norms along axis 1, in float64; a sample at a time, so that no copy of all is made."""
    squares = np.zeros(g.shape[1])
    with np.errstate(all="ignore"):
        for sample in g.buffer.array[: g.size].reshape(g.shape):
            squares += np.einsum("tf,tf->t", sample, sample, dtype=np.float64)
    return tuple(np.sqrt(squares).tolist())


class _Observer:
    """Sees every cotangent and every total of a backward pass, and queues what is to be measured of them."""

    def __init__(
        self, tape: Tape, sheet: Sheet, returns: Returns, heads: Heads | None, ledger: Ledger | None, arrays: bool
    ) -> None:
        self.gradients: dict[Node, int] = {}
        self.splits: dict[tuple[Node, int], tuple[int, int]] = {}
        self.copies: dict[Node, np.ndarray] = {}
        self.by_position: dict[Node, tuple[float, ...]] = {}
        self._sheet = sheet
        self._returns = returns
        self._heads = heads
        self._owner = tape.owner
        self._ledger = ledger
        self._arrays = arrays
        self._watched = {*tape.units, *tape.parameters}
        self.splitting = _splitting(tape)
        self.left: dict[Node, Arrived] = {}
        self._passing: tuple[Buffer, int] | None = None
        self._passed: dict[Node, int] = {}

    def on_edge(self, consumer: Node, position: int, producer: Node, cotangent: Tensor | None) -> None:
        if self._ledger is not None:
            self._ledger.hear(consumer, position, cotangent)
        arrived = self.left.get(producer)
        if arrived is None:
            self.left[producer] = [(consumer, cotangent)]
            # A consumer that hands its own gradient on (an Add) has had it measured already.
            if cotangent is not None and self._passing is not None and cotangent.buffer is self._passing[0]:
                self._passed[producer] = self._passing[1]
        else:
            arrived.append((consumer, cotangent))

    def on_node(self, node: Node, total: Tensor) -> None:
        arrived = self.left.pop(node, [])
        if self._ledger is not None:
            self._ledger.check(node, arrived, total)
        if self._heads is not None:
            self._heads.hear(node, total)
        self._passing = None
        passed = self._passed.pop(node, None)
        if node not in self._watched:
            return
        if passed is not None and len(arrived) == 1:
            row = passed
        else:
            row = self._sheet.statistics(total.buffer, total.size)
        self.gradients[node] = row
        self._passing = total.buffer, row
        self._returns.whole(node, total, row)
        if node in self.splitting:
            self._split(node, arrived, total)
        if len(node.shape) == 3 and node in self._owner and self._heads is not None:
            self.by_position[node] = _by_position(total)
        if self._arrays:
            self.copies[node] = _frozen(total.buffer.array.reshape(total.shape))

    def _split(self, node: Node, arrived: Arrived, total: Tensor) -> None:
        own = self._owner.get(node)
        by_consumer: dict[int, list[Tensor]] = {}
        for consumer, cotangent in arrived:
            unit = self._owner[consumer]
            if unit != own and cotangent is not None:
                by_consumer.setdefault(unit, []).append(cotangent)
        for unit, cotangents in by_consumer.items():
            buffer = cotangents[0].buffer if len(cotangents) == 1 else _summed(cotangents)
            part = self._sheet.statistics(buffer, total.size)
            self._returns.part(node, unit, buffer, total.size, part)
            self.splits[node, unit] = part, self._sheet.dot(buffer, total.buffer, total.size)


def _splitting(tape: Tape) -> set[Node]:
    """The nodes that several units read: only there is an edge's cotangent not the whole gradient."""
    readers: dict[Node, int] = {}
    for src, _ in tape.edges:
        readers[tape.units[src]] = readers.get(tape.units[src], 0) + 1
    for src, _ in tape.parameter_edges:
        readers[tape.parameters[src]] = readers.get(tape.parameters[src], 0) + 1
    return {node for node, count in readers.items() if count > 1}


def _summed(cotangents: Iterable[Tensor]) -> Buffer:
    first, *others = cotangents
    total = Buffer(first.size, first.dtype)
    launch(kernels.add, (total,), (first.buffer, others[0].buffer), (1, first.size))
    for other in others[1:]:
        launch(kernels.add, (total,), (total, other.buffer), (1, first.size))
    return total


def _frozen(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy
