"""The audit of a backward pass: does every gradient add up?

For every node: all the consumers that forward counted answered, and what they sent sums to the gradient that was passed
on, within k·(u·Σ|g_e| + t) elementwise: k edges, in float32 unit roundoff u = 2⁻²⁴ and smallest normal number
t = 2⁻¹²⁶, below which native kernels flush to 0. It cannot see a VJP that is wrong in itself: for that there is
`audit="full"`, which adds the local adjoint identity of every op, and what each VJP of this very run sent beside what
it means in float64.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from tinyres.engine.node import Node
from tinyres.engine.tensor import Tensor
from tinyres.kernels.dtypes import FLOAT32
from tinyres.measure.adjoint import check_adjoints
from tinyres.measure.meaning import Sent, check_sent
from tinyres.measure.tape import Tape
from tinyres.trace.nodes import Audit, Failure

Arrived = list[tuple[Node, Tensor | None]]


def unit_roundoff(dtype: np.dtype) -> float:
    """The largest relative error of one rounded operation."""
    return 2.0**-24 if dtype == FLOAT32 else 2.0**-53


class Ledger:
    """Checks each node of one backward pass as its gradient is complete."""

    def __init__(self, root: Node, tape: Tape, full: bool = False) -> None:
        self._root = root
        self._full = full
        self._label: Callable[[Node], str] = _labels(tape)
        self._consumers = _consumers(tape)
        self._order = tape.order
        self._visited: set[Node] = set()
        self._edges = 0
        self._sent: dict[Node, Sent] = {}
        self.failures: list[Failure] = []

    def check(self, node: Node, arrived: Arrived, total: Tensor) -> None:
        """One node's whole gradient, and what came for it over its edges."""
        self._visited.add(node)
        if self._full and node.op is not None:
            self._sent[node] = Sent(total.buffer.array.copy(), {})
        if node is self._root:
            return
        self._compare_consumers(node, arrived)
        cotangents = [c for _, c in arrived if c is not None]
        if len(cotangents) == 1 and cotangents[0].buffer is total.buffer:
            return
        self._compare_sum(node, cotangents, total)

    def hear(self, consumer: Node, position: int, cotangent: Tensor | None) -> None:
        """What a consumer sends to one of its inputs; kept, since what is added up later may overwrite it."""
        if self._full:
            producer = consumer.inputs[position]
            nothing = np.zeros(producer.buffer.size, producer.dtype)
            self._sent[consumer].parts[position] = nothing if cotangent is None else cotangent.buffer.array.copy()

    def close(self, left: Mapping[Node, Arrived]) -> Audit:
        """The finding after the pass. left: what arrived for nodes whose gradient was never passed on."""
        for node in self._order:
            if node not in self._visited:
                arrived = left.get(node, [])
                self._compare_consumers(node, arrived)
                if any(c is not None for _, c in arrived):
                    self._fail(node, None, "received a gradient that was not passed on", math.nan)
        if self._full:
            self.failures += check_adjoints(reversed(self._order), self._label)
            self.failures += check_sent(self._sent, self._label)
        return Audit("full" if self._full else "sums", len(self._visited), self._edges, tuple(self.failures))

    def _compare_consumers(self, node: Node, arrived: Arrived) -> None:
        """Consumers that no gradient reached have none to pass on; all others must answer, as often as they read."""
        self._edges += len(arrived)
        expected = self._consumers[node]
        if [consumer for consumer, _ in arrived] == expected:
            return
        missing = Counter(c for c in expected if c in self._visited)
        missing.subtract(c for c, _ in arrived)
        for consumer, count in missing.items():
            if count > 0:
                self._fail(node, consumer, "read it in forward and sent nothing back", math.nan)
            elif count < 0:
                self._fail(node, consumer, "sent a gradient back more often than it read it in forward", math.nan)

    def _compare_sum(self, node: Node, cotangents: list[Tensor], total: Tensor) -> None:
        parts = [c.buffer.array for c in cotangents]
        measured = total.buffer.array
        with np.errstate(all="ignore"):
            if parts and np.array_equal(sum(parts[1:], parts[0]), measured):
                return
            exact = np.zeros(measured.size)
            magnitude = np.zeros(measured.size)
            for part in parts:
                exact += part
                magnitude += np.abs(part, dtype=np.float64)
            difference = np.abs(measured - exact)
            smallest = float(np.finfo(measured.dtype).tiny)
            tolerance = max(1, len(parts)) * (unit_roundoff(measured.dtype) * magnitude + smallest)
            # Where the sum itself is not finite, the gradient must not be either; their difference says nothing.
            overflow = ~np.isfinite(exact) | (magnitude > np.finfo(measured.dtype).max)
            wrong = np.where(overflow, np.isfinite(measured) & ~np.isfinite(exact), ~(difference <= tolerance))
        if wrong.any():
            worst = float(np.max(np.where(wrong, difference, 0.0)))
            self._fail(
                node, None, f"its gradient is not the sum of its {len(parts)} edges, off by up to {worst:.3g}", worst
            )

    def _fail(self, node: Node, consumer: Node | None, problem: str, error: float) -> None:
        name = self._label(node)
        if consumer is None:
            self.failures.append(Failure(name, None, problem, error))
        else:
            other = self._label(consumer)
            self.failures.append(Failure(name, (name, other), f"{other} {problem}", error))


def _consumers(tape: Tape) -> dict[Node, list[Node]]:
    """Per node its consumers as forward recorded them, in the order in which backward will hear from them."""
    consumers: dict[Node, list[Node]] = {node: [] for node in tape.order}
    for node in tape.order:
        for producer in node.inputs:
            if producer in consumers:
                consumers[producer].append(node)
    return consumers


def _labels(tape: Tape) -> Callable[[Node], str]:
    names: dict[Node, str] = dict(zip(tape.parameters, tape.parameter_names))
    names.update((tape.units[i], name) for i, name in enumerate(tape.names))

    def label(node: Node) -> str:
        """The unit's name; for an op inside of a layer also the op's."""
        if node in names:
            return names[node]
        return f"{tape.names[tape.owner[node]]}/{node.op.name if node.op is not None else 'leaf'}"

    return label
