"""The scale of the ribbon: how wide a gradient is drawn by log |g|, with one height per decade in all pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

PER_DECADE = 3.0  # in units of the drawing
THINNEST = 2.0
_FEWEST, _MOST = 6, 12  # decades from the thinnest to the widest


@dataclass(frozen=True, slots=True)
class Gauge:
    """top: the largest |g|, drawn widest; None where there is none above 0. decades: so many below it, the thinnest."""

    top: float | None
    decades: int

    @property
    def widest(self) -> float:
        """The width of the largest |g|."""
        return THINNEST + PER_DECADE * self.decades

    @property
    def bottom(self) -> float:
        """The |g| at and below which ribbons are the thinnest."""
        return 0.0 if self.top is None else self.top * 10.0**-self.decades

    def width(self, norm: float | None) -> float | None:
        """How wide this |g| is drawn; None where it is unknown, exactly 0 or not finite."""
        if self.top is None or norm is None or not 0 < norm < math.inf:
            return None
        return max(THINNEST, self.widest - PER_DECADE * (math.log10(self.top) - math.log10(norm)))


def gauge_of(norms: Iterable[float | None]) -> Gauge:
    """One scale for all of them."""
    known = [n for n in norms if n is not None and 0 < n < math.inf]
    if not known:
        return Gauge(None, _FEWEST)
    span = math.log10(max(known)) - math.log10(min(known))
    return Gauge(max(known), min(_MOST, max(_FEWEST, math.ceil(span))))
