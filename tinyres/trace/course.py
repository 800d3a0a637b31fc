"""The course of |g| over the depth of one net: a rate, a power of the depth, single blocks that stand out, or none.

Everything here is about one sequence of norms, one per block input in graph order. What is judged are the steps
d = log |g| of one block minus log |g| of the next, toward the input: log |g| is a random walk over depth, its steps are
close to independent, so the error of a rate is the steps' spread over √n (a least squares fit through the norms
themselves claims an error four to eight times too small).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Student's t, two-sided 95%, by degrees of freedom 1, 2, 3, ...; beyond that it is near enough to the last.
_T95 = (12.7, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09)
_CORRELATED = 1.15  # neighbouring steps of nets without normalisation are a little alike: over 24 seeds of 10 nets
_STANDS_OUT = 6.0  # times the usual spread of a step
_LEAST_SPREAD = 0.05
_NO_POWER = 1.6  # of log |g|: one step of a power, however it scatters, is no further off
_STARTS = (0.0, 0.5, 1.0, 2.0, 4.0)  # how many blocks' worth a stem may add before the first block
_SMALL = (0.0, -0.5, -0.8, -0.95)  # where |x| begins small and |g| ~ 1/|x|
_STATED = 1.0  # the one for which a power is stated: it fits pre-activation nets on white input exactly
_CLEARLY = 0.5  # a power of the depth must leave less than this part of what a constant step leaves
LEAST = 4  # norms that tell a course


@dataclass(frozen=True, slots=True)
class Jump:
    """A block at which |g| changes unlike at the others: from input `at` + 1 to input `at` by `factor`."""

    at: int
    factor: float


@dataclass(frozen=True, slots=True)
class Course:
    """How |g| runs toward the input.

    rate: the factor per block, a geometric mean, without the jumps; low, high: its 95% interval. jumps: single blocks
    that stand out. power: the p of |g| ~ (1 + depth)^-p where a power fits better than a rate; power_error: half its
    95% interval. is_rate: whether a constant factor fits better than a power. total: |g| at the first over |g| at the
    last.
    """

    rate: float
    low: float
    high: float
    jumps: tuple[Jump, ...]
    power: float | None
    power_error: float | None
    is_rate: bool
    total: float


def course_of(norms: Sequence[float], polynomial: bool | None = None) -> Course | None:
    """The course of positive finite norms; None for fewer than 4.

    polynomial: what is known of the net's build: True where only a power is possible, False where none is, None where
    the numbers have to tell.
    """
    if len(norms) < LEAST or not all(0 < g < math.inf for g in norms):
        return None
    logs = np.log(np.array(norms, np.float64))
    steps = logs[:-1] - logs[1:]
    off_power, off_rate = _off_power(steps), _far(steps - np.median(steps), len(steps) // 4)
    usual = np.setdiff1d(np.arange(len(steps)), np.intersect1d(off_power, off_rate))
    grows = polynomial is not False and float(steps[usual].sum()) > 0
    better = _power_over_constant(steps, usual) if grows else math.inf
    is_power = better < _CLEARLY or (polynomial is True and grows)
    if not is_power:
        usual = np.setdiff1d(np.arange(len(steps)), off_rate)
    power, error = _power(steps, usual) if is_power else (None, None)
    jumps = [Jump(int(i), math.exp(steps[i])) for i in range(len(steps)) if i not in usual]
    mean, half = float(steps[usual].mean()), _half_width(steps[usual])
    interval = math.exp(mean - half), math.exp(mean + half)
    return Course(math.exp(mean), *interval, tuple(jumps), power, error, better > 1, math.exp(logs[0] - logs[-1]))


def _half_width(steps: np.ndarray) -> float:
    """Half of the 95% interval of the mean step.

    Of plain BatchNorm nets it covers all of 60 seeds: their first and last steps differ by build, not by chance, and
    count as spread (without these two: 97 to 100%). Too wide says no wrong rate, and which steps are such is not known.
    """
    freedom = len(steps) - 1
    if freedom < 1:
        return math.inf
    return _CORRELATED * _T95[min(freedom, len(_T95)) - 1] * float(steps.std(ddof=1)) / math.sqrt(len(steps))


def _far(off: np.ndarray, most: int) -> np.ndarray:
    """The steps far outside of the usual spread; at most so many, so that the others remain the rule."""
    spread = max(1.4826 * float(np.median(np.abs(off))), _LEAST_SPREAD)
    order = np.argsort(-np.abs(off))
    return np.sort(order[np.abs(off[order]) > _STANDS_OUT * spread][:most])


def _off_power(steps: np.ndarray) -> np.ndarray:
    """The steps that stand far off from the power that most of them follow."""
    shape = _steps_of_power(len(steps), _STATED)
    off = steps - float(np.median(steps / shape)) * shape
    return np.array([i for i in _far(off, len(steps) // 4) if abs(off[i]) > _NO_POWER], int)


def _power_over_constant(steps: np.ndarray, usual: np.ndarray) -> float:
    """What the best power of the depth leaves of the usual steps, over what a constant step leaves."""
    kept = steps[usual]
    constant = float(np.sum((kept - kept.mean()) ** 2))
    left = []
    for start in _STARTS:
        shape = _steps_of_power(len(steps), start)[usual]
        p = float(kept @ shape / (shape @ shape))
        left.append(float(np.sum((kept - max(p, 0.0) * shape) ** 2)))
    return min(left) / constant if constant > 0 else math.inf


def _steps_of_power(count: int, start: float) -> np.ndarray:
    """The steps of log |g| ~ -log(start + depth)."""
    return np.log1p(1 / (np.arange(1.0, count + 1) + start))


def _power(steps: np.ndarray, usual: np.ndarray) -> tuple[float, float]:
    """The slope of log |g| over log (1 + depth), and half its 95% interval by what it leaves of the usual steps.

    Where a net begins small, its first steps are steeper than that: then over the depth from another start, which
    leaves far less.
    """
    fits = [_fit_of_power(steps[usual], _steps_of_power(len(steps), start)[usual]) for start in (_STATED, *_SMALL)]
    stated, *others = fits
    best = min(others, key=lambda fit: fit[1])
    p, left, square = best if best[1] < _CLEARLY**2 * stated[1] else stated
    freedom = max(1, len(usual) - 1)
    return p, _T95[min(freedom, len(_T95)) - 1] * math.sqrt(left / freedom / square)


def _fit_of_power(steps: np.ndarray, shape: np.ndarray) -> tuple[float, float, float]:
    """The power by least squares of log |g|, what it leaves of the steps, and the shape's sum of squares."""
    depth = np.concatenate([[0.0], np.cumsum(shape)])
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    centred = depth - depth.mean()
    p = float(centred @ logs) / float(centred @ centred)
    return p, float(np.sum((steps - p * shape) ** 2)), float(shape @ shape)
