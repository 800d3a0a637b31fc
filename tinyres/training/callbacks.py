"""Callbacks: what `fit` calls between steps and epochs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinyres.errors import ArgumentError
from tinyres.training.protocol import Trainable

Logs = dict[str, float]


class Callback:
    """Base of all callbacks; override what is of interest. `self.model` is the model that is being fitted.

    Setting `self.model.stop_training = True` ends `fit` after the step that runs. `logs` holds the loss and the
    metrics: running means in on_batch_end, with "val_" values in on_epoch_end, empty before an epoch.

    >>> import tinyres as tr
    >>> class Say(tr.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    """

    model: Trainable

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_train_end(self) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Before epoch `epoch`, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After epoch `epoch` and its validation."""

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """After step `step` of the epoch, counted from 0."""


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved for `patience` epochs.

    monitor: a name in logs. min_delta: what counts as an improvement. mode: "min", "max", or "auto" (max for
    names that end in accuracy). restore_best_weights: end with the weights of the best epoch.
    Raises ArgumentError for options out of range, and in `fit` if logs have no such name.

    >>> import tinyres as tr
    >>> tr.callbacks.EarlyStopping(monitor="val_accuracy", patience=3).mode
    'max'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f'[EarlyStopping] mode is "auto", "min" or "max"; got {mode!r}; choose one of them')
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 0:
            raise ArgumentError(f"[EarlyStopping] patience is an integer >= 0; got {patience!r}; choose another")
        if not 0 <= min_delta < math.inf:
            raise ArgumentError(f"[EarlyStopping] min_delta is a finite number >= 0; got {min_delta!r}; choose another")
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode if mode != "auto" else ("max" if monitor.endswith("accuracy") else "min")
        self.restore_best_weights = restore_best_weights
        self.on_train_begin()

    def on_train_begin(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._best_weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.monitor not in logs:
            raise ArgumentError(
                f"[EarlyStopping] {self.monitor} is not measured; got {sorted(logs)}; give fit validation data, "
                "or monitor one of these"
            )
        value = logs[self.monitor]
        if self._improved(value):
            self.best, self.best_epoch, self._waited = value, epoch, 0
            if self.restore_best_weights:
                self._best_weights = self.model.get_weights()
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self) -> None:
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)

    def _improved(self, value: float) -> bool:
        if self.best is None:
            return not math.isnan(value)
        gain = value - self.best if self.mode == "max" else self.best - value
        return gain > self.min_delta


class LearningRateSchedule(Callback):
    """Set the optimizer's learning rate at the start of each epoch.

    schedule: epoch (counted from 0) -> learning rate. Raises ArgumentError if it is not callable.

    >>> import tinyres as tr
    >>> halve = tr.callbacks.LearningRateSchedule(lambda epoch: 0.1 * 0.5**epoch)
    >>> halve.schedule(1)
    0.05
    """

    def __init__(self, schedule: Callable[[int], float]) -> None:
        if not callable(schedule):
            raise ArgumentError(
                f"[LearningRateSchedule] a schedule is a function epoch -> learning rate; got {schedule!r}; "
                "write LearningRateSchedule(lambda epoch: 0.1 * 0.9**epoch)"
            )
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        assert optimizer is not None  # fit has seen to it
        optimizer.lr = self.schedule(epoch)
