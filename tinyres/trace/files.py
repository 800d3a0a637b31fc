"""Trace files: .json and .npz hold a whole trace by columns, .csv its nodes as rows.

A JSON file is the header of the .npz; that holds also the arrays, where they were measured. Both are read without
pickle (see `store`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from tinyres.errors import ArgumentError
from tinyres.store import archive
from tinyres.store.replacing import replacing
from tinyres.trace.blocks import Block
from tinyres.trace.building import by_short_name
from tinyres.trace.facts import Weight, decoded_facts, encoded_facts, guessed_facts
from tinyres.trace.nodes import Audit, Failure, Fork, Head, Measured, Returned, TraceEdge, TraceNode, TraceParameter
from tinyres.trace.spectrum import Over, Spectrum
from tinyres.trace.trace import Header, Trace, readers, writers

TRACE = archive.Format("tinyres trace", 2, "a trace file", "trace.save", older="trace")

_NUMBERS = (
    "name", "shape", "value_norm", "value_mean", "value_std", "zeros", "nans", "infs", "grad_norm", "grad_nans",
)  # fmt: skip
_NODE = (*_NUMBERS, "op", "primitive", "block", "dead", "by_position", "heads", "channels_first")
_PARAMETER = (*_NUMBERS, "trainable")
_EDGE = ("kind", "grad_norm", "share", "cosine", "count")

Arrays = dict[str, np.ndarray]
Item = TypeVar("Item")


def write_json(trace: Trace, path: str) -> None:
    """The trace without arrays; ArgumentError if it has any."""
    if any(n.arrays is not None for n in trace.nodes):
        raise ArgumentError(f"[save] arrays are kept by .npz files; got {path!r} and a trace with arrays; save as .npz")
    archive.write_text(path, TRACE, _encoded(trace))


def write_npz(trace: Trace, path: str) -> None:
    """The trace with its arrays, if it has any."""
    arrays: Arrays = {}
    for i, record in enumerate((*trace.nodes, *trace.parameters)):
        if record.arrays is not None:
            value, grad = record.arrays
            arrays[f"value{i}"] = value
            if grad is not None:
                arrays[f"grad{i}"] = grad
    archive.write(path, TRACE, _encoded(trace), arrays)


def write_csv(trace: Trace, path: str) -> None:
    """One row per node, as `trace.rows(trace.level)`."""
    import csv

    rows = trace.rows(trace.level)
    with replacing(path) as file:
        lines: list[str] = []
        writer = csv.DictWriter(_Lines(lines), fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        file.write("".join(lines).encode())


def read_json(path: str) -> Trace:
    """The trace in a .json file."""
    return _read(path, archive.read_text("load", path, TRACE), {})


def read_npz(path: str) -> Trace:
    """The trace in an .npz file."""
    return _read(path, *archive.read("load", path, TRACE))


def _read(path: str, data: Any, arrays: Arrays) -> Trace:
    with archive.explained("load", path, TRACE):
        return _decoded(_of_version_1(data) if data["version"] == 1 else data, arrays)


class _Lines:
    """What csv writes to: it keeps the lines."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def _encoded(trace: Trace) -> dict[str, Any]:
    place = {n.name: i for i, n in enumerate((*trace.nodes, *trace.parameters))}
    edge_at = {(e.src, e.dst): i for i, e in enumerate(trace.edges)}
    fork_at = {id(f): i for i, f in enumerate(trace.forks)}
    files = sorted({n.source[0] for n in trace.nodes if n.source is not None})
    nodes = _columns(trace.nodes, _NODE)
    nodes["source"] = [None if n.source is None else [files.index(n.source[0]), n.source[1]] for n in trace.nodes]
    edges = _columns(trace.edges, _EDGE)
    edges["src"] = [place[e.src] for e in trace.edges]
    edges["dst"] = [place[e.dst] for e in trace.edges]
    audit = None
    if trace.audited:
        audit = asdict(trace.audit())
    return {
        "header": asdict(trace.header),
        "files": files,
        "nodes": nodes,
        "parameters": _columns(trace.parameters, _PARAMETER),
        "edges": edges,
        "forks": [
            [
                place[f.node],
                place[f.join],
                [edge_at[e.src, e.dst] for e in f.edges],
                f.note,
                [e.kind for e in f.edges],
                None if f.carried is None else [[place[n], d] for n, d in f.carried.items()],
                None if f.returned is None else [[place[n], *r] for n, r in f.returned.items()],
            ]
            for f in trace.forks
        ],
        "blocks": [_encoded_block(b, place, fork_at) for b in trace.blocks],
        **encoded_facts(
            [n.facts for n in trace.nodes], [Weight(p.fans, p.drawn, p.coverage) for p in trace.parameters]
        ),
        "audit": audit,
        "paths": asdict(trace.paths()) if trace.has_paths else None,
    }


