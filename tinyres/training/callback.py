"""Callback, the base of what `fit` calls between steps and epochs, and CallbackList, which calls them."""

from __future__ import annotations

import contextlib
import inspect
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinyres.errors import ArgumentError, Worded
from tinyres.training.history import History

if TYPE_CHECKING:
    from tinyres.training.progress import Event
    from tinyres.training.protocol import Trainable

Logs = dict[str, float]
LOGS_ALONE = tuple(f"on_{run}_{when}" for run in ("train", "test", "predict") for when in ("begin", "end"))
MAXIMISED = ("acc", "accuracy", "auc", "precision", "recall")


class Callback(metaclass=Worded):
    """Base of all callbacks; override what is of interest. `self.model` is the model, `self.params` has epochs, steps.

    Setting `self.model.stop_training = True` ends `fit` after the step that runs. `logs` holds the loss and the
    metrics: running means after a batch, with "val_" values in on_epoch_end, empty before. What a callback adds to the
    logs of an epoch stands in the history.

    What a callback must know to go on after a stop, it gives in `state` and takes back in `restore`: `model.save` keeps
    it, and a fit that goes on where the model stands (initial_epoch=model.epoch, or within an epoch) restores it.

    >>> import tinyres as tr
    >>> class Say(tr.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    """

    model: Trainable
    params: dict[str, Any]
    saves = False  # whether it saves the model: such callbacks come last, so that the file has the others' state
    writes = False  # whether it writes to a file: of several processes that train together only the first calls it

    def set_model(self, model: Any) -> None:
        """The model that is about to be fitted, evaluated or asked."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """epochs, steps (None if nobody knows) and verbose."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, with its logs."""

    def on_train_failed(self) -> None:
        """Where an error or Ctrl-C has stopped the training, which then has no on_train_end."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before epoch `epoch`, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After epoch `epoch` and its validation."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The same as on_train_batch_begin."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The same as on_train_batch_end."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before step `batch` of the epoch, counted from 0; a learning rate that is set here holds for it."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After step `batch` of the epoch."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation, also that of an epoch."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of an evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of a prediction."""

    def tell(self, event: Event) -> None:
        """What a progress reporter is told, as data; see tinyres.training.progress."""

    def state(self) -> dict[str, Any]:
        """What the next epoch depends on: numbers, strings, None, and lists of arrays."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""


HOOKS = ("tell", *(name for name in vars(Callback) if name.startswith("on_") and "on_batch" not in name))


class CallbackList:
    """The callbacks of one run, each told only what it overrides.

    model: what they are called for, where that is not a training. Raises ArgumentError for no list of Callbacks.

    >>> import tinyres as tr
    >>> told = tr.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))
    >>> callbacks = tr.callbacks.CallbackList("fit", [told])
    >>> callbacks.call("on_epoch_end", 0, {"loss": 0.5})
    0 {'loss': 0.5}
    """

    def __init__(self, op: str, callbacks: Any, model: Any = None) -> None:
        listed = [] if callbacks is None else callbacks
        if isinstance(listed, Callback) or not isinstance(listed, (list, tuple)):
            raise ArgumentError(
                f"[{op}] callbacks come as a list; got {type(callbacks).__name__}; write callbacks=[...]"
            )
        for callback in listed:
            if isinstance(callback, History):
                raise ArgumentError(
                    f"[{op}] fit returns the History, and model.history keeps it; got one as a callback; leave it out"
                )
            if not isinstance(callback, Callback):
                raise ArgumentError(
                    f"[{op}] a callback is a tr.callbacks.Callback; got {callback!r}; subclass it, and pass an "
                    "object of it"
                )
        self._listed = list(listed)
        ordered = sorted(self._listed, key=lambda callback: callback.saves)
        self._hooks = {name: [hook for c in ordered for hook in _overridden(c, name)] for name in HOOKS}
        if model is not None:
            self._meet(model, {})

    def beside_others(self) -> None:
        """In a process beside the first: nothing is written or printed."""
        told = [callback for callback in self._listed if not (callback.saves or callback.writes)]
        self._hooks = {name: [_silently(hook) for c in told for hook in _overridden(c, name)] for name in HOOKS}

    def begin(self, model: Any, params: dict[str, Any], states: Sequence[Mapping[str, Any]]) -> None:
        """Before a training: whom it is for, on_train_begin, and the state to go on from, if there is one."""
        self._meet(model, params)
        self.call("on_train_begin", {})
        waiting = list(states)
        for callback in self._listed:
            found = next((s for s in waiting if s["class"] == type(callback).__name__), None)
            if found is not None:
                waiting.remove(found)
                callback.restore(found["state"])

    def _meet(self, model: Any, params: dict[str, Any]) -> None:
        for callback in self._listed:
            callback.set_model(model)
            callback.set_params(params)

    def call(self, hook: str, *args: Any) -> None:
        """Call this hook of all who override it."""
        for told in self._hooks[hook]:
            told(*args)

    def wants(self, hook: str) -> bool:
        """Whether anybody overrides this hook."""
        return bool(self._hooks[hook])

    def tell(self, event: Event) -> None:
        """Pass on what the reporter is told."""
        self.call("tell", event)

    def states(self) -> list[dict[str, Any]]:
        """The state of each callback that has one, for a file."""
        found = [(type(callback).__name__, callback.state()) for callback in self._listed]
        return [{"class": name, "state": state} for name, state in found if state]


def states_of(model: Any) -> list[dict[str, Any]]:
    """The states of the callbacks that the model was trained with last, here or before it was saved."""
    kept = model.callback_states
    return kept.states() if isinstance(kept, CallbackList) else list(kept or ())


class Monitor(Callback):
    """Base of callbacks that compare a number of the logs from epoch to epoch.

    mode: "min", "max", or "auto": max for names that end in acc, accuracy, auc, precision or recall.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        op = type(self).__name__
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f'[{op}] mode is "auto", "min" or "max"; got {mode!r}; choose one of them')
        if not isinstance(monitor, str):
            raise ArgumentError(f'[{op}] monitor is a name in logs; got {monitor!r}; write monitor="val_loss"')
        if isinstance(min_delta, bool) or not isinstance(min_delta, (int, float)) or not 0 <= min_delta < math.inf:
            raise ArgumentError(f"[{op}] min_delta is a finite number >= 0; got {min_delta!r}; choose another")
        self.monitor = monitor
        self.min_delta = float(min_delta)
        self.mode = mode if mode != "auto" else ("max" if monitor.endswith(MAXIMISED) else "min")

    def monitored(self, logs: Mapping[str, float]) -> float:
        """The number. Raises ArgumentError if logs have none of this name."""
        if self.monitor not in logs:
            raise ArgumentError(
                f"[{type(self).__name__}] {self.monitor} is not measured; got {sorted(logs)}; give fit validation "
                "data, or monitor one of these"
            )
        return logs[self.monitor]

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether the value is better than the reference by more than min_delta; NaN never is."""
        if reference is None:
            return not math.isnan(value)
        gain = value - reference if self.mode == "max" else reference - value
        return gain > self.min_delta


def count_of(op: str, what: str, value: Any) -> int:
    """An integer >= 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ArgumentError(f"[{op}] {what} is an integer >= 0; got {value!r}; choose another")
    return value


def _overridden(callback: Callback, name: str) -> list[Callable[..., None]]:
    """The hook, by either of its names, if it is overridden; as something that takes logs though it may not."""
    other = name.replace("on_train_batch", "on_batch")
    found = [getattr(callback, each) for each in dict.fromkeys((name, other)) if _is_own(callback, each)]
    return [_taking_logs(hook) for hook in found]


def _is_own(callback: Callback, name: str) -> bool:
    return getattr(getattr(callback, name), "__func__", None) is not vars(Callback)[name]


def _silently(hook: Callable[..., None]) -> Callable[..., None]:
    def called(*args: Any) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            hook(*args)

    return called


def _taking_logs(hook: Callable[..., None]) -> Callable[..., None]:
    if not hook.__name__.endswith(
        ("train_begin", "train_end", "test_begin", "test_end", "predict_begin", "predict_end")
    ):
        return hook
    takes = [p for p in inspect.signature(hook).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    return hook if takes else lambda logs: hook()
