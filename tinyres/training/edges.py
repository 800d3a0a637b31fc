"""EdgeNorms: what `fit(watch=n, watch_edges=True)` recorded, edge by edge and step by step; it saves and loads.

A saved recording is an .npz or strict JSON (see `store`), without the last look: that is a trace, with its own file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyres.errors import TraceError
from tinyres.store import archive

if TYPE_CHECKING:
    from tinyres.measure.look import Look
    from tinyres.trace.trace import Trace


EDGES = archive.Format("tinyres edges", 1, "a recording of edges", "history.edges.save")
_COLUMNS = ("norms", "shares", "cosines")


class Edge(NamedTuple):
    """An edge of the ledger: who sent the gradient back (dst) to whom (src), and what kind of edge that is."""

    src: str
    dst: str
    kind: str


class EdgeNorms:
    """What came back over every edge, at the steps that `fit(watch=n, watch_edges=True)` looked at.

    steps: (looked,) int64, counted from 0 over all epochs. edges: in the order of `trace.edges`. norms, shares,
    cosines: (looked, edges) float64, as `TraceEdge` has them; NaN where a gradient is exactly 0, or an edge was not
    there.

    >>> import numpy as np
    >>> import tinyres as tr
    >>> x = inputs = tr.Input(shape=(3,))
    >>> model = tr.Model(inputs, tr.layers.Add()([tr.layers.Dense(3)(x), x]))
    >>> model.compile(loss="mse")
    >>> history = model.fit(np.ones((4, 3)), np.ones((4, 3)), verbose=0, watch=1, watch_edges=True)
    >>> [f"{edge.kind} to {edge.dst}" for edge in history.edges.edges if edge.src == "input"]
    ['branch to dense', 'skip to add']
    """

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._rows: list[tuple[tuple[Edge, ...], tuple[np.ndarray, np.ndarray, np.ndarray]]] = []
        self._edges: dict[Edge, int] = {}
        self._last: Look | Trace | None = None  # a Look until somebody reads it
        self._loaded = False

    def append(self, step: int, look: Look) -> None:
        """Add what one step saw."""
        if getattr(self._last, "edge_names", None) is look.edge_names:  # of the same recording
            edges = self._rows[-1][0]
        else:
            edges = tuple(map(Edge._make, look.edge_names))
            for edge in edges:
                self._edges.setdefault(edge, len(self._edges))
        self._steps.append(step)
        self._rows.append((edges, look.edges()))
        self._last = look

    @property
    def steps(self) -> np.ndarray:
        """The steps looked at."""
        return np.array(self._steps, np.int64)

    @property
    def edges(self) -> list[Edge]:
        """All edges that were seen."""
        return list(self._edges)

    @property
    def norms(self) -> np.ndarray:
        """norms[step, edge]: |g_e| of what came back over the edge."""
        return self._table(0)

    @property
    def shares(self) -> np.ndarray:
        """shares[step, edge]: the signed share of the producer's gradient."""
        return self._table(1)

    @property
    def cosines(self) -> np.ndarray:
        """cosines[step, edge]: between what came over the edge and the producer's gradient."""
        return self._table(2)

    @property
    def last(self) -> Trace:
        """The last look as a Trace. Raises TraceError if there was none, or it came out of a file."""
        if self._last is None and self._loaded:
            raise TraceError(
                "[history] the last look is not in a file of edges; got one that was loaded; save the trace beside it, "
                "history.edges.last.save(path), and tr.Trace.load it"
            )
        if self._last is None:
            raise TraceError("[history] no step was looked at; got none; watch every step, fit(..., watch=1)")
        return _trace_of(self._last)

    def rows(self) -> list[dict[str, Any]]:
        """Flat dicts with step, src, dst, kind, norm, share and cosine, as a DataFrame takes them."""
        return [
            {"step": step, **edge._asdict(), "norm": norm, "share": share, "cosine": cosine}
            for step, (edges, numbers) in zip(self._steps, self._rows)
            for edge, norm, share, cosine in zip(edges, *(column.tolist() for column in numbers))
        ]

    def to_pandas(self) -> Any:
        """`rows` as a pandas.DataFrame: a row for each edge and step. Raises MissingExtraError."""
        from tinyres.view.frames import pandas_of

        return pandas_of(self.rows())

    def to_polars(self) -> Any:
        """The same as a polars.DataFrame."""
        from tinyres.view.frames import polars_of

        return polars_of(self.rows())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recording to a .npz or a .json file, whole or not at all. Raises FileError if that fails."""
        arrays = {"steps": self.steps, **{name: getattr(self, name) for name in _COLUMNS}, "there": self._there()}
        archive.write_either(path, EDGES, {"edges": [list(edge) for edge in self._edges]}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EdgeNorms:
        """Read what `save` wrote. Raises FileError for a file that is missing, damaged, newer, or something else."""
        content = archive.read_either(path, EDGES)
        with archive.explained("load", path, EDGES):
            edges, steps, there, columns = _checked(content)
        loaded = cls()
        loaded._loaded, loaded._steps = True, steps
        loaded._edges = {edge: i for i, edge in enumerate(edges)}
        for i, here in enumerate(there):
            norms, shares, cosines = (column[i][here] for column in columns)
            loaded._rows.append((tuple(edge for edge, one in zip(edges, here) if one), (norms, shares, cosines)))
        return loaded

    def _there(self) -> np.ndarray:
        """there[step, edge]: 1 where the edge was there."""
        table = np.zeros((len(self._rows), len(self._edges)), np.int64)
        for row, (edges, _) in zip(table, self._rows):
            row[[self._edges[edge] for edge in edges]] = 1
        return table

    def __getstate__(self) -> dict[str, Any]:
        """What pickle and copy take: a look holds the nodes of its step, a trace holds none."""
        return {**self.__dict__, "_last": None if self._last is None else _trace_of(self._last)}

    def _table(self, column: int) -> np.ndarray:
        table = np.full((len(self._rows), len(self._edges)), np.nan)
        for row, (edges, numbers) in zip(table, self._rows):
            row[[self._edges[edge] for edge in edges]] = numbers[column]
        return table

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"EdgeNorms({len(self._steps)} steps, {len(self._edges)} edges)"


def _trace_of(last: Look | Trace) -> Trace:
    from tinyres.measure.look import Look

    return last.trace() if isinstance(last, Look) else last


def _checked(content: dict[str, Any]) -> tuple[list[Edge], list[int], np.ndarray, list[np.ndarray]]:
    """(edges, steps, there, [norms, shares, cosines]) out of a file, if they fit each other."""
    named, steps = content["edges"], np.array(content["steps"])
    if not isinstance(named, list) or not all(
        isinstance(edge, list) and len(edge) == 3 and all(isinstance(name, str) for name in edge) for edge in named
    ):
        raise ValueError("the edges are not a list of three texts each")
    edges = [Edge(*edge) for edge in named]
    if len(set(edges)) < len(edges):
        raise ValueError("an edge stands twice")
    shape = (steps.size, len(edges))
    tables = [np.array(content[name], np.float64) for name in (*_COLUMNS, "there")]
    tables = [table.reshape(shape) if table.size == 0 == steps.size * len(edges) else table for table in tables]
    if steps.ndim != 1 or any(table.shape != shape for table in tables):
        raise ValueError(f"{[table.shape for table in tables]} numbers of {steps.size} steps and {len(edges)} edges")
    if steps.size and (steps.dtype.kind != "i" or steps.min() < 0):
        raise ValueError("the steps are not counts")
    there = tables.pop()
    if not np.isin(there, (0, 1)).all():
        raise ValueError("whether an edge was there is neither 0 nor 1")
    return edges, steps.tolist(), there == 1, tables
