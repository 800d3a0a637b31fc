"""A Trace as text in 80 columns: a head, one row per block with a bar of |g|, what the audit found, the verdict.

Long nets are folded to 20 rows, stage by stage where they have such; a fold says how many rows it stands for and in
what range they lie.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinyres.errors import TraceError
from tinyres.structure.names import shortened
from tinyres.trace.blocks import Block, rows_of
from tinyres.trace.groups import Group, groups_of
from tinyres.trace.nodes import TraceNode, TraceParameter
from tinyres.trace.trace import Trace, unknown_name
from tinyres.view.folds import Fold, by_group, middle
from tinyres.view.numbers import are_whole, number, ratio, strength
from tinyres.view.printable import printable, room, shown, width_of_prose

MOST_ROWS = 20
BAR = 10
_NAME = 14  # letters of a block's
_LISTED = 6
_LEAST_WORDS = 8  # columns
_LOGARITHMIC_FROM = 100.0
_UNBROKEN: Any = {"break_on_hyphens": False, "break_long_words": False}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, its width, the text of a row, and whether it is words (left-aligned) or numbers."""

    title: str
    width: int
    text: Callable[[Any], str]
    words: bool = False

    def cells(self, records: Sequence[Any]) -> list[str]:
        """The text of each record, in its place: words with a space kept free to the column before."""
        texts = [self.text(record) for record in records]
        return [self.placed(t) for t in (shortened(texts, self.width - 1) if self.words else texts)]

    def placed(self, text: str) -> str:
        """The text where it stands in a line."""
        return " " + text.ljust(self.width - 1) if self.words else text.rjust(self.width)


def text(trace: Trace) -> str:
    """What `print(trace)` shows."""
    notes = [line for note in trace.header.notes for line in _prose(note)]
    parts = _head(trace), [""], _body(trace, None, MOST_ROWS), audit_lines(trace), notes, verdict_lines(trace)
    return shown("\n".join(line for lines in parts for line in lines))


def table(trace: Trace, level: str, expand: str | None = None) -> str:
    """All rows of one level; or the blocks folded as in print, but for one group."""
    if expand is None:
        return "\n".join(_body(trace, level, None))
    known = [group.name for group in groups_of(trace.blocks)]
    if expand not in known:
        raise TraceError(unknown_name("expand", expand, known))
    return "\n".join(_block_lines(trace.blocks, MOST_ROWS, expand))


def _head(trace: Trace) -> list[str]:
    h = trace.header
    count, what = (len(trace.blocks), "block") if trace.blocks else (len(trace.nodes), "node")
    facts = [f"{count} {what}" + ("s" if count != 1 else "")]
    if h.batch is not None:
        facts.append(f"batch {h.batch}")
    if h.training is not None:
        facts.append(f"training={h.training}")
    facts += [f"loss {number(h.loss)}", h.dtype, h.backend]
    parts = any(b.parts for b in trace.blocks)
    where = "input of each part" if parts else "block input" if trace.blocks else "node"
    rows = rows_of(trace.blocks)
    whole = are_whole([b.skip for b in rows], [b.branch for b in rows])
    rest = "; shares of it sum to 1" if trace.blocks and whole else ""
    lines = ["Trace: " + ", ".join(facts), f"|g| = L2 norm of dL/d({where}), whole batch{rest}"]
    return lines if whole else [*lines, "shares are of |g|; what they miss to 1 came by other ways"]


def _body(trace: Trace, level: str | None, most: int | None) -> list[str]:
    if level is None:
        level = "block" if trace.blocks else trace.level
    if level == "block":
        return _block_lines(trace.blocks, most)
    if level == "stage":
        return _group_lines(groups_of(trace.blocks), most)
    if level == "edge":
        return lines_of(trace.edges, _EDGE_COLUMNS, most)
    if level == "parameter":
        return lines_of(trace.parameters, _PARAMETER_COLUMNS, most)
    columns = _NODE_COLUMNS_WITH_DEAD if any(n.dead for n in trace.nodes) else _NODE_COLUMNS
    return lines_of(trace.nodes, columns, most)


