"""The faster of two ways to the same results, found by the clock while they are used.

Whether a second worker pays for a list of small calls depends on what no plan can know: whether the other core is free
at the moment, and how far it is, for a wait and a cache line from there cost four times as much on some machines as on
others, and on virtual ones from one minute to the next. So a list for several workers is tried against one for a single
worker: several threads are then not slower than one, but for the trials.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

SPAN = 4  # runs of one list in a row in a trial; the first wakes or loses the workers and is not counted
SPANS = 6  # per trial, the two lists in turn
HOPELESS = 4.0  # a trial ends when one run takes so many times as long as the other list: its worker has no core
STAY = 500  # runs between trials; doubled while they find the same
LONGEST_STAY = 16_000


class FasterOf:
    """Two functions that do the same: -1, or the index of a call that failed. `run` calls one of them.

    alone: for one worker; shared: for several.
    """

    def __init__(self, alone: Callable[[], int], shared: Callable[[], int]) -> None:
        self._ways = (alone, shared)
        self._chosen = -1  # nothing yet
        self._left = 0  # runs until the next trial begins
        self._stay = STAY
        self._times: tuple[list[float], list[float]] | None = None  # of the trial in progress
        self._tried = 0

    def run(self) -> int:
        """What both give."""
        if self._left > 0:
            self._left -= 1
            return self._ways[self._chosen]()
        return self._try()

    def _try(self) -> int:
        if self._times is None:
            self._times, self._tried = ([], []), 0
        way = self._tried // SPAN % 2
        start = perf_counter()
        failed = self._ways[way]()
        took = perf_counter() - start
        mine, others = self._times[way], self._times[1 - way]
        if self._tried % SPAN:
            mine.append(took)
        self._tried += 1
        hopeless = bool(others) and way == 1 and took > HOPELESS * np.median(others)
        if hopeless or self._tried == SPAN * SPANS:
            self._settle(0 if hopeless or np.median(self._times[0]) <= np.median(self._times[1]) else 1)
        return failed

    def _settle(self, chosen: int) -> None:
        self._stay = min(2 * self._stay, LONGEST_STAY) if chosen == self._chosen else STAY
        self._chosen, self._left, self._times = chosen, self._stay, None
