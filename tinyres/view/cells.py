"""What a ribbon shows, before it is drawn: cells along the chain, and the skips as arcs over them.

A cell is a block, or a run of nodes between blocks. An arc spans the cells from a fork to where its skip meets the
other ways from there, or to where an edge of another kind leads that leaves cells out; arcs that overlap lie on
different levels. A long net keeps its ends, and one cell stands for what is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tinyres.structure.kinds import BRANCH, CHAIN, PARAMETER, SKIP
from tinyres.trace.blocks import Block
from tinyres.trace.nodes import Fork, TraceNode
from tinyres.trace.trace import Trace

MOST_CELLS = 128


@dataclass(frozen=True, slots=True)
class Cell:
    """A block, a run of nodes outside of blocks (block is None), or what was left out (folded > 0).

    index: its row in `trace.rows()`, if it has one. grad_norm: |g| at the block's input, or at the node that names a
    run; None for what was left out. entering: |g| on the way into the cell from the one before. splits: whether the
    gradient splits into skip and branch at the cell's entry; of a block that encloses others, the cell is only where
    their ways join, and grad_norm is |g| there.
    """

    name: str
    nodes: tuple[TraceNode, ...]
    grad_norm: float | None
    entering: float | None
    block: Block | None = None
    index: int | None = None
    splits: bool = False
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Arc:
    """One edge that goes over the cells first..last, with its signed share (None if not defined), 0 the lowest level.

    kind: that of the edge. fork: the node where it begins, with |g| there; landing: the node where a skip meets another
    way from there, or where an edge of another kind leads. over: of a skip across a U its block, None of any other.
    """

    kind: str
    fork: str
    landing: str
    first: int
    last: int
    share: float | None
    grad_norm: float
    level: int = 0
    over: Block | None = None


def layout(trace: Trace) -> tuple[list[Cell], list[Arc]]:
    """The cells in graph order, and the arcs, shortest first, those across a U on level 0."""
    cells, cell_of = _cells(trace)
    arcs = [*_skips(trace, cell_of), *_leaps(trace, cell_of)]
    if len(cells) > MOST_CELLS:
        cells, place = _folded(cells)
        moved = [(arc, place[arc.first], place[arc.last]) for arc in arcs]
        arcs = [replace(arc, first=a, last=b) for arc, a, b in moved if a != b or arc.first == arc.last]
        arcs = [arc for arc in arcs if not (arc.first == arc.last and cells[arc.first].folded)]
    return cells, _levelled(arcs)


def _skips(trace: Trace, cell_of: dict[str, int]) -> Iterator[Arc]:
    """Every skip edge, to where it lands."""
    order = {n.name: i for i, n in enumerate(trace.nodes)}
    consumers: dict[str, list[str]] = {n.name: [] for n in trace.nodes}
    for edge in trace.edges:
        if edge.src in consumers:
            consumers[edge.src].append(edge.dst)
    drawn: set[tuple[str, str]] = set()
    far = {(b.fork.node, b.fork.join): b for b in trace.parts if b.across and b.fork is not None}
    for fork in trace.forks:
        if all(e.kind != SKIP or (e.src, e.dst) in drawn for e in fork.edges):
            continue
        reached = [_reached(e.dst, fork.join, consumers) for e in fork.edges]
        for i, edge in enumerate(fork.edges):
            if edge.kind == SKIP and (edge.src, edge.dst) not in drawn:
                drawn.add((edge.src, edge.dst))
                others = set().union(*reached[:i], *reached[i + 1 :])
                landing = min(reached[i] & others, key=order.__getitem__)
                ends = _entry(fork, cell_of), cell_of[landing]
                over = far.get((fork.node, landing))
                yield Arc(SKIP, fork.node, landing, *ends, edge.share, trace[fork.node].grad_norm, over=over)


def _leaps(trace: Trace, cell_of: dict[str, int]) -> Iterator[Arc]:
    """Of each fork and kind, the edges that are neither skip nor branch and leave cells out, as one arc."""
    for fork in trace.forks:
        entry = _entry(fork, cell_of)
        leaping = [e for e in fork.edges if e.kind not in (SKIP, BRANCH, CHAIN, PARAMETER) and cell_of[e.dst] > entry]
        for kind in dict.fromkeys(e.kind for e in leaping):
            edges = [e for e in leaping if e.kind == kind]
            last = max(edges, key=lambda e: cell_of[e.dst])
            landing = last.dst if len(edges) == 1 else f"{last.dst} and {len(edges) - 1} more"
            shares = [e.share for e in edges]
            share = None if None in shares else sum(s for s in shares if s is not None)
            yield Arc(kind, fork.node, landing, entry, cell_of[last.dst] - 1, share, trace[fork.node].grad_norm)


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
    blocks = {b.name: (i, b) for i, b in enumerate(trace.parts)}
    groups: list[tuple[str, list[TraceNode]]] = []
    group_of_block: dict[str, int] = {}
    cell_of: dict[str, int] = {}
    leaving = {b.fork.node for b in trace.parts if b.across and b.fork is not None}  # a level of a U ends with each
    for node in trace.nodes:
        name = node.block if node.block in blocks else ""
        known = group_of_block.get(name)
        if known is None:
            goes_on = bool(trace.blocks and groups) and name == groups[-1][0]
            goes_on = goes_on and groups[-1][1][-1].name not in leaving
            if not goes_on:
                groups.append((name, []))
            known = len(groups) - 1
            if name:
                group_of_block[name] = known
        groups[known][1].append(node)
        cell_of[node.name] = known
    across = [e for e in trace.edges if e.src in cell_of and cell_of[e.src] != cell_of[e.dst]]
    fed = {cell_of[e.dst]: trace[e.src].grad_norm for e in across}
    cells: list[Cell] = []
    for name, nodes in groups:
        index, block = blocks.get(name, (None, None))
        own = len(cells)
        fork = None if block is None else block.fork
        encloses = fork is not None and _entry(fork, cell_of) != own
        at = _speaker(nodes) if block is None else nodes[0] if encloses else block.input
        splits = fork is not None and not encloses and any(e.kind in (SKIP, BRANCH) for e in fork.edges)
        row = index if trace.blocks else own
        entering = fed.get(own, at.grad_norm) if block is None or encloses else block.input.grad_norm
        cells.append(Cell(name or at.name, tuple(nodes), at.grad_norm, entering, block, row, splits))
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
    middle = Cell(f"{len(left_out)} more", nodes, None, left_out[0].entering, folded=len(left_out))
    place = [i if i < head else head if i < tail else i - len(left_out) + 1 for i in range(len(cells))]
    return [*cells[:head], middle, *cells[tail:]], place


def _levelled(arcs: Sequence[Arc]) -> list[Arc]:
    levelled: list[Arc] = []
    for arc in sorted(arcs, key=lambda a: (a.last - a.first, a.first)):
        below = [a.level for a in levelled if a.over is None and a.first <= arc.last and arc.first <= a.last]
        levelled.append(arc if arc.over is not None else replace(arc, level=1 + max(below, default=-1)))
    return levelled
