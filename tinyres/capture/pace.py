"""The faster of two ways to the same results, found by the clock while they are used.

Whether a second worker pays for a list of small calls depends on what no plan can know: whether the other core is free
at the moment, and how far it is, for a wait and a cache line from there cost four times as much on some machines as on
others, and on virtual ones from one minute to the next. So lists for several workers are tried against one for a
single worker: several threads are then not slower than one, but for the trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter

SPAN = 4  # runs of one way in a row in a trial; the first wakes or loses the workers and is not counted
ROUNDS = 3  # per trial, all ways in turn
HOPELESS = 4.0  # a way is out if one run takes so many times as long as on one worker: its workers have no cores
STAY = 500  # runs between trials; doubled while they find the same
LONGEST_STAY = 16_000


class FasterOf:
    """Functions that do the same, the first of them on one worker. `run` calls one of them, and gives what it gives."""

    def __init__(self, *ways: Callable[[], int]) -> None:
        self._ways = ways
        self._chosen = -1  # nothing yet
        self._left = 0  # runs until the next trial begins
        self._stay = STAY
        self._schedule: list[int] = []  # of the trial in progress: the ways still to run
        self._times: list[list[float]] = []
        self._last = -1  # way

    def run(self) -> int:
        if self._left > 0:
            self._left -= 1
            return self._ways[self._chosen]()
        return self._try()

    def _try(self) -> int:
        if not self._schedule:
            self._schedule = [way for _ in range(ROUNDS) for way in range(len(self._ways)) for _ in range(SPAN)]
            self._times, self._last = [[] for _ in self._ways], -1
        way = self._schedule.pop(0)
        start = perf_counter()
        result = self._ways[way]()
        took = perf_counter() - start
        if way == self._last:
            self._times[way].append(took)
        self._last = way
        if way > 0 and took > HOPELESS * _median(self._times[0]):
            self._schedule = [w for w in self._schedule if w != way]
            self._times[way] = [math.inf]
        if not self._schedule:
            medians = [_median(times) for times in self._times]
            self._settle(medians.index(min(medians)))
        return result

    def _settle(self, chosen: int) -> None:
        self._stay = min(2 * self._stay, LONGEST_STAY) if chosen == self._chosen else STAY
        self._chosen, self._left = chosen, self._stay


def _median(times: Sequence[float]) -> float:
    """NumPy's imports a module when it first runs, and a child that is forked in that moment would wait for it."""
    ordered = sorted(times)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
