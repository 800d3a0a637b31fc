"""The numbers an optimizer goes by: what they may be, where they stand, and the options that all optimizers share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, overload

import numpy as np

from tinyres.errors import ArgumentError
from tinyres.optim.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from tinyres.optim.optimizer import Optimizer

# The layout of `hyper`, as the kernels read it; A and B are the decay rates of the momenta.
LR, A, B, EPSILON, WEIGHT_DECAY, GRADIENT_SCALE, STEP, CLIP_NORM, COUNT, EVERY = range(10)


class Common(TypedDict, total=False):
    """The options of every optimizer; see Optimizer."""

    lr: float | LearningRateSchedule
    learning_rate: float | LearningRateSchedule | None
    weight_decay: float
    clip_norm: float | None
    exclude: str | int | Sequence[str | int] | None
    gradient_accumulation_steps: int | None


def signature_with_common(cls: Any) -> inspect.Signature:
    """The constructor's arguments with the common ones by name, as `help` shows them and errors list them."""
    own = list(inspect.signature(cls.__init__).parameters.values())[1:]
    defaults: dict[str, Any] = {"lr": cls.default_lr, "learning_rate": None, "weight_decay": cls.default_weight_decay}
    if not any(p.kind is p.VAR_KEYWORD for p in own):
        return inspect.Signature(own)
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name))
        for name in Common.__annotations__
        if name not in {p.name for p in own}
    ]
    first = [p for p in own if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = [p for p in own if p.kind is p.KEYWORD_ONLY]
    return inspect.Signature([*first, *common, *rest])


class Number:
    """An attribute of an optimizer that stands in one of its buffers; it may be set at any time, captured or not.

    place: in the buffer. rule: what reads a value, or says what it may be. buffer: the attribute that holds it.
    """

    def __init__(self, place: int, rule: Callable[[str, str, Any], float], doc: str, buffer: str = "hyper") -> None:
        self._place, self._rule, self._buffer = place, rule, buffer
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, optimizer: None, owner: type) -> Number: ...
    @overload
    def __get__(self, optimizer: Optimizer, owner: type) -> float: ...
    def __get__(self, optimizer: Optimizer | None, owner: type) -> Any:
        return self if optimizer is None else float(getattr(optimizer, self._buffer).array[self._place])

    def __set__(self, optimizer: Optimizer, value: float) -> None:
        getattr(optimizer, self._buffer).array[self._place] = self._rule(optimizer.name, self._name, value)


class Betas:
    """The decay rates of Adam's two means; they may be set at any time."""

    @overload
    def __get__(self, optimizer: None, owner: type) -> Betas: ...
    @overload
    def __get__(self, optimizer: Optimizer, owner: type) -> tuple[float, float]: ...
    def __get__(self, optimizer: Optimizer | None, owner: type) -> Any:
        return self if optimizer is None else (float(optimizer.hyper.array[A]), float(optimizer.hyper.array[B]))

    def __set__(self, optimizer: Optimizer, value: tuple[float, float]) -> None:
        optimizer.hyper.array[[A, B]] = self.read(optimizer.name, value)

    @staticmethod
    def read(op: str, value: Any) -> tuple[float, float]:
        """The two rates, checked."""
        try:
            a, b = value
        except (TypeError, ValueError):
            raise ArgumentError(
                f"[{op}] betas are two numbers in [0, 1); got {value!r}; write betas=(0.9, 0.999)"
            ) from None
        return decay_rate(op, "betas[0]", a), decay_rate(op, "betas[1]", b)


class LearningRate(float):
    """A learning rate as it is now, with Keras' ways to read and to set it.

    >>> import tinyres as tr
    >>> opt = tr.optim.SGD(lr=0.5)
    >>> opt.learning_rate.assign(0.25)
    >>> opt.lr
    0.25
    """

    _optimizer: Optimizer

    @classmethod
    def of(cls, optimizer: Optimizer, value: float) -> LearningRate:
        """The rate of this optimizer."""
        made = cls(value)
        made._optimizer = optimizer
        return made

    def assign(self, value: float) -> None:
        """Set the optimizer's rate."""
        self._optimizer.lr = value

    def numpy(self) -> float:
        """The number."""
        return float(self)

    def __reduce__(self) -> Any:
        return float, (float(self),)


def non_negative(op: str, what: str, value: Any) -> float:
    """The value as a float, if it is a finite number >= 0."""
    if not _is_number(value) or not 0 <= value < math.inf:
        hint = ", or one of tr.optim.schedules; for a schedule use callbacks=[LearningRateSchedule(fn)]"
        hint = hint if callable(value) else ""
        raise ArgumentError(f"[{op}] {what} is a finite number >= 0; got {value!r}; choose another{hint}")
    return float(value)


def steps_added_up(op: str, value: Any, possible: bool) -> int | None:
    """Over how many steps gradients are added up. possible: whether the optimizer can leave out steps."""
    if value is None:
        return None
    if not possible:
        raise ArgumentError(
            f"[{op}] gradients are added up for SGD, Adam and AdamW; got gradient_accumulation_steps={value!r}; "
            "use one of them"
        )
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"[{op}] gradient_accumulation_steps is a whole number >= 1; got {value!r}; choose another")
    return int(value)


def positive(op: str, what: str, value: Any) -> float:
    """The value as a float, if it is a finite number > 0."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ArgumentError(f"[{op}] {what} is a finite number > 0; got {value!r}; choose another")
    return float(value)


def decay_rate(op: str, what: str, value: Any) -> float:
    """The value as a float, if it lies in [0, 1)."""
    if not _is_number(value) or not 0 <= value < 1:
        raise ArgumentError(f"[{op}] {what} is a number in [0, 1); got {value!r}; choose another")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