def _block_lines(blocks: Sequence[Block], most: int | None, expand: str | None = None) -> list[str]:
    rows = rows_of(blocks)
    last = rows[-1].grad_norm if rows else 0.0
    bars, scale = _bars([b.grad_norm for b in rows])
    longest = max([5, *(len(b.name) for b in rows)])
    wide = 0 if longest <= _NAME or not any(b.parts for b in blocks) else 1  # numbers stand closer for names of parts
    columns = [
        Column("block", min(longest, _NAME + 4 * wide) + 1, lambda b: b.name, words=True),
        Column("|x|", 9, lambda b: number(b.x_norm)),
        Column("|g|", 9, lambda b: number(b.grad_norm)),
        Column("|g|/last", 11 - 2 * wide, lambda b: number(b.grad_norm / last if last else None)),
        Column("skip", 8 - wide, lambda b: ratio(b.skip)),
        Column("branch", 8 - wide, lambda b: ratio(b.branch)),
        Column("|F|/|x|", 9 - wide, lambda b: strength(b.strength)),
    ]
    folds = None
    if most is not None and (len(rows) > most or expand):
        folds = by_group(blocks, most, expand)
        if folds is None and 1 < len(groups_of(blocks)) <= most:
            return [*_group_lines(groups_of(blocks), most), *_on_skips(rows), "  all blocks: trace.table()"]
    lines = [*lines_of(rows, columns, most, bars, scale, folds), *_on_skips(rows)]
    return [*lines, '  all: trace.table(); one row per stage: trace.table("stage")'] if folds else lines


def _group_lines(groups: Sequence[Group], most: int | None) -> list[str]:
    bars, scale = _bars([g.grad_norm for g in groups])
    columns = [
        Column("stage", min(max([5, *(len(g.name) for g in groups)]), 14) + 1, lambda g: g.name, words=True),
        Column("blocks", 7, lambda g: str(len(g.blocks))),
        Column("output", 13, lambda g: "x".join(map(str, g.shape)) or "-"),
        Column("|x|", 9, lambda g: number(g.x_norm)),
        Column("|g|", 9, lambda g: number(g.grad_norm)),
        Column("per block", 10, lambda g: "-" if g.rate is None else f"x {g.rate:.2f}"),
        Column("skip", 7, lambda g: ratio(g.skip)),
        Column("|F|/|x|", 8, lambda g: strength(g.strength)),
    ]
    return lines_of(groups, columns, most)


def _on_skips(blocks: Sequence[Block]) -> list[str]:
    """What blocks have on their skips."""
    found = [f"{b.name} {b.on_skip}" for b in blocks if b.on_skip]
    if not found:
        return []
    more = [f"{len(found) - _LISTED} more"] if len(found) > _LISTED else []
    told = "on skips: " + "; ".join(found[:_LISTED] + more)
    return textwrap.wrap(told, width_of_prose(), **_UNBROKEN, subsequent_indent="  ")


def lines_of(
    records: Sequence[Any],
    columns: Sequence[Column],
    most: int | None = None,
    bars: Sequence[str] | None = None,
    scale: str = "",
    folds: Sequence[Fold] | None = None,
) -> list[str]:
    """A title line and one line per record; folds: left out, by default the middle if there are more than `most`."""

    def line(cells: Sequence[str], bar: str) -> str:
        return printable(("".join(cells)[1:] + f"  {bar}").rstrip())

    width = room()
    taken = sum(c.width for c in columns) - 1 + (2 + BAR if bars else 0)
    if width is not None and taken > width:
        columns, bars, scale = _narrowed(columns, records, width), None, ""
    lines = [line([c.placed(c.title) for c in columns], scale)]
    rows = list(zip(*(c.cells(records) for c in columns)))
    if folds is None:
        folds = [] if most is None else middle(records, most)
    place = 0
    for fold in (*folds, Fold(len(records), len(records), "")):
        lines += [line(rows[i], bars[i] if bars is not None else "") for i in range(place, fold.first)]
        lines += [fold.line] if fold.line else []
        place = fold.end
    return lines


def _narrowed(columns: Sequence[Column], records: Sequence[Any], width: int) -> list[Column]:
    """The columns, those of numbers as wide as what they hold, those of words as it takes to fit, but readable."""
    own = [
        c if c.words else dataclasses.replace(c, width=1 + max(map(len, [c.title, *map(c.text, records)])))
        for c in columns
    ]
    excess = max(0, sum(c.width for c in own) - 1 - width)
    return [
        dataclasses.replace(c, width=min(c.width, max(_LEAST_WORDS, c.width - excess))) if c.words else c for c in own
    ]


