"""Tables of a page: captions, scopes for screen readers, rows that carry the number of their block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tinyres.trace.blocks import Block
from tinyres.view.numbers import number, ratio, strength


@dataclass(frozen=True, slots=True)
class Column:
    """Its title, the text of a record, and whether it is words (left-aligned) or numbers."""

    title: str
    text: Callable[[Any], str]
    words: bool = False


def table(
    name: str, caption: str, columns: Sequence[Column], records: Iterable[Any], block: Callable[[Any], int | None]
) -> str:
    """One table. name: its id. block: the number of the block that a record belongs to."""
    head = "".join(f'<th scope="col"{_class(c)}>{escape(c.title)}</th>' for c in columns)
    rows = []
    for record in records:
        index = block(record)
        cells = [f'<th scope="row" class="w">{escape(columns[0].text(record))}</th>']
        cells += [f"<td{_class(c)}>{escape(c.text(record))}</td>" for c in columns[1:]]
        rows.append(f"<tr{'' if index is None else f' data-block={index}'}>{''.join(cells)}</tr>")
    body = "\n".join(rows)
    return (
        f'<div class="scroll" id="{name}" role="region" tabindex="0" aria-label="{escape(caption, quote=True)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _class(column: Column) -> str:
    return ' class="w"' if column.words else ""


def block_table(name: str, caption: str, blocks: Sequence[Block]) -> str:
    """One row per block."""
    last = blocks[-1].grad_norm
    place = {b.name: i for i, b in enumerate(blocks)}
    columns = [
        Column("block", lambda b: b.name, words=True),
        Column("|x|", lambda b: number(b.x_norm)),
        Column("|g|", lambda b: number(b.grad_norm)),
        Column("|g|/last", lambda b: number(b.grad_norm / last if last else None)),
        Column("skip", lambda b: ratio(b.skip)),
        Column("branch", lambda b: ratio(b.branch)),
        Column("|F|/|x|", lambda b: strength(b.strength)),
        Column("passed after Add", lambda b: ratio(b.passed)),
        Column("on the skip", lambda b: b.on_skip or "-", words=True),
        Column("from", lambda b: b.input.name, words=True),
    ]
    return table(name, caption, columns, blocks, lambda b: place[b.name])


BLOCKS = "Blocks, from input to loss. |x|, |g|: at the block's input; skip, branch: shares of that gradient"
