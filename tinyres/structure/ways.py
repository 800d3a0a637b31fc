"""How a path that a gradient takes is told: by the residual branches that it passed, and the last skip across."""

from __future__ import annotations

from typing import Any

from tinyres.structure.structure import Structure

Way = tuple[int, int]  # how many branches were passed, and which skip across last, NONE for none

NONE = -1
START: Way = (0, NONE)


class Steps:
    """What an edge between units makes of the way that a path has come."""

    def __init__(self, structure: Structure) -> None:
        self._branches = structure.branch_edges()
        self._across = structure.edges_across()
        self.across = list(structure.across.values())

    def over(self, producer: int | None, consumer: int) -> Way:
        """How many branches an edge adds, and the skip across that it is. producer: None for what is no unit."""
        edge: Any = (producer, consumer)
        return int(edge in self._branches), self._across.get(edge, NONE)


def after(way: Way, step: Way) -> Way:
    """The way behind a step."""
    return way[0] + step[0], way[1] if step[1] == NONE else step[1]
