"""A Trace as text in 80 columns: a head, one row per block with a bar of |g|, what the audit found, the verdict.

Long nets are folded to 20 rows, and the fold says how many rows it stands for and in what range they lie.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinyres.structure.names import shortened
from tinyres.trace.blocks import Block
from tinyres.trace.nodes import TraceNode, TraceParameter
from tinyres.trace.trace import Trace
from tinyres.view.numbers import number, ratio, strength
from tinyres.view.printable import printable

WIDTH = 80
MOST_ROWS = 20
BAR = 10
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
    parts = _head(trace), [""], _body(trace, None, MOST_ROWS), audit_lines(trace), verdict_lines(trace)
    return printable("\n".join(line for lines in parts for line in lines))


def table(trace: Trace, level: str) -> str:
    """All rows of one level."""
    return "\n".join(_body(trace, level, None))


def _head(trace: Trace) -> list[str]:
    h = trace.header
    count, what = (len(trace.blocks), "block") if trace.blocks else (len(trace.nodes), "node")
    facts = [f"{count} {what}" + ("s" if count != 1 else "")]
    if h.batch is not None:
        facts.append(f"batch {h.batch}")
    if h.training is not None:
        facts.append(f"training={h.training}")
    facts += [f"loss {number(h.loss)}", h.dtype, h.backend]
    where = "block input" if trace.blocks else "node"
    rest = "; shares of it sum to 1" if trace.blocks else ""
    return ["Trace: " + ", ".join(facts), f"|g| = L2 norm of dL/d({where}), whole batch{rest}"]


def _body(trace: Trace, level: str | None, most: int | None) -> list[str]:
    if level is None:
        level = "block" if trace.blocks else trace.level
    if level == "block":
        return _block_lines(trace.blocks, most)
    if level == "edge":
        return lines_of(trace.edges, _EDGE_COLUMNS, most)
    if level == "parameter":
        return lines_of(trace.parameters, _PARAMETER_COLUMNS, most)
    return lines_of(trace.nodes, _NODE_COLUMNS, most)


def _block_lines(blocks: Sequence[Block], most: int | None) -> list[str]:
    last = blocks[-1].grad_norm if blocks else 0.0
    bars, scale = _bars([b.grad_norm for b in blocks])
    name_width = min(max([5, *(len(b.name) for b in blocks)]), 14)
    columns = [
        Column("block", name_width + 1, lambda b: b.name, words=True),
        Column("|x|", 9, lambda b: number(b.x_norm)),
        Column("|g|", 9, lambda b: number(b.grad_norm)),
        Column("|g|/last", 11, lambda b: number(b.grad_norm / last if last else None)),
        Column("skip", 8, lambda b: ratio(b.skip)),
        Column("branch", 8, lambda b: ratio(b.branch)),
        Column("|F|/|x|", 9, lambda b: strength(b.strength)),
    ]
    return lines_of(blocks, columns, most, bars, scale)


def lines_of(
    records: Sequence[Any],
    columns: Sequence[Column],
    most: int | None = None,
    bars: Sequence[str] | None = None,
    scale: str = "",
) -> list[str]:
    """A title line and one line per record; the middle is folded if there are more than `most`."""

    def line(cells: Sequence[str], bar: str) -> str:
        return printable(("".join(cells)[1:] + f"  {bar}").rstrip())

    lines = [line([c.placed(c.title) for c in columns], scale)]
    rows = list(zip(*(c.cells(records) for c in columns)))
    head, tail = len(records), 0
    if most is not None and len(records) > most:
        head, tail = most // 2, (most - 1) // 2
    for i in range(len(records)):
        if head <= i < len(records) - tail:
            if i == head:
                lines.append(_fold(records[head : len(records) - tail]))
            continue
        lines.append(line(rows[i], bars[i] if bars is not None else ""))
    return lines


def _fold(records: Sequence[Any]) -> str:
    """One line for the rows that are left out: how many, how |g| goes, and between which values the skip lies."""
    norms = [r.grad_norm for r in records]
    parts = [f"{len(records)} more", f"|g| {_course(norms)}"]
    shares = [r.skip for r in records if isinstance(r, Block) and r.skip is not None]
    if shares:
        parts.append(f"skip {ratio(min(shares))}..{ratio(max(shares))}")
    return f"  ... {', '.join(parts)}: trace.table()"


def _course(norms: Sequence[float]) -> str:
    if not all(map(math.isfinite, norms)):
        return "not finite in some"
    span = f"{number(norms[0])}..{number(norms[-1])}"
    if all(a >= b for a, b in zip(norms, norms[1:])):
        return f"{span}, falling"
    if all(a <= b for a, b in zip(norms, norms[1:])):
        return f"{span}, rising"
    return f"{number(min(norms))}..{number(max(norms))}, up and down"


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
        lines += textwrap.wrap(str(failure), WIDTH, initial_indent="  ", subsequent_indent="    ")
    if len(audit.failures) > 5:
        lines.append(f"  ... {len(audit.failures) - 5} more in trace.audit().failures")
    return lines


def verdict_lines(trace: Trace) -> list[str]:
    """The verdict's sentences, wrapped; none when all is well."""
    sentences = trace.verdict()
    return [line for s in sentences for line in textwrap.wrap(s, WIDTH, **_UNBROKEN, subsequent_indent="  ")]


def zero_share(node: TraceNode) -> str:
    """How much of a node's output is exactly 0."""
    return f"{100 * node.zeros / node.size:.0f}%" if node.size else "-"


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