def _encoded_block(block: Block, place: Mapping[str, int], fork_at: Mapping[int, int]) -> list[Any]:
    row = [
        block.name,
        place[block.input.name],
        [place[n.name] for n in block.nodes],
        None if block.fork is None else fork_at[id(block.fork)],
        None if block.branch_end is None else place[block.branch_end.name],
    ]
    parts = [_encoded_block(part, place, fork_at) for part in block.parts]
    return [*row, parts, True] if block.across else [*row, parts] if parts else row


def _decoded(data: Any, arrays: Arrays) -> Trace:
    count = len(data["nodes"]["name"])
    facts, weights = decoded_facts(data) if "facts" in data else guessed_facts(data)
    parameters = [
        TraceParameter(**row, **weight._asdict(), arrays=_arrays(arrays, count + i))
        for i, (row, weight) in enumerate(zip(_records(data["parameters"]), weights, strict=True))
    ]
    ends = list(zip(data["edges"].pop("src"), data["edges"].pop("dst"), strict=True))
    params: dict[int, list[TraceParameter]] = {}
    for src, dst in ends:
        if dst <= src < count:
            raise ValueError(f"an edge goes from node {src} back to {dst}")
        if src >= count:
            record = _at(parameters, src - count)
            params.setdefault(dst, []).append(record)
    sources = _sources(data["nodes"].pop("source"), data["files"])
    nodes = [
        TraceNode(**row, source=source, facts=own, params=by_short_name(params.get(i, ())), arrays=_arrays(arrays, i))
        for i, (row, source, own) in enumerate(zip(_records(data["nodes"]), sources, facts, strict=True))
    ]
    everything: list[Measured] = [*nodes, *parameters]
    edges = [
        TraceEdge(src=_at(everything, src).name, dst=_at(nodes, dst).name, **row)
        for (src, dst), row in zip(ends, _records(data["edges"]), strict=True)
    ]
    forks = [_fork(*row, nodes=nodes, edges=edges) for row in data["forks"]]
    by_name = {n.name: n for n in nodes}
    blocks = [_block(*row, nodes=nodes, forks=forks, by_name=by_name) for row in data["blocks"]]
    audit, spectrum = _audit(data["audit"]), _spectrum(data["paths"])
    return Trace(_header(data["header"]), nodes, parameters, edges, forks, blocks, audit, spectrum)


def _fork(
    node: Any,
    join: Any,
    own: Any,
    note: Any,
    kinds: Any = None,
    carried: Any = None,
    returned: Any = None,
    *,
    nodes: list[TraceNode],
    edges: list[TraceEdge],
) -> Fork:
    """A fork; older files do not tell what its skips carry, nor kinds of its edges, which are those of the trace."""
    found = [_at(edges, e) for e in own]
    if kinds is not None:
        found = [
            e if e.kind == kind else dataclasses.replace(e, kind=_text(kind))
            for e, kind in zip(found, kinds, strict=True)
        ]
    passed = None
    if carried is not None:
        passed = {_at(nodes, n).name: None if departs is None else _number(departs) for n, departs in carried}
    sent = None
    if returned is not None:
        sent = {_at(nodes, n).name: Returned(_number(ratio), _number(cosine)) for n, ratio, cosine in returned}
    return Fork(_at(nodes, node).name, _at(nodes, join).name, tuple(found), _text(note), passed, sent)


def _block(
    name: Any,
    entry: Any,
    members: Any,
    fork: Any,
    end: Any,
    parts: Any = (),
    across: Any = False,
    *,
    nodes: list[TraceNode],
    forks: list[Fork],
    by_name: dict[str, TraceNode],
) -> Block:
    """A block; older files know no parts, and no skips across."""
    split = None if fork is None else _at(forks, fork)
    own = tuple(_at(nodes, m) for m in members)
    within = tuple([_block(*part, nodes=nodes, forks=forks, by_name=by_name) for part in parts])
    return Block(
        name=_text(name),
        input=_at(nodes, entry),
        output=own[-1],
        nodes=own,
        fork=split,
        join=within[-1].join if within else None if split is None else by_name[split.join],
        branch_end=None if end is None else _at(nodes, end),
        parts=within,
        across=bool(across),
    )


