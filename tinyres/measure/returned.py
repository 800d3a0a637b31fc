"""What a skip makes of the gradient: per node on it, what it sends back beside what came to the end of the skip.

Norms alone cannot tell an identity from what reverses or turns a gradient; the inner product of the two can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tinyres.backends.buffers import Buffer
from tinyres.engine.node import Node
from tinyres.engine.tensor import Tensor
from tinyres.measure.sheet import Sheet
from tinyres.measure.tape import Tape
from tinyres.structure.carriers import Carrier
from tinyres.structure.kinds import ForkShape
from tinyres.trace.building import Statistics, returned_of
from tinyres.trace.nodes import Returned


class _Rows(NamedTuple):
    """Where a norm is, and the inner product with what came in."""

    norm: int
    dot: int


class Returns:
    """Told of every gradient of a backward pass, it queues the inner products of those that skips send back."""

    def __init__(self, tape: Tape, forks: Sequence[ForkShape], carriers: list[list[Carrier]], sheet: Sheet) -> None:
        self._sheet = sheet
        self._carriers = carriers
        self._ends: dict[Node, int] = {}
        self._whole: dict[Node, list[Carrier]] = {}
        self._part: dict[tuple[Node, int], list[Carrier]] = {}
        for fork, c in [(f.node, c) for f, own in zip(forks, carriers) for c in own]:
            if c.before is None:
                continue
            self._ends[tape.units[c.end]] = c.end
            if c.before == fork:
                self._part.setdefault((tape.units[fork], c.node), []).append(c)
            else:
                self._whole.setdefault(tape.units[c.before], []).append(c)
        self._came: dict[int, tuple[Buffer, int]] = {}
        self._sent: dict[Carrier, _Rows] = {}

    def whole(self, node: Node, total: Tensor, row: int) -> None:
        """The gradient of a node, the newest first; row: its statistics."""
        for c in self._whole.get(node, ()):
            self._beside(c, total.buffer, total.size, row)
        if node in self._ends:
            self._came[self._ends[node]] = total.buffer, row

    def part(self, node: Node, unit: int, cotangent: Buffer, size: int, row: int) -> None:
        """What one consumer sent back to a fork."""
        for c in self._part.get((node, unit), ()):
            self._beside(c, cotangent, size, row)

    def _beside(self, carrier: Carrier, sent: Buffer, size: int, row: int) -> None:
        if carrier.end in self._came:
            self._sent[carrier] = _Rows(row, self._sheet.dot(sent, self._came[carrier.end][0], size))

    def read(self, statistics: list[Statistics], dots: list[float]) -> list[dict[int, Returned]]:
        """Per fork, by carrier."""
        return [{c.node: r for c in own for r in self._returned(c, statistics, dots)} for own in self._carriers]

    def _returned(self, carrier: Carrier, statistics: list[Statistics], dots: list[float]) -> Iterator[Returned]:
        if carrier not in self._sent:
            return
        sent = self._sent[carrier]
        came, back = statistics[self._came[carrier.end][1]].norm, statistics[sent.norm].norm
        yield from returned_of(came, back, dots[sent.dot])
