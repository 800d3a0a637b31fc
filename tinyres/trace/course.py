"""The course of |g| over the depth of one net: a rate, a power of the depth, single blocks that stand out, or none.

Everything here is about one sequence of norms, one per block input in graph order. What is judged are the steps
d = log |g| of one block minus log |g| of the next, toward the input: log |g| is a random walk over depth, its steps are
close to independent, so the error of a rate is the steps' spread over √n, times what a build is known to stray beyond
that (a least squares fit through the norms themselves claims an error four to eight times too small).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Student's t, two-sided 95%, by degrees of freedom 1, 2, 3, ...; beyond that it is near enough to the last.
_T95 = (12.7, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09)
_STANDS_OUT = 6.0  # times the usual spread of a step
_LEAST_SPREAD = 0.05
_NO_POWER = 1.6  # of log |g|: one step of a power, however it scatters, is no further off
_NO_STEP_APART = math.log(10)  # a first block that differs by build differs by less
_STARTS = (0.0, 0.5, 1.0, 2.0, 4.0)  # how many blocks' worth a stem may add before the first block
_SMALL = (0.0, -0.5, -0.8, -0.95)  # where |x| begins small and |g| ~ 1/|x|
_STATED = 1.0  # the one for which a power is stated: it fits pre-activation nets on white input exactly
_CLEARLY = 0.5  # a power of the depth must leave less than this part of what a constant step leaves
LEAST = 4  # norms that tell a course
_TWO_RATES = 0.15  # of what one constant step leaves: two must leave less, far less than chance brings about
_APART = 0.2  # of log rate: nearer ones are not told apart


class Walk(NamedTuple):
    """How the steps of a build scatter.

    strays: how far their mean strays over seeds, over what independent steps would: more where all steps are of the
    same few examples, less where a normalisation holds the walk together. first_apart: whether the first block reads
    something that none of the others reads, so that its step differs by build and tells nothing of their spread.
    """

    strays: float = 1.1
    first_apart: bool = False


INDEPENDENT = Walk()


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


def course_of(norms: Sequence[float], polynomial: bool | None = None, walk: Walk = INDEPENDENT) -> Course | None:
    """The course of positive finite norms; None for fewer than 4.

    polynomial: what is known of the net's build: True where only a power is possible, False where none is, None where
    the numbers have to tell. walk: how its steps scatter.
    """
    if len(norms) < LEAST or not all(0 < g < math.inf for g in norms):
        return None
    logs = np.log(np.array(norms, np.float64))
    steps = logs[:-1] - logs[1:]
    off_power, off_rate = _off_power(steps), _far(steps - np.median(steps), len(steps) // 4)
    if walk.first_apart and abs(steps[0] - np.median(steps)) < _NO_STEP_APART:
        off_rate = off_rate[off_rate > 0]
    usual = np.setdiff1d(np.arange(len(steps)), np.intersect1d(off_power, off_rate))
    grows = polynomial is not False and float(steps[usual].sum()) > 0
    better = _power_over_constant(steps, usual) if grows else math.inf
    is_power = better < _CLEARLY or (polynomial is True and grows)
    if not is_power:
        usual = np.setdiff1d(np.arange(len(steps)), off_rate)
    power, error = _power(steps, usual) if is_power else (None, None)
    jumps = [Jump(int(i), math.exp(steps[i])) for i in range(len(steps)) if i not in usual]
    like = usual[usual > 0] if walk.first_apart and len(usual) >= LEAST else usual
    mean, half = float(steps[usual].mean()), walk.strays * _half_width(steps[like])
    interval = math.exp(mean - half), math.exp(mean + half)
    return Course(math.exp(mean), *interval, tuple(jumps), power, error, better > 1, math.exp(logs[0] - logs[-1]))


def change_of(norms: Sequence[float]) -> int | None:
    """The place of the first norm behind which |g| changes by another factor per block than before it, if it does.

    Both parts are at least 4 norms long, and one constant step for all must be far off.
    """
    if len(norms) < 2 * LEAST or not all(0 < g < math.inf for g in norms):
        return None
    logs = np.log(np.array(norms, np.float64))
    steps = logs[:-1] - logs[1:]
    cuts = range(LEAST - 1, len(steps) - LEAST + 1)
    left = [_spread(steps[:k]) + _spread(steps[k + 1 :]) for k in cuts]
    best = int(np.argmin(left))
    k = cuts[best]
    apart = abs(float(steps[:k].mean() - steps[k + 1 :].mean()))
    return k + 1 if left[best] < _TWO_RATES * _spread(steps) and apart > _APART else None


def _spread(steps: np.ndarray) -> float:
    return float(np.sum((steps - steps.mean()) ** 2))


def _half_width(steps: np.ndarray) -> float:
    """Half of the 95% interval of the mean step, were they independent."""
    freedom = len(steps) - 1
    if freedom < 1:
        return math.inf
    return _T95[min(freedom, len(_T95)) - 1] * float(steps.std(ddof=1)) / math.sqrt(len(steps))


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
