"""Spread: one number over several seeds, and when one of them may be called less than another."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tinyres.view.numbers import number


def percent(value: float) -> str:
    """A share as a table shows it: 6.1%."""
    return f"{value:.1%}"


@dataclass(frozen=True)
class Spread:
    """One number per seed. values: in the order of the seeds, None where the loss diverged.

    `mean` and `sd` (of one seed, with n - 1) are of what is known; both are None where nothing is, `sd` for one seed.

    >>> Spread((0.25, 0.75)).mean, round(Spread((0.25, 0.75)).sd, 3)
    (0.5, 0.354)
    """

    values: tuple[float | None, ...]

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread:
        """From any values."""
        return cls(tuple(values))

    @property
    def known(self) -> list[float]:
        """Those that did not diverge."""
        return [value for value in self.values if value is not None]

    @property
    def diverged(self) -> int:
        """How many did."""
        return len(self.values) - len(self.known)

    @property
    def mean(self) -> float | None:
        """Over what is known."""
        return statistics.fmean(self.known) if self.known else None

    @property
    def sd(self) -> float | None:
        """The standard deviation of one seed."""
        return statistics.stdev(self.known) if len(self.known) > 1 else None

    def below(self, other: Spread) -> bool:
        """Whether this is less beyond the spread: both bands of one sd lie apart. Never by a single seed.

        What diverged in every seed is above all that never did; where only some did, nothing is said.

        >>> low, high, wide = Spread((0.1, 0.2)), Spread((0.5, 0.6)), Spread((0.0, 0.9))
        >>> low.below(high), low.below(wide), high.below(low), low.below(Spread((None, None)))
        (True, False, False, True)
        """
        if self.diverged or self.mean is None or self.sd is None:
            return False
        if not other.known:
            return len(other.values) > 1
        if other.diverged or other.mean is None or other.sd is None:
            return False
        return self.mean + self.sd < other.mean - other.sd

    @property
    def comparable(self) -> bool:
        """Whether there is a mean and a spread, and no seed diverged."""
        return not self.diverged and self.sd is not None

    def text(self, shown: Callable[[float], str] = number) -> str:
        """Mean ± sd, or how many seeds diverged.

        >>> Spread((2.0, 4.0)).text(), Spread((None, 2.0)).text(), Spread((2.0,)).text()
        ('3.00 ± 1.41', '1/2 diverged', '2.00')
        """
        if self.diverged or self.mean is None:
            return f"{self.diverged}/{len(self.values)} diverged"
        return shown(self.mean) if self.sd is None else f"{shown(self.mean)} ± {_alike(shown, self.mean, self.sd)}"

    @property
    def percent(self) -> str:
        """As shares.

        >>> Spread((0.25, 0.75)).percent, Spread((0.5,)).percent, Spread((0.5, None)).percent
        ('50.0% ± 35.4', '50.0%', '1/2 diverged')
        """
        return self.text(percent)


def _alike(shown: Callable[[float], str], mean: float, sd: float) -> str:
    """An sd with as many decimals as its mean."""
    text = shown(mean)
    if text.endswith("%"):
        return percent(sd).removesuffix("%")
    return shown(sd) if "e" in text else f"{sd:.{len(text.partition('.')[2])}f}"


@dataclass(frozen=True)
class Factor(Spread):
    """A Spread of positive numbers that differ by factors: `mean` is the geometric one, `sd` the factor of one seed.

    >>> round(Factor((1.0, 100.0)).mean, 6), Factor((2.0, 2.0)).sd
    (10.0, 1.0)
    """

    @property
    def mean(self) -> float | None:
        """Geometric, over what is known."""
        return math.exp(statistics.fmean(map(math.log, self.known))) if self.known else None

    @property
    def sd(self) -> float | None:
        """The factor by which one seed differs."""
        return math.exp(statistics.stdev(map(math.log, self.known))) if len(self.known) > 1 else None

    def below(self, other: Spread) -> bool:
        """As for a Spread, of the logarithms."""
        logs = [Spread.of(None if v is None else math.log(v) for v in one.values) for one in (self, other)]
        return logs[0].below(logs[1])

    def text(self, shown: Callable[[float], str] = number) -> str:
        """Mean ×/÷ the factor.

        >>> Factor((50.0, 200.0)).text()
        '100 ×/÷ 2.67'
        """
        if self.mean is None or self.sd is None:
            return super().text(shown)
        return f"{shown(self.mean)} ×/÷ {self.sd:.2f}"


def groups(spreads: Mapping[str, Spread]) -> list[list[str]]:
    """Names in groups, the least first: every member of a group is below every member of the next, beyond the spread.

    >>> groups({"a": Spread((1.0, 1.1)), "b": Spread((5.0, 5.1)), "c": Spread((0.9, 1.2)), "d": Spread((None, None))})
    [['a', 'c'], ['b'], ['d']]
    """
    names = sorted(spreads, key=lambda name: (bool(spreads[name].diverged), spreads[name].mean or 0.0))
    found: list[list[str]] = []
    for i, name in enumerate(names):
        if i == 0 or all(spreads[low].below(spreads[high]) for low in names[:i] for high in names[i:]):
            found.append([])
        found[-1].append(name)
    return found
