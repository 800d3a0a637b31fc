"""Where the numbers of a Look stand, as JSON: for a page that reads them out of memory and has no Python.

A row is the number of a line of WIDTH float64, ROWS of them to a page; -1 where nothing was measured. A table is a list
of its columns, and whole numbers in one are each less the one before: those of a hundred equal blocks are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyres.backends.buffers import Buffer
from tinyres.kernels.dtypes import FLOAT64
from tinyres.measure.look import Look
from tinyres.measure.sheet import ROWS, WIDTH
from tinyres.trace.blocks import Block


def layout_of(look: Look, pages: list[str]) -> dict[str, Any]:
    """pages: what each page is called in memory.

    nodes: [name, op, block, shape, row of the value, of the gradient, of its channels' largest]. parameters: [name,
    shape, row of the value, of the gradient]. edges: [src, dst, kind, how many, row of the producer's gradient, of what
    came over it, of the inner product of the two], both ends as numbers into `ends`, which are names; the second row
    is the first where all of it came over this edge. blocks: [name, input, output, join, end of the branch, [edge,
    kind] at its fork or null]; all but the name by number.
    """
    probes, tape = look.probes, look.tape
    trace = look.trace_of([_zeros(page.size) for page in probes.sheet.pages])
    values, gradients = probes.values, probes.observer.gradients
    nodes = [
        [n.name, n.op, n.block, n.shape, values[unit], gradients.get(unit, -1), probes.dead.get(i, -1)]
        for i, (n, unit) in enumerate(zip(trace.nodes, tape.units))
    ]
    parameters = [
        [p.name, p.shape, values[leaf], gradients.get(leaf, -1)] for p, leaf in zip(trace.parameters, tape.parameters)
    ]
    ends = {name: i for i, name in enumerate(dict.fromkeys(name for e in trace.edges for name in (e.src, e.dst)))}
    edges = [
        [ends[e.src], ends[e.dst], e.kind, e.count, *rows] for e, rows in zip(trace.edges, look.edge_rows.T.tolist())
    ]
    number = {id(node): i for i, node in enumerate(trace.nodes)}
    places = {(e.src, e.dst): i for i, e in enumerate(trace.edges)}
    return {
        "rows": ROWS,
        "width": WIDTH,
        "pages": pages,
        "nodes": _columns(nodes),
        "parameters": _columns(parameters),
        "ends": list(ends),
        "edges": _columns(edges),
        "blocks": _columns([_block(block, number, places) for block in trace.parts]),
    }


def _columns(rows: list[list[Any]]) -> list[list[Any]]:
    return [_differences(column) if all(type(v) is int for v in column) else list(column) for column in zip(*rows)]


def _differences(column: Sequence[int]) -> list[int]:
    return [after - before for before, after in zip((0, *column), column)]


def _block(block: Block, number: dict[int, int], places: dict[tuple[str, str], int]) -> list[Any]:
    ends = [block.input, block.output, block.join, block.branch_end]
    fork = None if block.fork is None else [[places[e.src, e.dst], e.kind] for e in block.fork.edges]
    return [block.name, *[-1 if node is None else number[id(node)] for node in ends], fork]


def _zeros(size: int) -> Buffer:
    page = Buffer(size, FLOAT64)
    page.array[...] = 0
    return page
