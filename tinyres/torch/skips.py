"""What the skips of a module make of what they carry, and of the gradient.

Values pass before it is known which of them lie on a skip: where some do, the module runs forward once more, with the
same numbers drawn, and these are held beside one another. Most skips carry nothing.
"""

from __future__ import annotations

import math
from typing import Any

from tinyres.structure.carriers import Carrier, carriers_of
from tinyres.torch.calls import Call, Recorder
from tinyres.torch.running import Run
from tinyres.torch.statistics import dot, sums_of
from tinyres.torch.tape import Tape
from tinyres.trace.building import departure, returned_of
from tinyres.trace.nodes import Returned


class Skips:
    """Per fork of a tape what its skips carry. Told of every gradient, it compares those that they send back."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        projecting = {dst for w, dst in tape.weight_edges if tape.weights[w].fans is not None}
        sizes = tape.structure.shape.sizes
        self._carriers = [
            list(carriers_of(fork, tape.structure, projecting, lambda a, b: sizes[a] == sizes[b]))
            for fork in tape.structure.forks
        ]
        self._ends: set[int] = set()
        self._whole: dict[int, list[Carrier]] = {}
        self._part: dict[tuple[int, int], list[Carrier]] = {}
        for fork, c in [(f.node, c) for f, own in zip(tape.structure.forks, self._carriers) for c in own]:
            if c.before is None:
                continue
            self._ends.add(c.end)
            if c.before == fork:
                self._part.setdefault((fork, c.node), []).append(c)
            else:
                self._whole.setdefault(c.before, []).append(c)
        self._came: dict[int, tuple[Any, float]] = {}
        self._sent: dict[Carrier, Returned | None] = {}

    def whole(self, place: int, total: Any, norm: float) -> None:
        """The gradient of a unit, the newest first."""
        for c in self._whole.get(place, ()):
            self._beside(c, total, norm)
        if place in self._ends:
            self._came[place] = total, norm

    def part(self, place: int, reader: int, cotangent: Any, norm: float) -> None:
        """What one consumer sent back to a fork."""
        for c in self._part.get((place, reader), ()):
            self._beside(c, cotangent, norm)

    def _beside(self, carrier: Carrier, sent: Any, norm: float) -> None:
        if carrier.end in self._came and sent.numel() == self._came[carrier.end][0].numel():
            came, size = self._came[carrier.end]
            self._sent[carrier] = next(returned_of(size, norm, dot(sent, came)), None)

    def returned(self) -> list[dict[int, Returned]]:
        """Per fork, by carrier."""
        return [{c.node: r for c in own if (r := self._sent.get(c)) is not None} for own in self._carriers]

    def carried(self, run: Run) -> list[dict[int, float | None]]:
        """Per fork: |y - x| / |x| by carrier, None where there is nothing to compare it with."""
        pairs = {(c.node, c.base) for own in self._carriers for c in own if c.base is not None}
        found = self._departures(run, pairs) if pairs else {}
        return [{c.node: None if c.base is None else found[c.node, c.base] for c in own} for own in self._carriers]

    def _departures(self, run: Run, pairs: set[tuple[int, int]]) -> dict[tuple[int, int], float | None]:
        units = self._tape.units
        wanted = {i for pair in pairs for i in pair if units[i].calls}
        keeper = _Keeper(run.module.buffers(), {units[i].calls[-1].index for i in wanted})
        with run.unchanged():
            run.forward(keeper)
        values = {i: keeper.kept[units[i].calls[-1].index] for i in wanted}
        values |= {i: units[i].tensor for pair in pairs for i in pair if not units[i].calls}
        norms = {i: math.sqrt(sums_of([value]).squares) for i, value in values.items()}
        # A call with several results has the size of all, and one of them is kept: there is nothing to compare it with.
        alike = {(y, x) for y, x in pairs if values[y].numel() == values[x].numel()}
        return {
            (y, x): departure(norms[x], norms[y], dot(values[x], values[y])) if (y, x) in alike else None
            for y, x in pairs
        }


class _Keeper(Recorder):
    """Keeps the values of some calls, before anything in place changes them, and measures nothing."""

    def __init__(self, buffers: Any, wanted: set[int]) -> None:
        super().__init__(buffers)
        self._wanted = wanted
        self.kept: dict[int, Any] = {}

    def values(self, call: Call, made: list[Any]) -> None:
        if call.index in self._wanted:
            self.kept[call.index] = made[0].detach().clone()
