"""Trace files: .json and .npz hold a whole trace by columns, .csv its nodes as rows.

A JSON file is strict JSON: a number that is not finite is written as {"number": "nan"}. An .npz file
holds the same text as bytes and, where they were measured, the arrays. Both are read without pickle.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from tinyres.errors import ArgumentError, FileError, TinyresError
from tinyres.graph.blocks import Block
from tinyres.graph.nodes import Audit, Failure, Fork, TraceEdge, TraceNode, TraceParameter
from tinyres.graph.spectrum import Spectrum
from tinyres.graph.trace import Header, Trace, readers, writers

FORMAT = "tinyres trace"
VERSION = 1

_NUMBERS = (
    "name", "shape", "value_norm", "value_mean", "value_std", "zeros", "nans", "infs", "grad_norm", "grad_nans",
)  # fmt: skip
_NODE = (*_NUMBERS, "op", "primitive", "block")
_PARAMETER = (*_NUMBERS, "trainable")
_EDGE = ("kind", "grad_norm", "share", "cosine", "count")

Arrays = dict[str, np.ndarray]


def write_json(trace: Trace, path: str) -> None:
    """The trace without arrays; ArgumentError if it has any."""
    if any(n.arrays is not None for n in trace.nodes):
        raise ArgumentError(f"[save] arrays are kept by .npz files; got {path!r} and a trace with arrays; save as .npz")
    text = json.dumps(_encoded(trace), separators=(",", ":"), allow_nan=False)
    with replacing(path) as file:
        file.write(text.encode())


def write_npz(trace: Trace, path: str) -> None:
    """The trace with its arrays, if it has any."""
    text = json.dumps(_encoded(trace), separators=(",", ":"), allow_nan=False)
    arrays: Arrays = {"trace": np.frombuffer(text.encode(), np.uint8)}
    for i, record in enumerate((*trace.nodes, *trace.parameters)):
        if record.arrays is not None:
            value, grad = record.arrays
            arrays[f"value{i}"] = value
            if grad is not None:
                arrays[f"grad{i}"] = grad
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def write_csv(trace: Trace, path: str) -> None:
    """One row per node, as `trace.rows(trace.level)`."""
    rows = trace.rows(trace.level)
    with replacing(path) as file:
        lines: list[str] = []
        writer = csv.DictWriter(_Lines(lines), fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        file.write("".join(lines).encode())


def read_json(path: str) -> Trace:
    """The trace in a .json file."""
    with _explained(path), open(path, "rb") as file:
        return _decoded(json.loads(file.read().decode()), {}, path)


def read_npz(path: str) -> Trace:
    """The trace in an .npz file."""
    with _explained(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = dict(archive)
        return _decoded(json.loads(arrays.pop("trace").tobytes().decode()), arrays, path)


class _Lines:
    """What csv writes to: it keeps the lines."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when it is complete, so that a kill leaves the old one or the new."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Whatever reading a damaged or foreign file raises, as a FileError that says so."""
    try:
        yield
    except FileNotFoundError:
        raise FileError(f"[load] the file must exist; there is no {path!r}; check the path") from None
    except TinyresError:
        raise
    except (
        ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, EOFError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise FileError(
            f"[load] a trace file must be complete; {path!r} is damaged or not a trace "
            f"({type(error).__name__}: {error}); save the trace again"
        ) from None


def _encoded(trace: Trace) -> dict[str, Any]:
    place = {n.name: i for i, n in enumerate((*trace.nodes, *trace.parameters))}
    edge_at = {id(e): i for i, e in enumerate(trace.edges)}
    fork_at = {id(f): i for i, f in enumerate(trace.forks)}
    files = sorted({n.source[0] for n in trace.nodes if n.source is not None})
    nodes = _columns(trace.nodes, _NODE)
    nodes["source"] = [None if n.source is None else [files.index(n.source[0]), n.source[1]] for n in trace.nodes]
    edges = _columns(trace.edges, _EDGE)
    edges["src"] = [place[e.src] for e in trace.edges]
    edges["dst"] = [place[e.dst] for e in trace.edges]
    audit = None
    if trace.audited:
        audit = _plain(asdict(trace.audit()))
    return {
        "format": FORMAT,
        "version": VERSION,
        "header": _plain(asdict(trace.header)),
        "files": files,
        "nodes": nodes,
        "parameters": _columns(trace.parameters, _PARAMETER),
        "edges": edges,
        "forks": [[place[f.node], place[f.join], [edge_at[id(e)] for e in f.edges], f.note] for f in trace.forks],
        "blocks": [
            [
                b.name,
                place[b.input.name],
                [place[n.name] for n in b.nodes],
                None if b.fork is None else fork_at[id(b.fork)],
                None if b.branch_end is None else place[b.branch_end.name],
            ]
            for b in trace.blocks
        ],
        "audit": audit,
        "paths": _plain(asdict(trace.paths())) if trace.has_paths else None,
    }


def _decoded(data: Any, arrays: Arrays, path: str) -> Trace:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(f"[load] the file must be a trace; {path!r} is something else; save one with trace.save()")
    if data["version"] > VERSION:
        raise FileError(
            f"[load] the file must be of version {VERSION} or older; {path!r} is of version {data['version']}; "
            "upgrade tinyres"
        )
    parameters = [
        TraceParameter(**row, arrays=_arrays(arrays, len(data["nodes"]["name"]) + i))
        for i, row in enumerate(_records(data["parameters"]))
    ]
    src, dst = data["edges"].pop("src"), data["edges"].pop("dst")
    params: dict[int, dict[str, TraceParameter]] = {}
    for s, d in zip(src, dst):
        if s >= len(data["nodes"]["name"]):
            record = parameters[s - len(data["nodes"]["name"])]
            params.setdefault(d, {})[record.name.rpartition("/")[2]] = record
    sources = data["nodes"].pop("source")
    nodes = [
        TraceNode(
            **row,
            source=None if source is None else (data["files"][source[0]], source[1]),
            params=params.get(i, {}),
            arrays=_arrays(arrays, i),
        )
        for i, (row, source) in enumerate(zip(_records(data["nodes"]), sources))
    ]
    everything = [*nodes, *parameters]
    edges = [
        TraceEdge(src=everything[s].name, dst=everything[d].name, **row)
        for s, d, row in zip(src, dst, _records(data["edges"]))
    ]
    forks = [Fork(nodes[n].name, nodes[j].name, tuple(edges[e] for e in es), note) for n, j, es, note in data["forks"]]
    by_name = {n.name: n for n in nodes}
    blocks = [
        Block(
            name=name,
            input=nodes[entry],
            output=nodes[members[-1]],
            nodes=tuple(nodes[m] for m in members),
            fork=None if fork is None else forks[fork],
            join=None if fork is None else by_name[forks[fork].join],
            branch_end=None if end is None else nodes[end],
        )
        for name, entry, members, fork, end in data["blocks"]
    ]
    header = Header(**_unplain(data["header"]))
    return Trace(header, nodes, parameters, edges, forks, blocks, _audit(data["audit"]), _spectrum(data["paths"]))


def _audit(data: Any) -> Audit | None:
    if data is None:
        return None
    failures = tuple(
        Failure(**(_unplain(f) | {"edge": None if f["edge"] is None else tuple(f["edge"])})) for f in data["failures"]
    )
    return Audit(data["level"], data["nodes"], data["edges"], failures)


def _spectrum(data: Any) -> Spectrum | None:
    if data is None:
        return None
    shares, norms = (tuple(map(_unplain, data[k])) for k in ("shares", "norms"))
    return Spectrum(data["at"], shares, norms, _unplain(data["error"]))


def _arrays(arrays: Arrays, i: int) -> tuple[np.ndarray, np.ndarray | None] | None:
    value = arrays.get(f"value{i}")
    if value is None:
        return None
    grad = arrays.get(f"grad{i}")
    for array in (value, grad):
        if array is not None:
            array.flags.writeable = False
    return value, grad


def _columns(records: Sequence[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [_plain(getattr(r, name)) for r in records] for name in names}


def _records(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The rows of a table by columns; all columns must be equally long."""
    rows = [dict(zip(columns, map(_unplain, values))) for values in zip(*columns.values(), strict=True)]
    for row in rows:
        if "shape" in row:
            row["shape"] = tuple(row["shape"])
    return rows


def _plain(value: Any) -> Any:
    """A value as strict JSON takes it."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _unplain(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["number"]) if set(value) == {"number"} else {k: _unplain(v) for k, v in value.items()}
    return value


_READERS: dict[str, Callable[[str], Trace]] = {".json": read_json, ".npz": read_npz}
_WRITERS: dict[str, Callable[[Trace, str], None]] = {".json": write_json, ".npz": write_npz, ".csv": write_csv}
readers.update(_READERS)
writers.update(_WRITERS)
