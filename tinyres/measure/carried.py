"""What a skip makes of what it carries: per node on it, how far its value is from the fork's."""

from __future__ import annotations

from collections.abc import Mapping

from tinyres.measure.sheet import Sheet
from tinyres.measure.tape import Tape
from tinyres.structure.carriers import Carrier, carriers_of
from tinyres.structure.structure import Structure
from tinyres.trace.building import Statistics, departure


class Carried:
    """Queues the inner products of a tape's skips, and reads off them how far each carrier departs."""

    def __init__(self, tape: Tape, structure: Structure, sheet: Sheet) -> None:
        self._tape = tape
        self.carriers = _carriers(tape, structure)
        self._rows: dict[tuple[int, int], int] = {}
        for node, base in ((c.node, c.base) for own in self.carriers for c in own):
            if base is not None and (node, base) not in self._rows:
                buffer = tape.units[node].buffer
                self._rows[node, base] = sheet.dot(buffer, tape.units[base].buffer, buffer.size)

    def read(self, values: Mapping[int, Statistics], dots: list[float]) -> list[dict[int, float | None]]:
        """Per fork: |y - x| / |x| by carrier, None where there is nothing to compare it with."""
        return [{c.node: self._departs(c, values, dots) for c in own} for own in self.carriers]

    def _departs(self, carrier: Carrier, values: Mapping[int, Statistics], dots: list[float]) -> float | None:
        node, base = carrier.node, carrier.base
        if base is None:
            return None
        return departure(values[base].norm, values[node].norm, dots[self._rows[node, base]])


def _carriers(tape: Tape, structure: Structure) -> list[list[Carrier]]:
    """Per fork what its skips carry."""
    projecting = {dst for src, dst in tape.parameter_edges if tape.parameters[src] in tape.fans}

    def alike(a: int, b: int) -> bool:
        first, second = tape.units[a], tape.units[b]
        return first.buffer.size == second.buffer.size and first.dtype == second.dtype

    return [list(carriers_of(fork, structure, projecting, alike)) for fork in structure.forks]