def _bars(norms: Sequence[float]) -> tuple[list[str], str]:
    """A bar per norm, and the title that says if they are logarithmic (they are where norms differ 100-fold)."""
    positive = [n for n in norms if n > 0 and math.isfinite(n)]
    if not positive:
        return [""] * len(norms), ""
    most, least = max(positive), min(positive)
    logarithmic = most / least >= _LOGARITHMIC_FROM

    def length(n: float) -> int:
        if not math.isfinite(n) or n <= 0:
            return 0
        if logarithmic:
            return 1 + round((BAR - 1) * math.log(n / least) / math.log(most / least))
        return max(1, round(BAR * n / most))

    return ["#" * length(n) for n in norms], "log |g|" if logarithmic else ""


def audit_lines(trace: Trace) -> list[str]:
    """What the audit says: one line if all is well, else one that says so and the first failures."""
    if not trace.audited:
        return ["not audited"]
    audit = trace.audit()
    if audit.ok:
        if audit.level == "full":
            return ["audit ok: every gradient is the sum of its edges, every VJP fits its forward"]
        return ["audit ok: every gradient is the sum of what came over its edges"]
    lines = [f"AUDIT FAILED in {len(audit.failures)} place" + ("s" if len(audit.failures) > 1 else "")]
    for failure in audit.failures[:5]:
        lines += textwrap.wrap(str(failure), width_of_prose(), initial_indent="  ", subsequent_indent="    ")
    if len(audit.failures) > 5:
        lines.append(f"  ... {len(audit.failures) - 5} more in trace.audit().failures")
    return lines


def verdict_lines(trace: Trace) -> list[str]:
    """The verdict's sentences, wrapped; none when all is well."""
    return [line for sentence in trace.verdict() for line in _prose(sentence)]


def _prose(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, width_of_prose(), **_UNBROKEN, subsequent_indent="  ")


def zero_share(node: TraceNode) -> str:
    """How much of a node's output is exactly 0."""
    return f"{100 * node.zeros / node.size:.0f}%" if node.size else "-"


def dead_units(node: TraceNode) -> str:
    """How many units or channels are 0 for the whole batch."""
    return "-" if node.dead is None else str(node.dead)


def _relative(parameter: TraceParameter) -> float | None:
    return parameter.grad_norm / parameter.value_norm if parameter.value_norm else None


def over_parameters(name: str) -> Callable[[TraceNode], str]:
    """The norm over all of a node's parameters together."""

    def text_of(node: TraceNode) -> str:
        norms = [getattr(p, name) for p in node.params.values()]
        return number(math.hypot(*norms) if norms else None)

    return text_of


_NODE_COLUMNS = [
    Column("node", 25, lambda n: n.name, words=True),
    Column("op", 13, lambda n: n.op, words=True),
    Column("|y|", 9, lambda n: number(n.value_norm)),
    Column("|g|", 9, lambda n: number(n.grad_norm)),
    Column("zeros", 7, zero_share),
    Column("|W|", 9, over_parameters("value_norm")),
    Column("|dW|", 9, over_parameters("grad_norm")),
]
_NODE_COLUMNS_WITH_DEAD = [
    dataclasses.replace(_NODE_COLUMNS[0], width=22),
    dataclasses.replace(_NODE_COLUMNS[1], width=11),
    *_NODE_COLUMNS[2:5],
    Column("dead", 5, dead_units),
    *_NODE_COLUMNS[5:],
]
_EDGE_COLUMNS = [
    Column("from", 25, lambda e: e.src, words=True),
    Column("to", 25, lambda e: e.dst, words=True),
    Column("kind", 11, lambda e: e.kind, words=True),
    Column("|g|", 10, lambda e: number(e.grad_norm)),
    Column("share", 10, lambda e: ratio(e.share)),
]
_PARAMETER_COLUMNS = [
    Column("parameter", 36, lambda p: p.name, words=True),
    Column("shape", 14, lambda p: "x".join(map(str, p.shape)) or "-"),
    Column("|W|", 10, lambda p: number(p.value_norm)),
    Column("|dW|", 10, lambda p: number(p.grad_norm)),
    Column("|dW|/|W|", 11, lambda p: number(_relative(p))),
]
