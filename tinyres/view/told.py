"""Traces, blocks and nodes in a line of words: headings, tooltips, texts for screen readers."""

from __future__ import annotations

from tinyres.trace.blocks import Block
from tinyres.trace.nodes import TraceNode
from tinyres.trace.trace import Trace
from tinyres.view.cells import Cell
from tinyres.view.numbers import number, ratio, strength


def size_of(trace: Trace) -> str:
    """ "16 blocks, batch 128"."""
    count, what = (len(trace.blocks), "block") if trace.blocks else (len(trace.nodes), "node")
    counted = f"{count} {what}" + ("s" if count != 1 else "")
    return counted if trace.header.batch is None else f"{counted}, batch {trace.header.batch}"


def heading(trace: Trace) -> str:
    """What a picture is of, in one line."""
    return f"Gradient flow: {size_of(trace)}, loss {number(trace.loss)}"


def description(trace: Trace) -> str:
    """How |g| runs and what the skips carry, in a sentence or two."""
    if not trace.blocks:
        return "A chain of nodes from input to loss."
    first, last = trace.blocks[0], trace.blocks[-1]
    told = f"From input to loss; |g| is {number(first.grad_norm)} at {first.name}"
    told += f" and {number(last.grad_norm)} at {last.name}." if last is not first else "."
    shares = [b.skip for b in trace.parts if b.skip is not None]
    if shares:
        told += f" The skip carries {ratio(min(shares))} to {ratio(max(shares))} of the gradient at a block's input."
    return told


def told_block(block: Block) -> str:
    """A block in words."""
    facts = [f"|g| {number(block.grad_norm)}", f"|x| {number(block.x_norm)}"]
    if block.fork is not None:
        facts += [f"skip {ratio(block.skip)}", f"branch {ratio(block.branch)}", f"|F|/|x| {strength(block.strength)}"]
        facts += [block.fork.note] if block.fork.note else []
    return f"{block.name}: {', '.join(facts)}"


def told_node(node: TraceNode) -> str:
    """A node in words."""
    return f"{node.name} ({node.op}): |g| {number(node.grad_norm)}, |y| {number(node.value_norm)}"


def told_rows(trace: Trace) -> list[str]:
    """Every row of `trace.rows()` in words."""
    return [told_block(b) for b in trace.parts] or [told_node(n) for n in trace.nodes]


def told_cell(cell: Cell) -> str:
    """A cell of the ribbon in words."""
    if cell.folded:
        return f"{cell.folded} more, not drawn: see the table"
    return "; ".join(map(told_node, cell.nodes[:8])) if cell.block is None else told_block(cell.block)
