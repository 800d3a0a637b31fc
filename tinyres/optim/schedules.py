"""Learning rates as functions of the step: `Optimizer(lr=schedule)`, by Keras' names and rules.

An optimizer asks its schedule before each step, with the number of steps taken so far, and keeps the answer in the
buffer that its kernels read; so a captured step follows it without being recorded again.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinyres.errors import ArgumentError, Worded, closed
from tinyres.store.definitions import Definitions, path_of

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "WarmupCosine",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)


SCHEDULES: Definitions[type[LearningRateSchedule]] = Definitions("a schedule of class")


class LearningRateSchedule(metaclass=Worded):
    """Base of all schedules: define `__call__(step)`, steps counted from 0, and keep the arguments as attributes.

    >>> import tinyres as tr
    >>> class Halving(tr.optim.schedules.LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5**step
    >>> tr.optim.SGD(lr=Halving()).lr
    0.1
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        SCHEDULES.add(cls.__module__, cls.__qualname__, cls)

    def __call__(self, step: int) -> float:
        """The learning rate of this step."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, read from the attributes of the same names."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


class ExponentialDecay(LearningRateSchedule):
    """initial · decay_rate^(step / decay_steps); staircase: the exponent rounded down.

    Raises ArgumentError for numbers out of range.

    >>> import tinyres as tr
    >>> tr.optim.schedules.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = _rate("ExponentialDecay", "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps("ExponentialDecay", "decay_steps", decay_steps)
        self.decay_rate = _rate("ExponentialDecay", "decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def __call__(self, step: int) -> float:
        done = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (math.floor(done) if self.staircase else done)


class InverseTimeDecay(LearningRateSchedule):
    """initial / (1 + decay_rate · step / decay_steps); staircase: the quotient rounded down.

    Raises ArgumentError for numbers out of range.

    >>> import tinyres as tr
    >>> tr.optim.schedules.InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)
    0.05
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = _rate("InverseTimeDecay", "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps("InverseTimeDecay", "decay_steps", decay_steps)
        self.decay_rate = _rate("InverseTimeDecay", "decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def __call__(self, step: int) -> float:
        done = step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (math.floor(done) if self.staircase else done))


class PolynomialDecay(LearningRateSchedule):
    """From initial to end over decay_steps, along (1 - step/decay_steps)^power; cycle: with ever longer restarts.

    Raises ArgumentError for numbers out of range.

    >>> import tinyres as tr
    >>> tr.optim.schedules.PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = _rate("PolynomialDecay", "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps("PolynomialDecay", "decay_steps", decay_steps)
        self.end_learning_rate = _rate("PolynomialDecay", "end_learning_rate", end_learning_rate)
        self.power = float(power)
        self.cycle = bool(cycle)

    def __call__(self, step: int) -> float:
        whole = self.decay_steps * max(1, math.ceil(step / self.decay_steps)) if self.cycle else self.decay_steps
        left = 1 - min(step, whole) / whole
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and including step boundaries[0], then values[1], and so on.

    Raises ArgumentError for numbers out of range.

    >>> import tinyres as tr
    >>> drop = tr.optim.schedules.PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> drop(100), drop(101), drop(1000)
    (0.1, 0.01, 0.001)
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        self.boundaries = [float(b) for b in boundaries]
        self.values = [_rate("PiecewiseConstantDecay", "each value", value) for value in values]
        if len(self.values) != len(self.boundaries) + 1 or self.boundaries != sorted(self.boundaries):
            raise ArgumentError(
                "[PiecewiseConstantDecay] there is one value more than there are boundaries, which rise; got "
                f"boundaries {list(boundaries)} and {len(self.values)} values; correct them"
            )

    def __call__(self, step: int) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class CosineDecay(LearningRateSchedule):
    """Half a cosine from initial to alpha · initial over decay_steps (Loshchilov and Hutter 2017).

    warmup_target, warmup_steps: before that, in a line from initial to the target, from which the cosine then falls.
    Raises ArgumentError for numbers out of range.

    >>> import tinyres as tr
    >>> schedule = tr.optim.schedules.CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10)
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 60, 110)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = _rate(name, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps(name, "decay_steps", decay_steps)
        self.alpha = _rate(name, "alpha", alpha)
        self.name = name
        self.warmup_target = None if warmup_target is None else _rate(name, "warmup_target", warmup_target)
        self.warmup_steps = _steps(name, "warmup_steps", warmup_steps, least=0)

    def __call__(self, step: int) -> float:
        start, peak = self.initial_learning_rate, self.initial_learning_rate
        if self.warmup_target is not None:
            peak = self.warmup_target
            if step < self.warmup_steps:
                return start + (peak - start) * (step / self.warmup_steps)
            step -= self.warmup_steps
        return peak * _cosine(min(step, self.decay_steps) / self.decay_steps, self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Cosines from initial down to alpha · initial, each t_mul times as long and m_mul times as high as the one before.

    Raises ArgumentError for numbers out of range.

    >>> import tinyres as tr
    >>> schedule = tr.optim.schedules.CosineDecayRestarts(0.1, first_decay_steps=10)
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 20)]
    [0.1, 0.05, 0.1, 0.05]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        self.initial_learning_rate = _rate("CosineDecayRestarts", "initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = _steps("CosineDecayRestarts", "first_decay_steps", first_decay_steps)
        self.t_mul = _rate("CosineDecayRestarts", "t_mul", t_mul)
        if self.t_mul < 1:
            raise ArgumentError(f"[CosineDecayRestarts] t_mul is a number >= 1; got {t_mul!r}; choose another")
        self.m_mul = _rate("CosineDecayRestarts", "m_mul", m_mul)
        self.alpha = _rate("CosineDecayRestarts", "alpha", alpha)

    def __call__(self, step: int) -> float:
        length, restarts = float(self.first_decay_steps), 0
        left = float(step)
        if self.t_mul == 1.0:
            restarts, left = int(left // length), left % length
        while left >= length:
            left -= length
            length *= self.t_mul
            restarts += 1
        falling = 0.5 * self.m_mul**restarts * (1 + math.cos(math.pi * left / length))
        return self.initial_learning_rate * ((1 - self.alpha) * falling + self.alpha)


class WarmupCosine(LearningRateSchedule):
    """In a line from 0 to `peak` over warmup_steps, then half a cosine down to `end` at total_steps.

    Step warmup_steps is the first at the peak. total_steps: of the whole training, epochs · batches per epoch. Raises
    ArgumentError for numbers out of range.

    >>> import tinyres as tr
    >>> schedule = tr.optim.schedules.WarmupCosine(0.1, warmup_steps=10, total_steps=110)
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 60, 110)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int, end: float = 0.0) -> None:
        self.peak = _rate("WarmupCosine", "peak", peak)
        self.warmup_steps = _steps("WarmupCosine", "warmup_steps", warmup_steps, least=0)
        self.total_steps = _steps("WarmupCosine", "total_steps", total_steps)
        self.end = _rate("WarmupCosine", "end", end)
        if self.total_steps <= self.warmup_steps:
            raise ArgumentError(
                f"[WarmupCosine] the training is longer than its warm-up; got total_steps={total_steps}, "
                f"warmup_steps={warmup_steps}; count total_steps over all epochs"
            )

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.peak * (step / self.warmup_steps)
        done = (min(step, self.total_steps) - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return self.end + (self.peak - self.end) * _cosine(done, 0.0)


def encode(schedule: LearningRateSchedule) -> dict[str, Any]:
    """A schedule as JSON."""
    called = path_of(type(schedule).__module__, type(schedule).__qualname__)
    return {"schedule": called, "config": schedule.config()}


def decode(record: Mapping[str, Any]) -> LearningRateSchedule:
    """The schedule that `encode` wrote. Raises FileError if its class is not known."""
    return SCHEDULES.find(record.get("schedule"))(**record["config"])


def _cosine(done: float, alpha: float) -> float:
    """From 1 to alpha as `done` goes from 0 to 1."""
    return (1 - alpha) * 0.5 * (1 + math.cos(math.pi * done)) + alpha


def _rate(op: str, what: str, value: Any) -> float:
    if isinstance(value, bool) or not hasattr(value, "__float__") or not 0 <= float(value) < math.inf:
        raise ArgumentError(f"[{op}] {what} is a finite number >= 0; got {value!r}; choose another")
    return float(value)


def _steps(op: str, what: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__float__") or not least <= float(value) < math.inf:
        raise ArgumentError(f"[{op}] {what} is a number of steps, at least {least}; got {value!r}; choose another")
    return int(value)
