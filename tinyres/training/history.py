"""History: what `fit` returns; plain lists of numbers, and the gradient norms it watched."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres.errors import TraceError
from tinyres.training.edges import EdgeNorms
from tinyres.training.gradients import GradientNorms


class History:
    """The record of one `fit`.

    params: epochs, steps and verbose of the fit. model: what was fitted.
    epoch: the epochs run, counted from 0. history: "loss", each metric, and both with "val_" -> one float per epoch.
    gradients: GradientNorms after `fit(watch=n)`; without, reading it is a TraceError. edges: EdgeNorms after
    `fit(watch=n, watch_edges=True)`, likewise.

    >>> import tinyres as tr
    >>> model = tr.Sequential([tr.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> history = model.fit([[0.0], [1.0]], [[0.0], [2.0]], epochs=2, verbose=0, watch=1)
    >>> history.epoch, list(history.history), history.gradients.names
    ([0, 1], ['loss'], ['dense'])
    """

    def __init__(self, gradients: GradientNorms | None = None, edges: EdgeNorms | None = None) -> None:
        self.params: dict[str, Any] = {}
        self.model: Any = None
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self._gradients = gradients
        self._measured: dict[str, list[int]] = {}  # by name: the epochs of its values
        self._edges = edges

    @property
    def gradients(self) -> GradientNorms:
        """The gradient norms that `fit(watch=n)` recorded every n steps."""
        if self._gradients is None:
            raise TraceError("[history] gradients were not watched; got a fit with watch=0; call fit(..., watch=1)")
        return self._gradients

    @property
    def edges(self) -> EdgeNorms:
        """What came back over every edge, that `fit(watch=n, watch_edges=True)` recorded every n steps."""
        if self._edges is None:
            raise TraceError(
                "[history] edges were not watched; got a fit without watch_edges; call fit(..., watch=1, "
                "watch_edges=True)"
            )
        return self._edges

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Add one epoch; of what callbacks have put into the logs, numbers."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            if isinstance(value, (int, float, np.number)):
                self.history.setdefault(name, []).append(float(value))
                self._measured.setdefault(name, []).append(epoch)

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each epoch: "epoch", and each name with its value, None where it was not measured."""
        values = {name: dict(zip(self._measured[name], found)) for name, found in self.history.items()}
        return [{"epoch": epoch, **{name: at.get(epoch) for name, at in values.items()}} for epoch in self.epoch]

    def to_pandas(self) -> Any:
        """A pandas.DataFrame: a row for each epoch, a column for the loss and each metric.

        NaN stands where it was not measured. Raises MissingExtraError without pandas.
        """
        from tinyres.view.frames import pandas_of

        return pandas_of(self.rows(), "epoch")

    def to_polars(self) -> Any:
        """The same as a polars.DataFrame, with the epoch as a column."""
        from tinyres.view.frames import polars_of

        return polars_of(self.rows())

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.epoch)} epochs{': ' + last if last else ''})"
