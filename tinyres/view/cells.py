"""What a ribbon shows, before it is drawn: cells along the chain, and the skips as arcs over them.

A cell is a block, or a run of nodes between blocks. An arc spans the cells from a fork to where its skip meets the
other ways from there; arcs that overlap lie on different levels. A long net keeps its ends, and one cell stands for
what is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tinyres.structure.kinds import BRANCH, SKIP
from tinyres.trace.blocks import Block
from tinyres.trace.nodes import Fork, TraceNode
from tinyres.trace.trace import Trace

MOST_CELLS = 128


@dataclass(frozen=True, slots=True)
class Cell:
    """A block, a run of nodes outside of blocks (block is None), or what was left out (folded > 0).

    index: its row in `trace.rows()`, if it has one. grad_norm: |g| at the block's input, or at the node that names a
    run; None for what was left out. splits: whether the gradient splits into skip and branch at the cell's entry; of a
    block that encloses others, the cell is only where their ways join, and grad_norm is |g| there.
    """

    name: str
    nodes: tuple[TraceNode, ...]
    grad_norm: float | None
    block: Block | None = None
    index: int | None = None
    splits: bool = False
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Arc:
    """One skip edge: over the cells first..last, with its signed share (None if not defined), 0 the lowest level.

    fork: the node where it begins; landing: the node where it meets another way from there.
    """

    fork: str
    landing: str
    first: int
    last: int
    share: float | None
    level: int


def layout(trace: Trace) -> tuple[list[Cell], list[Arc]]:
    """The cells in graph order, and the arcs, shortest first."""
    cells, cell_of = _cells(trace)
    spans = []
    for fork, landing, share in _skips(trace):
        spans.append((fork.node, landing, _entry(fork, cell_of), cell_of[landing], share))
    if len(cells) > MOST_CELLS:
        cells, place = _folded(cells)
        spans = [(f, to, place[a], place[b], s) for f, to, a, b, s in spans if place[a] != place[b] or a == b]
        spans = [s for s in spans if not (s[2] == s[3] and cells[s[2]].folded)]
    return cells, _levelled(spans)


def _skips(trace: Trace) -> Iterator[tuple[Fork, str, float | None]]:
    """Every skip edge: its fork, where it lands, and its share."""
    order = {n.name: i for i, n in enumerate(trace.nodes)}
    consumers: dict[str, list[str]] = {n.name: [] for n in trace.nodes}
    for edge in trace.edges:
        if edge.src in consumers:
            consumers[edge.src].append(edge.dst)
    drawn: set[tuple[str, str]] = set()
    for fork in trace.forks:
        if all(e.kind != SKIP or (e.src, e.dst) in drawn for e in fork.edges):
            continue
        reached = [_reached(e.dst, fork.join, consumers) for e in fork.edges]
        for i, edge in enumerate(fork.edges):
            if edge.kind == SKIP and (edge.src, edge.dst) not in drawn:
                drawn.add((edge.src, edge.dst))
                others = set().union(*reached[:i], *reached[i + 1 :])
                yield fork, min(reached[i] & others, key=order.__getitem__), edge.share


def _reached(start: str, join: str, consumers: dict[str, list[str]]) -> set[str]:
    """Everything from start up to and including join."""
    seen = {start}
    stack = [start]
    while stack:
        node = stack.pop()
        if node != join:
            new = [c for c in consumers[node] if c not in seen]
            seen.update(new)
            stack += new
    return seen


def _cells(trace: Trace) -> tuple[list[Cell], dict[str, int]]:
    """The cells, and the cell of each node by name."""
    blocks = {b.name: (i, b) for i, b in enumerate(trace.blocks)}
    groups: list[tuple[str, list[TraceNode]]] = []
    group_of_block: dict[str, int] = {}
    cell_of: dict[str, int] = {}
    for node in trace.nodes:
        name = node.block if node.block in blocks else ""
        known = group_of_block.get(name)
        if known is None:
            goes_on = bool(trace.blocks and groups) and name == groups[-1][0]
            if not goes_on:
                groups.append((name, []))
            known = len(groups) - 1
            if name:
                group_of_block[name] = known
        groups[known][1].append(node)
        cell_of[node.name] = known
    cells: list[Cell] = []
    for name, nodes in groups:
        index, block = blocks.get(name, (None, None))
        own = len(cells)
        fork = None if block is None else block.fork
        encloses = fork is not None and _entry(fork, cell_of) != own
        at = _speaker(nodes) if block is None else nodes[0] if encloses else block.input
        splits = fork is not None and not encloses and any(e.kind in (SKIP, BRANCH) for e in fork.edges)
        row = index if trace.blocks else own
        cells.append(Cell(name or at.name, tuple(nodes), at.grad_norm, block, row, splits))
    return cells, cell_of


def _entry(fork: Fork, cell_of: dict[str, int]) -> int:
    """The first cell after a fork."""
    return min(cell_of[e.dst] for e in fork.edges)


def _speaker(nodes: Sequence[TraceNode]) -> TraceNode:
    """The node that a run is known by: the last one that learns, else the last one."""
    return next((n for n in reversed(nodes) if n.params), nodes[-1])


def _folded(cells: list[Cell]) -> tuple[list[Cell], list[int]]:
    """Both ends with one cell between them, and the new place of every cell."""
    head = MOST_CELLS // 2
    tail = len(cells) - (MOST_CELLS - 1 - head)
    left_out = cells[head:tail]
    nodes = tuple(n for c in left_out for n in c.nodes)
    middle = Cell(f"{len(left_out)} more", nodes, None, folded=len(left_out))
    place = [i if i < head else head if i < tail else i - len(left_out) + 1 for i in range(len(cells))]
    return [*cells[:head], middle, *cells[tail:]], place


def _levelled(spans: list[tuple[str, str, int, int, float | None]]) -> list[Arc]:
    arcs: list[Arc] = []
    for fork, landing, first, last, share in sorted(spans, key=lambda s: (s[3] - s[2], s[2])):
        level = 1 + max((a.level for a in arcs if a.first <= last and first <= a.last), default=-1)
        arcs.append(Arc(fork, landing, first, last, share, level))
    return arcs
