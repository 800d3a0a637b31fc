"""Run backward over a tape and measure it: every gradient is looked at as it passes, and let go of.

A hook of a node of autograd is told what came to the node and what it sends over each of its edges. What was sent to a
node is kept until the node runs itself: so long autograd keeps it too, but for what waits at a fork.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tinyres.errors import TraceError
from tinyres.torch.audit import differences
from tinyres.torch.calls import is_leaf
from tinyres.torch.library import torch
from tinyres.torch.skips import Skips
from tinyres.torch.statistics import Sums, dot, norms_by_position, sums_of
from tinyres.torch.tape import Key, Tape
from tinyres.trace.building import EdgeNumbers
from tinyres.trace.nodes import Audit, Failure


class Arrived(NamedTuple):
    """What one consumer sent to an output of a node, None for nothing."""

    consumer: Any
    cotangent: Any


@dataclass
class Measurement:
    """gradients: by place, that of a unit or behind them that of a weight; splits: by place and consumer.

    by_position: by unit, of gradients of (batch, tokens, features).
    """

    gradients: dict[int, Sums] = field(default_factory=dict)
    splits: dict[tuple[int, int], EdgeNumbers] = field(default_factory=dict)
    by_position: dict[int, tuple[float, ...]] = field(default_factory=dict)
    audit: Audit | None = None


def measure(loss: Any, tape: Tape, skips: Skips, audit: bool) -> Measurement:
    """Gradients of all units and weights, and of all edges. No `.grad` is touched."""
    _refuse_reentrant(tape)
    observer = _Observer(tape, skips, audit)
    handles = [n.register_hook(observer.hook(n)) for n in tape.order if not is_leaf(n)]
    ends = [n for n in tape.order if is_leaf(n)]
    try:
        found = torch.autograd.grad(loss, [n.variable for n in ends], allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    for node, gradient in zip(ends, found):
        observer.passed(node, 0, gradient)
    return observer.measurement()


def _refuse_reentrant(tape: Tape) -> None:
    for node in tape.order:
        if node.name() == "CheckpointFunctionBackward":
            raise TraceError(
                "[torch] a region under checkpoint runs its own backward pass unless told not to, which no hook sees; "
                f"got one at {tape.name(tape.place[node])}; call checkpoint(..., use_reentrant=False)"
            )


class _Observer:
    """Sees every cotangent and every total of a backward pass."""

    def __init__(self, tape: Tape, skips: Skips, audit: bool) -> None:
        self._tape = tape
        self._skips = skips
        self._audit = audit
        self._arrived: dict[Key, list[Arrived]] = {}
        self._found = Measurement()
        self._failures: list[Failure] = []
        self._edges = 0
        self._visited: set[Any] = set()
        self._readers: dict[Key, set[int]] = {}
        for node in tape.order:
            for below, output in node.next_functions:
                if below is not None:
                    self._readers.setdefault((below, output), set()).add(tape.place[node])

    def hook(self, node: Any) -> Callable[[Sequence[Any], Sequence[Any]], None]:
        """What autograd calls when a node has run."""

        def seen(sent: Sequence[Any], came: Sequence[Any]) -> None:
            with torch.no_grad():
                for output, total in enumerate(came):
                    self.passed(node, output, total)
                for (below, output), cotangent in zip(node.next_functions, sent):
                    if below is not None:
                        self._edges += 1
                        self._arrived.setdefault((below, output), []).append(Arrived(node, cotangent))

        return seen

    def passed(self, node: Any, output: int, total: Any) -> None:
        """The whole gradient of an output of a node, None for none; what came for it over its edges is there."""
        self._visited.add(node)
        arrived = self._arrived.pop((node, output), [])
        place = self._tape.place[node]
        if self._audit and arrived:
            for problem, error in differences([a.cotangent for a in arrived], total):
                self._failures.append(Failure(self._tape.name(place), None, problem, error))
        readers = self._readers.get((node, output))
        if total is None or (readers is not None and readers == {place}):
            return
        sums = sums_of([total])
        self._found.gradients.setdefault(place, Sums()).join(sums)
        self._skips.whole(place, total, math.sqrt(sums.squares))
        if place < len(self._tape.units) and total.dim() == 3:
            self._found.by_position[place] = norms_by_position(total)
        by_reader: dict[int, list[Any]] = {}
        for consumer, cotangent in arrived:
            reader = self._tape.place[consumer]
            if reader != place and cotangent is not None:
                by_reader.setdefault(reader, []).append(cotangent)
        for reader, cotangents in by_reader.items():
            self._split(place, reader, cotangents[0] if len(cotangents) == 1 else sum(cotangents), total)

    def _split(self, place: int, reader: int, part: Any, total: Any) -> None:
        before = self._found.splits.get((place, reader), EdgeNumbers(0.0, 0.0))
        norm = math.sqrt(sums_of([part]).squares)
        self._skips.part(place, reader, part, norm)
        self._found.splits[place, reader] = EdgeNumbers(math.hypot(before.norm, norm), before.dot + dot(part, total))

    def measurement(self) -> Measurement:
        """All that was seen."""
        if self._audit:
            for (node, _), arrived in self._arrived.items():
                if any(a.cotangent is not None for a in arrived):
                    name = self._tape.name(self._tape.place[node])
                    self._failures.append(Failure(name, None, "received a gradient that was not passed on", math.nan))
            self._found.audit = Audit("sums", len(self._visited), self._edges, tuple(self._failures))
        return self._found
