"""History: what `fit` returns; plain lists of numbers, and the gradient norms it watched."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres.errors import TraceError
from tinyres.view.plots import heat_map


class GradientNorms:
    """The L2 norm of ∂loss/∂output of every layer, at the steps that `fit(watch=n)` looked at.

    steps: (looked,) int64, counted from 0 over all epochs. names: the layers in forward order. norms: (looked, names)
    float64; NaN where a layer took no part in that step.
    """

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._rows: list[tuple[tuple[str, ...], np.ndarray]] = []
        self._names: list[str] = []

    def append(self, step: int, names: tuple[str, ...], norms: np.ndarray) -> None:
        """Add one step: the layers in forward order, and their norms."""
        if not self._rows or names is not self._rows[-1][0] and names != self._rows[-1][0]:
            known = set(self._names)
            self._names += [name for name in names if name not in known]
        self._steps.append(step)
        self._rows.append((names, norms))

    @property
    def steps(self) -> np.ndarray:
        """The steps looked at."""
        return np.array(self._steps, np.int64)

    @property
    def names(self) -> list[str]:
        """The layers, in forward order."""
        return list(self._names)

    @property
    def norms(self) -> np.ndarray:
        """norms[step, node]."""
        column = {name: i for i, name in enumerate(self._names)}
        table = np.full((len(self._rows), len(self._names)), np.nan)
        for row, (names, norms) in zip(table, self._rows):
            row[[column[name] for name in names]] = norms
        return table

    def rows(self) -> list[dict[str, Any]]:
        """Flat dicts with step, node and norm, as a DataFrame takes them."""
        return [
            {"step": step, "node": name, "norm": norm}
            for step, (names, norms) in zip(self._steps, self._rows)
            for name, norm in zip(names, norms.tolist())
        ]

    def plot(self, ax: Any = None) -> Any:
        """A heat map of the norms, layer × step, drawn with matplotlib into `ax` (default: a new figure).

        Gives the Axes. Colours are logarithmic; what is 0 or was not measured is left blank. Raises MissingExtraError
        without matplotlib.
        """
        return heat_map(self.steps, self.names, self.norms, ax)

    def line(self) -> str:
        """The last step in one line: the gradient at the first and at the last layer, and their ratio."""
        names, norms = self._rows[-1]
        first, last, g, h = names[0], names[-1], norms[0], norms[-1]
        ratio = f"{g / h:.2g}" if h else "-"
        return f"  gradient at step {self._steps[-1]}: {first} {g:.3g}, {last} {h:.3g}, first/last {ratio}"

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"GradientNorms({len(self._steps)} steps, {len(self._names)} layers)"


class History:
    """The record of one `fit`.

    epoch: the epochs run, counted from 0. history: "loss", each metric, and both with "val_" -> one float per epoch.
    gradients: GradientNorms after `fit(watch=n)`; without, reading it is a TraceError.

    >>> import tinyres as tr
    >>> model = tr.Sequential([tr.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> history = model.fit([[0.0], [1.0]], [[0.0], [2.0]], epochs=2, verbose=0, watch=1)
    >>> history.epoch, list(history.history), history.gradients.names
    ([0, 1], ['loss'], ['dense'])
    """

    def __init__(self, gradients: GradientNorms | None = None) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self._gradients = gradients

    @property
    def gradients(self) -> GradientNorms:
        """The gradient norms that `fit(watch=n)` recorded every n steps."""
        if self._gradients is None:
            raise TraceError("[history] gradients were not watched; got a fit with watch=0; call fit(..., watch=1)")
        return self._gradients

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Add one epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.epoch)} epochs{': ' + last if last else ''})"
