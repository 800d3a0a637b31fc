"""Callbacks that write files: the model, a table of the epochs, and everything that happens as lines of JSON.

None of them touches a file before the training has something to put in its place.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, FileError
from tinyres.store.opening import PathLike, checked_path
from tinyres.store.replacing import replacing
from tinyres.training.callback import Callback, Logs, Monitor, count_of
from tinyres.training.progress import Event, as_data


class ModelCheckpoint(Monitor):
    """Save the model at the end of each epoch, or every `save_freq` steps: whole or not at all, ready to go on from.

    filepath: may have {epoch:02d}, counted from 1, {batch} and the logs, as in "m-{epoch:02d}-{val_loss:.2f}.npz"; it
    ends in .npz. save_best_only: only where `monitor` is better than ever before, or than initial_value_threshold.
    save_weights_only: weights for `load_weights` alone. verbose, mode: as EarlyStopping's. A file has the state of all
    callbacks of the training, whose `saves` is false, as it is after the epoch.
    Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> best = tr.callbacks.ModelCheckpoint("best.npz", monitor="val_accuracy", save_best_only=True)
    >>> best.mode
    'max'
    """

    saves = True

    def __init__(
        self,
        filepath: PathLike,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0)
        self.filepath = checked_path("ModelCheckpoint", filepath)
        if not self.filepath.endswith(".npz"):
            stem = os.path.splitext(os.path.basename(self.filepath))[0]
            raise ArgumentError(
                f"[ModelCheckpoint] model files end in .npz; got {self.filepath!r}; name it {stem or 'model'}.npz"
            )
        whole = isinstance(save_freq, int) and not isinstance(save_freq, bool) and save_freq >= 1
        if save_freq != "epoch" and not whole:
            raise ArgumentError(
                f'[ModelCheckpoint] save_freq is "epoch" or a number of steps >= 1; got {save_freq!r}; choose one'
            )
        self.verbose = verbose
        self.save_best_only = bool(save_best_only)
        self.save_weights_only = bool(save_weights_only)
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold
        self._begin()

    def _begin(self) -> None:
        self.best: float | None = self.initial_value_threshold
        self._since = 0
        self._epoch = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._begin()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self._since += 1
        if self._since >= int(self.save_freq):
            self._since = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: Mapping[str, float]) -> None:
        if self.save_best_only:
            value = self.monitored(logs)
            if not self.improves(value, self.best):
                return
            self.best = value
        path = self._path(epoch, batch, logs)
        if folder := os.path.dirname(path):
            _make(folder)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"epoch {epoch + 1}: saved {path}")

    def _path(self, epoch: int, batch: int | None, logs: Mapping[str, float]) -> str:
        known = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**known)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise ArgumentError(
                f"[ModelCheckpoint] filepath is filled in from {', '.join(known)}; got {self.filepath!r} ({error}); "
                "use these names"
            ) from None

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "since": self._since}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best, self._since = state["best"], state["since"]


class CSVLogger(Callback):
    """A table with a row per epoch: epoch, counted from 0, and the logs, each number with all its digits.

    separator: between columns. append: keep the rows of a file that is there, up to the first epoch of this training.
    A training that goes on from a file of the model goes on with its table too. The file is replaced at the end of each
    epoch, whole or not at all. Raises FileError if it cannot be read or written.

    >>> import tinyres as tr
    >>> tr.callbacks.CSVLogger("log.csv", append=True).separator
    ','
    """

    writes = True

    def __init__(self, filename: PathLike, separator: str = ",", append: bool = False) -> None:
        self.filename = checked_path("CSVLogger", filename)
        if not isinstance(separator, str) or len(separator) != 1:
            raise ArgumentError(f"[CSVLogger] separator is one character; got {separator!r}; choose another")
        self.separator = separator
        self.append = bool(append)
        self._rows: list[dict[str, Any]] | None = None
        self._goes_on = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._rows, self._goes_on = None, False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._rows is None:
            self._rows = self._read(epoch) if self.append or self._goes_on else []
        self._rows.append({"epoch": epoch, **{name: repr(float(value)) for name, value in (logs or {}).items()}})
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="NA", delimiter=self.separator, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        with replacing(self.filename) as file:
            file.write(text.getvalue().encode())

    def _read(self, before: int) -> list[dict[str, Any]]:
        """The rows of epochs before this one."""
        if not os.path.exists(self.filename):
            return []
        try:
            with open(self.filename, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file, delimiter=self.separator))
            return [row for row in rows if int(row["epoch"]) < before]
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise FileError(
                f"[CSVLogger] append goes on with a table that it has written; {self.filename} is none "
                f"({type(error).__name__}: {error}); give another name"
            ) from error

    def state(self) -> dict[str, Any]:
        return {"goes_on": True}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._goes_on = True


class JSONLines(Callback):
    """Everything that the progress reporter is told, one JSON object per line: {"event": "EpochEnded", "epoch": 0, …}.

    path: of the file. every: every how many steps a step is written; 0: none. append: keep what is there. What is not
    finite is null. Each line is written out at once. Raises FileError if the file cannot be written.

    >>> import tinyres as tr
    >>> model = tr.Sequential([tr.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> _ = model.fit([[0.0]], [[0.0]], verbose=0, callbacks=[tr.callbacks.JSONLines("log.jsonl")])
    >>> import pathlib
    >>> print(pathlib.Path("log.jsonl").read_text().splitlines()[0])
    {"event": "TrainingBegan", "epochs": 1, "steps": 1}
    """

    writes = True

    def __init__(self, path: PathLike, every: int = 0, append: bool = False) -> None:
        self.path, self.append = checked_path("JSONLines", path), bool(append)
        self.every = count_of("JSONLines", "every", every)
        self._began = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._began = False

    def tell(self, event: Event) -> None:
        data = as_data(event, self.every)
        if data is None:
            return
        try:
            with open(self.path, "a" if self._began or self.append else "w", encoding="utf-8") as file:
                file.write(json.dumps(_finite(data), allow_nan=False, ensure_ascii=False) + "\n")
        except OSError as error:
            raise FileError(f"[JSONLines] {self.path} cannot be written ({error}); choose another path") from None
        self._began = True


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"[ModelCheckpoint] models lie in a folder; {folder!r} cannot be made ({error.strerror}); give another"
        ) from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_finite(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
