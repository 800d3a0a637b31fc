"""GradientNorms: what `fit(watch=n)` recorded, layer by layer and step by step; it plots, saves and loads.

A saved recording is an .npz or strict JSON (see `store`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tinyres.store import archive

GRADIENTS = archive.Format("tinyres gradients", 2, "a recording of gradients", "history.gradients.save")


class Change(NamedTuple):
    """|g| at a block and at the block behind it."""

    block: str
    after: str
    norm: float
    norm_after: float

    @property
    def size(self) -> float:
        """How many times larger or smaller, as a logarithm; infinite where one of the two is 0 or not finite."""
        if not (0 < self.norm < math.inf and 0 < self.norm_after < math.inf):
            return math.inf
        return abs(math.log(self.norm / self.norm_after))

    def __str__(self) -> str:
        if not math.isfinite(self.norm):
            return f"{self.block}, |g| is {self.norm}"
        if self.norm == 0 or not 0 < self.norm_after < math.inf:
            return f"{self.block}, |g| is {self.norm:.3g} after {self.norm_after:.3g} at {self.after}"
        return f"{self.block}, |g| x {self.norm / self.norm_after:.2g} from {self.after}"


class GradientNorms:
    """The L2 norm of ∂loss/∂output of every layer, at the steps that `fit(watch=n)` looked at.

    steps: (looked,) int64, counted from 0 over all epochs. names: the layers in forward order. norms: (looked, names)
    float64; NaN where a layer took no part in that step. blocks: the block of each layer that stands in one, by name.

    >>> import os, tempfile
    >>> import tinyres as tr
    >>> model = tr.Sequential([tr.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> gradients = model.fit([[0.0], [1.0]], [[0.0], [2.0]], verbose=0, watch=1).gradients
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "gradients.npz")
    ...     gradients.save(path)
    ...     tr.GradientNorms.load(path)
    GradientNorms(1 steps, 1 layers)
    """

    def __init__(self, blocks: Mapping[str, str] | None = None) -> None:
        self.blocks = dict(blocks or {})
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

    def to_pandas(self) -> Any:
        """The norms as a pandas.DataFrame: a row for each step, a column for each layer. Raises MissingExtraError."""
        from tinyres.view.frames import pandas_of

        return pandas_of([{"step": step, **row} for step, row in self._by_name()], "step")

    def to_polars(self) -> Any:
        """The same as a polars.DataFrame, with the step as a column."""
        from tinyres.view.frames import polars_of

        return polars_of([{"step": step, **row} for step, row in self._by_name()])

    def _by_name(self) -> list[tuple[int, dict[str, float]]]:
        norms = self.norms.tolist()
        return [(step, dict(zip(self._names, row))) for step, row in zip(self._steps, norms)]

    def plot(self, ax: Any = None) -> Any:
        """A heat map of the norms, layer × step, drawn with matplotlib into `ax` (default: a new figure).

        Gives the Axes. Colours are logarithmic; what is 0 or was not measured is left blank. Raises MissingExtraError
        without matplotlib.
        """
        from tinyres.view.plots import heat_map

        return heat_map(self.steps, self.names, self.norms, ax)

    @property
    def worst(self) -> Change | None:
        """Where |g| changed most from one block to the one before it, at the last step; None for a single block.

        The blocks are those of a trace; a layer outside of any is one by itself. Where gradients are 0 or not finite,
        the block next to the loss in which that begins.
        """
        names, norms = self._rows[-1]
        blocks: dict[str, float] = {}
        for name, norm in zip(names, norms.tolist()):
            blocks.setdefault(self.blocks.get(name) or name.rpartition("/")[0] or name, norm)
        pairs = list(zip(blocks, list(blocks)[1:]))
        changes = [Change(block, after, blocks[block], blocks[after]) for block, after in pairs]
        broken = [change for change in changes if math.isinf(change.size)]
        return broken[-1] if broken else max(changes, key=lambda change: change.size, default=None)

    def told(self) -> list[str]:
        """The last step in two lines: the gradient from the last layer to the first, and the worst block."""
        names, norms = self._rows[-1]
        first, last, g, h = names[0], names[-1], norms[0], norms[-1]
        ratio = f"{g / h:.2g}" if h else "-"
        lines = [f"  gradient at step {self._steps[-1]}: {first} {g:.3g}, {last} {h:.3g}, first/last {ratio}"]
        return lines if self.worst is None else [*lines, f"  worst block: {self.worst}"]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recording to a .npz or a .json file, whole or not at all. Raises FileError if that fails."""
        header, arrays = {"names": self._names, "blocks": self.blocks}, {"steps": self.steps, "norms": self.norms}
        archive.write_either(path, GRADIENTS, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> GradientNorms:
        """Read what `save` wrote. Raises FileError for a file that is missing, damaged, newer, or something else."""
        content = archive.read_either(path, GRADIENTS)
        with archive.explained("load", path, GRADIENTS):
            names, steps, norms = _checked(content)
            blocks = _checked_blocks(content.get("blocks", {}))
        loaded = cls(blocks)
        loaded._names = list(names)
        loaded._steps = steps
        loaded._rows = [_taking_part(names, row) for row in norms]
        return loaded

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"GradientNorms({len(self._steps)} steps, {len(self._names)} layers)"


def _checked(content: dict[str, Any]) -> tuple[tuple[str, ...], list[int], np.ndarray]:
    """(names, steps, norms) out of a file, if they fit each other."""
    names, steps, norms = content["names"], np.array(content["steps"]), content["norms"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError("the names are not a list of different texts")
    if isinstance(norms, list) and content["version"] == 1:  # NaN was null there, and an infinity a text
        norms = [[math.nan if norm is None else float(norm) for norm in row] for row in norms]
    table = np.array(norms, np.float64)
    if table.size == 0:
        table = table.reshape(steps.size, len(names))
    if steps.ndim != 1 or table.shape != (len(steps), len(names)):
        raise ValueError(f"{table.shape} norms of {steps.size} steps and {len(names)} layers")
    if steps.size and (steps.dtype.kind != "i" or steps.min() < 0):
        raise ValueError("the steps are not counts")
    return tuple(names), steps.tolist(), table


def _checked_blocks(blocks: Any) -> dict[str, str]:
    """Block by layer, out of a file."""
    if not isinstance(blocks, dict) or not all(isinstance(block, str) for block in blocks.values()):
        raise ValueError("the blocks are not texts by layer")
    return blocks


def _taking_part(names: tuple[str, ...], norms: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The layers that took part in a step, and their norms."""
    here = ~np.isnan(norms)
    return tuple(name for name, taking in zip(names, here) if taking), norms[here]
