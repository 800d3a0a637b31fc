"""The report of a trace: one HTML file that works offline, ribbon, charts, tables, audit and lint linked by block.

Everything but the charts is in the page without scripts; each chart shows numbers that a table holds too.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from tinyres.store.replacing import replacing
from tinyres.trace.compare import compare
from tinyres.trace.lint import lint_trace
from tinyres.trace.nodes import TraceNode
from tinyres.trace.trace import Trace
from tinyres.view.charts import charts_of
from tinyres.view.numbers import number, ratio
from tinyres.view.page import bullets, page
from tinyres.view.table import audit_lines, dead_units, over_parameters, zero_share
from tinyres.view.tables import BLOCKS, Column, block_table, table
from tinyres.view.told import told_rows


def export(trace: Trace, path: str) -> None:
    """Write the report."""
    with replacing(path) as file:
        file.write(html(trace).encode())


def html(trace: Trace) -> str:
    """The report as one page."""
    return page(trace, _facts(trace), _findings(trace), charts_of(trace), _tables(trace), told_rows(trace))


def _facts(trace: Trace) -> str:
    h = trace.header
    facts = [h.dtype, h.backend] + ([f"training={h.training}"] if h.training is not None else [])
    where = "a block's input" if trace.blocks else "a node"
    return (
        f"{escape(', '.join(facts))}. |g| is the L2 norm of dL/d({where}) over the whole batch; "
        "“-” stands for what there is not."
    )


def _findings(trace: Trace) -> str:
    """The verdict, or the story in a sentence where nothing stands out, what the audit says, and what lint found."""
    verdict = trace.verdict()
    story = [] if verdict else [s.removeprefix("net: ") for s in compare(net=trace).sentences]
    paragraphs = [f"<p>{escape(s[:1].upper() + s[1:])}</p>" for s in story]
    sentences = verdict or (str(verdict).removeprefix("verdict: "),)
    paragraphs += [f"<p><strong>Verdict:</strong> {escape(sentence)}</p>" for sentence in sentences]
    audit = audit_lines(trace)
    bad = ' class="bad"' if trace.audited and not trace.audit().ok else ""
    paragraphs.append(f"<p{bad}>{escape(audit[0][:1].upper() + audit[0][1:])}</p>")
    paragraphs += [f"<p>{escape(note)}</p>" for note in trace.header.notes]
    if trace.audited and not trace.audit().ok:
        paragraphs.append(bullets(str(f) for f in trace.audit().failures[:50]))
    found = lint_trace(trace)
    if found:
        paragraphs.append(f'<p class="bad">Lint found {len(found)}:</p>{bullets(map(str, found[:50]))}')
    else:
        paragraphs.append("<p>Lint found nothing.</p>")
    return "".join(paragraphs)


def _tables(trace: Trace) -> str:
    linked: Sequence[Any] = trace.parts or trace.nodes
    place = {record.name: i for i, record in enumerate(linked)}

    def row_of(node: TraceNode) -> int | None:
        return place.get(node.block if trace.blocks else node.name)

    parts = []
    if trace.blocks:
        parts.append(block_table("blocks", BLOCKS, trace.parts))
    caption = "Nodes in graph order. |y|, |g|: of the output; |W|, |dW|: over all parameters of the node"
    nodes = table("nodes", caption, _NODE_COLUMNS, trace.nodes, row_of)
    parts.append(f"<details{'' if trace.blocks else ' open'}><summary>Nodes</summary>{nodes}</details>")
    forks = [(f, e) for f in trace.forks for e in f.edges]
    if forks:
        block_of = {b.fork.node: place[b.name] for b in reversed(trace.parts) if b.fork is not None}
        caption = "Edges of forks: what came back over each, as a share of the whole gradient at the fork"
        edges = table("forks", caption, _EDGE_COLUMNS, [e for _, e in forks], lambda e: block_of.get(e.src))
        parts.append(f"<details><summary>Forks</summary>{edges}</details>")
    if trace.has_paths:
        spectrum = trace.paths()
        caption = f"Gradient at {spectrum.at} by the number of branches it passed (parts sum to it within "
        caption += f"{number(spectrum.error)} of |g|)"
        rows = table("paths", caption, _PATH_COLUMNS, spectrum.rows(), lambda row: None)
        if spectrum.over:
            caption = f"Gradient at {spectrum.at} by the skip across that it passed"
            rows += table("over", caption, _OVER_COLUMNS, spectrum.over, lambda row: place.get(row.name))
        parts.append(f"<details><summary>Paths</summary>{rows}</details>")
    return "".join(parts)


def _source(node: TraceNode) -> str:
    return "-" if node.source is None else f"{node.source[0].replace(chr(92), '/').rpartition('/')[2]}:{node.source[1]}"


_NODE_COLUMNS = [
    Column("node", lambda n: n.name, words=True),
    Column("op", lambda n: n.op, words=True),
    Column("shape", lambda n: "×".join(map(str, n.shape)) or "-", words=True),
    Column("|y|", lambda n: number(n.value_norm)),
    Column("|g|", lambda n: number(n.grad_norm)),
    Column("zeros", zero_share),
    Column("dead", dead_units),
    Column("NaN, Inf", lambda n: str(n.nans + n.infs)),
    Column("|W|", over_parameters("value_norm")),
    Column("|dW|", over_parameters("grad_norm")),
    Column("source", _source, words=True),
]
_EDGE_COLUMNS = [
    Column("fork", lambda e: e.src, words=True),
    Column("to", lambda e: e.dst, words=True),
    Column("kind", lambda e: e.kind, words=True),
    Column("|g|", lambda e: number(e.grad_norm)),
    Column("share", lambda e: ratio(e.share)),
    Column("cosine", lambda e: ratio(e.cosine)),
]
_OVER_COLUMNS = [
    Column("skip across", lambda o: o.name or "none", words=True),
    Column("share", lambda o: ratio(o.share)),
    Column("|g|", lambda o: number(o.norm)),
]
_PATH_COLUMNS = [
    Column("branches passed", lambda r: str(r["length"]), words=True),
    Column("share", lambda r: ratio(r["share"])),
    Column("|g|", lambda r: number(r["norm"])),
]