def _sources(lines: Any, files: Any) -> list[tuple[str, int] | None]:
    """Per node its line; in the file of traces the user's files are numbered."""
    return [None if line is None else (_text(_at(files, line[0])), _integer(line[1])) for line in lines]


def _at(items: Sequence[Item], i: Any) -> Item:
    """items[i], for a number that somebody wrote into a file."""
    if not 0 <= _integer(i) < len(items):
        raise IndexError(f"there is no number {i}")
    return items[i]


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no integer")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _audit(data: Any) -> Audit | None:
    if data is None:
        return None
    failures = tuple(
        Failure(
            _text(f["node"]),
            None if f["edge"] is None else (_text(f["edge"][0]), _text(f["edge"][1])),
            _text(f["problem"]),
            _number(f["error"]),
        )
        for f in data["failures"]
    )
    return Audit(_text(data["level"]), _integer(data["nodes"]), _integer(data["edges"]), failures)


def _spectrum(data: Any) -> Spectrum | None:
    if data is None:
        return None
    shares = tuple(None if share is None else _number(share) for share in data["shares"])
    over = [
        Over(_text(name), None if share is None else _number(share), _number(norm))
        for name, share, norm in data.get("over", ())
    ]
    norms = tuple(map(_number, data["norms"]))
    return Spectrum(_text(data["at"]), shares, norms, _number(data["error"]), tuple(over))


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
    return {name: [getattr(r, name) for r in records] for name in names}


_WORDS = ("name", "op", "primitive", "block", "kind")
_COUNTS = ("zeros", "nans", "infs", "grad_nans", "count")


def _records(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The rows of a table by columns; all columns must be equally long, and each of its type."""
    rows = [dict(zip(columns, values)) for values in zip(*columns.values(), strict=True)]
    for row in rows:
        for column, value in row.items():
            if not _is_valid(column, value):
                raise ValueError(f"{column} is {value!r}")
        for column in ("shape", "by_position"):
            if row.get(column) is not None:
                row[column] = tuple(row[column])
        if row.get("heads") is not None:
            row["heads"] = tuple(Head(*head) for head in row["heads"])
    return rows


def _is_valid(column: str, value: Any) -> bool:
    if column in _WORDS:
        return isinstance(value, str)
    if column in _COUNTS:
        return type(value) is int
    if column == "shape":
        return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
    if column == "by_position":
        return value is None or (isinstance(value, list) and all(type(norm) in (int, float) for norm in value))
    if column == "heads":
        return value is None or (isinstance(value, list) and all(map(_is_head, value)))
    if column in ("trainable", "channels_first"):
        return isinstance(value, bool)
    if column == "dead":
        return value is None or type(value) is int
    return type(value) in (int, float) or (value is None and column in ("share", "cosine"))


def _is_head(value: Any) -> bool:
    entropy, dead = value
    return (entropy is None or type(entropy) in (int, float)) and isinstance(dead, bool)


def _header(data: dict[str, Any]) -> Header:
    header = Header(**(data | {"notes": tuple(data.get("notes", ()))}))
    types = {"loss": (int, float), "dtype": (str,), "backend": (str,), "level": (str,)}
    if not all(isinstance(getattr(header, k), t) for k, t in types.items()) or header.level not in ("layer", "op"):
        raise ValueError(f"the header is {header}")
    return header


def _of_version_1(value: Any) -> Any:
    """In files of version 1 a number that is not finite was {"number": "nan"}."""
    if isinstance(value, dict):
        return float(value["number"]) if set(value) == {"number"} else {k: _of_version_1(v) for k, v in value.items()}
    return [_of_version_1(item) for item in value] if isinstance(value, list) else value


_READERS: dict[str, Callable[[str], Trace]] = {".json": read_json, ".npz": read_npz}
_WRITERS: dict[str, Callable[[Trace, str], None]] = {".json": write_json, ".npz": write_npz, ".csv": write_csv}
readers.update(_READERS)
writers.update(_WRITERS)
