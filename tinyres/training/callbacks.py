"""Callbacks: what `fit` calls between steps and epochs, by Keras' names and arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.errors import ArgumentError, closed
from tinyres.optim.schedules import LearningRateSchedule as Schedule
from tinyres.training.averages import WeightAverage
from tinyres.training.callback import Callback, CallbackList, Logs, Monitor, count_of
from tinyres.training.loggers import MLflow, TensorBoard, WandB
from tinyres.training.writers import CSVLogger, JSONLines, ModelCheckpoint

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "JSONLines",
    "LambdaCallback",
    "LearningRateSchedule",
    "LearningRateScheduler",
    "MLflow",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "WandB",
    "WeightAverage",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed("tinyres.callbacks", __all__)


class EarlyStopping(Monitor):
    """Stop when `monitor` has not improved for `patience` epochs.

    monitor: a name in logs. min_delta: what counts as an improvement. verbose: 1 says so. mode: "min", "max", or "auto"
    (max for names that end in acc, accuracy, auc, precision or recall). baseline: what must be beaten as well, for the
    waiting to begin anew. restore_best_weights: end with the weights of the best epoch. start_from_epoch: the first
    epoch that is looked at. Raises ArgumentError for options out of range, and in `fit` if logs have no such name.

    >>> import tinyres as tr
    >>> tr.callbacks.EarlyStopping(monitor="val_accuracy", patience=3).mode
    'max'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = count_of("EarlyStopping", "patience", patience)
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = count_of("EarlyStopping", "start_from_epoch", start_from_epoch)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.wait = 0
        self.best_weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.monitored(logs or {})
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
        self.wait += 1
        if self.improves(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improves(value, self.baseline):
                self.wait = 0
                return
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch is not None and self.verbose:
            print(f"epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose and self.best_epoch is not None:
                print(f"the weights are those of the best epoch, {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)

    def state(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "wait": self.wait,
            "best_weights": self.best_weights,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
        self.best_weights = state["best_weights"]


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    cooldown: how many epochs after that do not count. min_lr: the lowest rate. Other arguments as EarlyStopping's. The
    rate of each epoch is added to the logs as "learning_rate". Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> tr.callbacks.ReduceLROnPlateau("val_auc", factor=0.5).mode
    'max'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < 1:
            raise ArgumentError(
                f"[ReduceLROnPlateau] factor is a number between 0 and 1; got {factor!r}; choose another"
            )
        self.factor = float(factor)
        self.patience = count_of("ReduceLROnPlateau", "patience", patience)
        self.cooldown = count_of("ReduceLROnPlateau", "cooldown", cooldown)
        self.verbose = verbose
        self.min_lr = min_lr
        self._begin()

    def _begin(self) -> None:
        self.best: float | None = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        _refuse_scheduled("ReduceLROnPlateau", self.model.optimizer)
        self._begin()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        optimizer: Any = self.model.optimizer
        rate = optimizer.lr
        value = self.monitored(logs)
        logs["learning_rate"] = rate
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(value, self.best):
            self.best, self.wait = value, 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.lr = max(rate * self.factor, self.min_lr)
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"epoch {epoch + 1}: learning rate {optimizer.lr:g}")

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "wait": self.wait, "cooldown": self.cooldown_counter}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best, self.wait, self.cooldown_counter = state["best"], state["wait"], state["cooldown"]


class LearningRateSchedule(Callback):
    """Set the optimizer's learning rate at the start of each epoch, or before each step.

    schedule: epoch or step (counted from 0, steps over all epochs) -> learning rate. by: "epoch" or "step"; None: by
    step for a schedule of tr.optim.schedules, else by epoch. Raises ArgumentError if it is not callable.

    >>> import tinyres as tr
    >>> halve = tr.callbacks.LearningRateSchedule(lambda epoch: 0.1 * 0.5**epoch)
    >>> halve.schedule(1)
    0.05
    >>> tr.callbacks.LearningRateSchedule(tr.optim.schedules.CosineDecay(0.1, 100)).by
    'step'
    """

    def __init__(self, schedule: Callable[[int], float], by: str | None = None) -> None:
        if not callable(schedule):
            raise ArgumentError(
                f"[LearningRateSchedule] a schedule is a function epoch -> learning rate; got {schedule!r}; "
                "write LearningRateSchedule(lambda epoch: 0.1 * 0.9**epoch)"
            )
        if by not in (None, "epoch", "step"):
            raise ArgumentError(f'[LearningRateSchedule] by is "epoch" or "step"; got {by!r}; choose one of them')
        self.schedule = schedule
        self.by = by or ("step" if isinstance(schedule, Schedule) else "epoch")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        _refuse_scheduled("LearningRateSchedule", self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.by == "epoch":
            self._set(epoch)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        if self.by == "step":
            self._set(self.model.optimizer.steps)  # type: ignore[union-attr]

    def _set(self, number: int) -> None:
        self.model.optimizer.lr = self.schedule(number)  # type: ignore[union-attr]


class LearningRateScheduler(Callback):
    """Keras' callback of this name: schedule(epoch, lr) or schedule(epoch) -> the learning rate of the epoch.

    verbose: 1 says so. The rate of each epoch is added to the logs as "learning_rate". Raises ArgumentError for what is
    no function.

    >>> import tinyres as tr
    >>> tr.callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.5).schedule(0, 0.1)
    0.05
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise ArgumentError(
                f"[LearningRateScheduler] a schedule is a function (epoch, lr) -> learning rate; got {schedule!r}; "
                "write LearningRateScheduler(lambda epoch, lr: lr * 0.9)"
            )
        self.schedule = schedule
        self.verbose = verbose
        self._begun: int | None = None
        self._takes_rate = not isinstance(schedule, Schedule) and _takes_two(schedule)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        _refuse_scheduled("LearningRateScheduler", self.model.optimizer)
        self._begun = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if epoch == self._begun:  # a training that goes on within it
            return
        self._begun = epoch
        optimizer: Any = self.model.optimizer
        optimizer.lr = self.schedule(epoch, optimizer.lr) if self._takes_rate else self.schedule(epoch)
        if self.verbose:
            print(f"epoch {epoch + 1}: learning rate {optimizer.lr:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.lr  # type: ignore[union-attr]

    def state(self) -> dict[str, Any]:
        return {"begun": self._begun}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._begun = state["begun"]


class LambdaCallback(Callback):
    """A callback of functions by the names of the hooks: LambdaCallback(on_epoch_end=lambda epoch, logs: ...).

    Raises ArgumentError for a name that is no hook.

    >>> import tinyres as tr
    >>> say = tr.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch))
    >>> say.on_epoch_end(0, {})
    0
    """

    def __init__(self, **hooks: Callable[..., None]) -> None:
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(hook for hook in vars(Callback) if hook.startswith("on_"))
                raise ArgumentError(f"[LambdaCallback] the hooks are {known}; got {name}; use one of them")
            if function is not None:
                setattr(self, name, function)


def _refuse_scheduled(op: str, optimizer: Any) -> None:
    if optimizer.schedule is not None:
        raise ArgumentError(
            f"[{op}] one of them sets the learning rate; got an optimizer with lr={optimizer.schedule!r}; make it with "
            "a number, or leave the callback out"
        )


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(needed) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)
