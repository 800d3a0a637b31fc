"""Trace: what was measured of one forward and backward pass, as plain immutable data.

It outlives the graph it was measured on, saves, loads and compares. What was not measured is not there and says how
to measure it. Renderers and file formats are functions of a Trace that register here by name or file suffix.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyres.errors import ArgumentError, FileError, TraceError
from tinyres.trace.blocks import Block, rows_of
from tinyres.trace.groups import Group, groups_of
from tinyres.trace.nodes import Audit, Fork, TraceEdge, TraceNode, TraceParameter
from tinyres.trace.spectrum import Spectrum

if TYPE_CHECKING:
    from tinyres.trace.sentences import Verdict

LEVELS = ("stage", "block", "layer", "op", "edge", "parameter")

writers: dict[str, Callable[[Trace, str], None]] = {}
readers: dict[str, Callable[[str], Trace]] = {}


@dataclass(frozen=True, slots=True)
class Header:
    """What a trace is a trace of.

    loss: its value. batch: rows of the first input, None if there is none. training: whether layers were in training
    mode, None if unknown. dtype: of the loss. backend: what computed it. level: "layer" or "op". chance: the loss of an
    answer that ignores the input, None if unknown. notes: what a reader must know of it, such as what could not be
    looked into.
    """

    loss: float
    batch: int | None
    training: bool | None
    dtype: str
    backend: str
    level: str
    chance: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Whatever a file says: numbers are numbers here."""
        optional = (self.batch, int), (self.training, bool), (self.chance, (int, float))
        if not isinstance(self.loss, (int, float)) or any(v is not None and not isinstance(v, k) for v, k in optional):
            raise ValueError("a header holds numbers")
        if not isinstance(self.notes, tuple) or not all(isinstance(note, str) for note in self.notes):
            raise ValueError("notes are texts")


