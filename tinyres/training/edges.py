"""EdgeNorms: what `fit(watch=n, watch_edges=True)` recorded, edge by edge and step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyres.errors import TraceError

if TYPE_CHECKING:
    from tinyres.measure.look import Look
    from tinyres.trace.trace import Trace


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
        self._last: Look | None = None

    def append(self, step: int, look: Look) -> None:
        """Add what one step saw."""
        if self._last is not None and self._last.edge_names is look.edge_names:  # of the same recording
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
        """The last look as a Trace. Raises TraceError if there was none."""
        if self._last is None:
            raise TraceError("[history] no step was looked at; got none; watch every step, fit(..., watch=1)")
        return self._last.trace()

    def rows(self) -> list[dict[str, Any]]:
        """Flat dicts with step, src, dst, kind, norm, share and cosine, as a DataFrame takes them."""
        return [
            {"step": step, **edge._asdict(), "norm": norm, "share": share, "cosine": cosine}
            for step, (edges, numbers) in zip(self._steps, self._rows)
            for edge, norm, share, cosine in zip(edges, *(column.tolist() for column in numbers))
        ]

    def _table(self, column: int) -> np.ndarray:
        table = np.full((len(self._rows), len(self._edges)), np.nan)
        for row, (edges, numbers) in zip(table, self._rows):
            row[[self._edges[edge] for edge in edges]] = numbers[column]
        return table

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"EdgeNorms({len(self._steps)} steps, {len(self._edges)} edges)"
