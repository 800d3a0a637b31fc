"""Keras' callbacks: those of `tinyres.callbacks`, and History, which `fit` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.training.callbacks import *  # noqa: F403
from tinyres.training.callbacks import __all__ as _NAMES
from tinyres.training.history import History

__all__ = [*(name for name in _NAMES if name != "CallbackList"), "History"]

_INSTEAD = {
    "BackupAndRestore": "use ModelCheckpoint, then tinyres.load and fit(initial_epoch=model.epoch)",
    "ProgbarLogger": "fit shows its progress itself; choose with fit(verbose=0, 1 or 2)",
    "RemoteMonitor": "write a Callback whose on_epoch_end sends the logs",
    "SwapEMAWeights": "use WeightAverage, which keeps the average and gives it to the model at the end",
    "TerminateOnNaN": "fit stops by itself, before a loss that is not finite changes anything",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