class Trace:
    """The gradient of one loss, node by node and edge by edge.

    Made by `graph.trace()`. nodes, edges, forks, blocks: tuples in graph order; parts: the blocks, those with several
    forks by a part for each; parameters: by full name.
    loss, batch, training, dtype, backend, level: see `Header`. Raises TraceError for what was not measured, with the
    call that measures it, and for unknown names, with the nearest known ones.

    >>> import tinyres as tr
    >>> x, w = tr.tensor(3.0, name="x"), tr.tensor(0.1, requires_grad=True, name="w")
    >>> h = w * x + x
    >>> trace = tr.Graph(h * h).trace()
    >>> [(edge.dst, edge.kind, round(edge.grad_norm, 2)) for edge in trace.fork("x").edges]
    [('mul', 'branch', 0.66), ('add', 'skip', 6.6)]
    """

    def __init__(
        self,
        header: Header,
        nodes: Iterable[TraceNode],
        parameters: Iterable[TraceParameter],
        edges: Iterable[TraceEdge],
        forks: Iterable[Fork],
        blocks: Iterable[Block],
        audit: Audit | None = None,
        paths: Spectrum | None = None,
    ) -> None:
        self.header = header
        self.nodes = tuple(nodes)
        self.parameters = tuple(parameters)
        self.edges = tuple(edges)
        self.forks = tuple(forks)
        self.blocks = tuple(blocks)
        self.parts = rows_of(self.blocks)
        self._audit = audit
        self._paths = paths
        self._by_name: dict[str, Any] = {b.name: b for b in (*self.parts, *self.blocks)}
        self._by_name.update((p.name, p) for p in self.parameters)
        self._by_name.update((n.name, n) for n in self.nodes)

    @property
    def loss(self) -> float:
        """The value that was differentiated."""
        return self.header.loss

    @property
    def level(self) -> str:
        """What one node is: a "layer" call, or an "op"."""
        return self.header.level

    def __getitem__(self, name: str) -> Any:
        """The node, parameter or block of this name."""
        try:
            return self._by_name[name]
        except (KeyError, TypeError):
            raise TraceError(unknown_name("a name", name, self._by_name)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def fork(self, key: str | int) -> Fork:
        """Where a gradient splits: by the name of a block (of several parts: that at its input), of a part, or of the
        forking node, or by index in graph order.
        """
        if isinstance(key, int):
            if not -len(self.forks) <= key < len(self.forks):
                raise TraceError(f"[trace] an index of a fork is below {len(self.forks)}; got {key}; see trace.forks")
            return self.forks[key]
        for fork in reversed(self.forks):  # a node's own comes after its inner ones
            if fork.node == key:
                return fork
        found = next((b for b in (*self.blocks, *self.parts) if b.name == key), None) or self[key]
        if isinstance(found, Block) and found.fork is not None:
            return found.fork
        what = "a block without a fork" if isinstance(found, Block) else "not a fork, it feeds one consumer"
        raise TraceError(f"[trace] a fork feeds several consumers; {key!r} is {what}; trace.forks lists all forks")

    @property
    def audited(self) -> bool:
        """Whether the audit was made."""
        return self._audit is not None

    def audit(self) -> Audit:
        """Whether every gradient is the sum of what came over its edges, and what is not: `.ok`, `.failures`."""
        if self._audit is None:
            raise TraceError(f"[trace] the audit was not made; call {self._call('audit=True')}")
        return self._audit

    def paths(self) -> Spectrum:
        """How much of the gradient at the input passed exactly k residual branches: `.shares[k]`, `.norms[k]`."""
        if self._paths is None:
            raise TraceError(f"[trace] paths were not measured; call {self._call('paths=True')}")
        return self._paths

    @property
    def has_paths(self) -> bool:
        """Whether paths were measured."""
        return self._paths is not None

    def rows(self, level: str | None = None) -> list[dict[str, Any]]:
        """Flat dicts, ready for a DataFrame.

        level: "stage" (blocks of one scope, or whose outputs have one shape), "block" (a row per part where a block has
        several), "layer" (or "op" in a trace of ops), "edge" or "parameter"; default: blocks, if there are any.
        """
        level = self.known_level(level)
        if level == "stage":
            return [_group_row(g) for g in groups_of(self.blocks)]
        if level == "block":
            return [_block_row(b) for b in self.parts]
        if level == "edge":
            return [{k: getattr(e, k) for k in TraceEdge.__slots__} for e in self.edges]
        if level == "parameter":
            return [_columns(p, "trainable") for p in self.parameters]
        return [_columns(n, "op", "block", "source") for n in self.nodes]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file; the suffix tells the format: .json or .npz (both can be loaded), .csv (rows only).

        Arrays (`graph.trace(arrays=True)`) are kept by .npz. Written atomically. Raises ArgumentError for a suffix
        that is not known.
        """
        path = os.fspath(path)
        writer = writers.get(os.path.splitext(path)[1])
        if writer is None:
            raise ArgumentError(f"[save] a trace is saved as {' or '.join(writers)}; got {path!r}; change the suffix")
        writer(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a trace saved as .json or .npz. Raises FileError for a file that is missing, damaged or none."""
        path = os.fspath(path)
        reader = readers.get(os.path.splitext(path)[1])
        if reader is None:
            known = " or ".join(readers)
            raise FileError(f"[load] a trace is loaded from {known}; got {path!r}; save it as one of them")
        return reader(path)

    def __repr__(self) -> str:
        told = f"{len(self.nodes)} nodes in {len(self.blocks)} blocks, loss {self.loss:.4g}"
        if len(self.blocks) > 1:
            first, last = self.blocks[0], self.blocks[-1]
            told += f", |g| {first.grad_norm:.3g} at {first.name}, {last.grad_norm:.3g} at {last.name}"
        return f"<Trace of {told}; print it>"

    def known_level(self, level: str | None) -> str:
        """The level itself, for None the default; raises for one that is unknown or was not measured."""
        if level is None:
            return "block" if self.blocks else self.level
        if level not in LEVELS:
            raise ArgumentError(f"[trace] a level is one of {', '.join(LEVELS)}; got {level!r}; choose one of them")
        if level in ("layer", "op") and level != self.level:
            call = self._call(f'level="{level}"')
            raise TraceError(f"[trace] {level}s were not measured; call {call}")
        return level

    def _call(self, option: str) -> str:
        """What is called to measure more."""
        of_torch = self.header.backend.startswith("torch ")
        return f"tr.torch.trace(module, …, {option})" if of_torch else f"graph.trace({option})"

    if TYPE_CHECKING:
        # What verdict.py and the view room attach, for type checkers.
        def verdict(self) -> Verdict: ...
        def table(self, level: str | None = None, expand: str | None = None) -> str: ...
        def export(self, path: str | os.PathLike[str]) -> None: ...
        def plot(self, kind: str = "gradient", ax: Any = None) -> Any: ...
        def _repr_html_(self) -> str: ...
        def to_pandas(self, level: str | None = None) -> Any: ...
        def to_polars(self, level: str | None = None) -> Any: ...


def unknown_name(what: str, name: object, known: Collection[str]) -> str:
    """The error for a name that nothing has: it lists the nearest ones."""
    import difflib

    near = difflib.get_close_matches(str(name), known, n=4, cutoff=0.5) or list(known)[:4]
    return f"[trace] {what} must be that of something traced; got {name!r}; the nearest are {', '.join(near)}"


def _columns(record: TraceNode | TraceParameter, *more: str) -> dict[str, Any]:
    names = ("name", *more, "shape", "value_norm", "value_mean", "value_std", "grad_norm", "zeros", "nans", "infs")
    row = {k: getattr(record, k) for k in names}
    if "source" in row:
        row["source"] = None if row["source"] is None else f"{row['source'][0]}:{row['source'][1]}"
        row["dead"] = getattr(record, "dead", None)
    return row


def _group_row(g: Group) -> dict[str, Any]:
    ends = {"stage": g.name, "blocks": len(g.blocks), "first": g.blocks[0].name, "last": g.blocks[-1].name}
    return ends | {k: getattr(g, k) for k in ("shape", "x_norm", "grad_norm", "rate", "skip", "strength")}


def _block_row(b: Block) -> dict[str, Any]:
    ends = {"block": b.name, "input": b.input.name, "output": b.output.name}
    numbers = ("x_norm", "grad_norm", "skip", "branch", "strength", "passed")
    return ends | {k: getattr(b, k) for k in numbers}
