"""The report: one HTML file that works offline, with ribbon, charts, tables, audit and lint, linked block by block.

Everything but the charts is in the page without scripts; each chart shows numbers that a table holds too. The charts
are drawn by uPlot, whose file is in the page (see vendor/README.md). A content security policy keeps the page from
loading anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from tinyres.store.replacing import replacing
from tinyres.trace.compare import compare
from tinyres.trace.lint import lint_trace
from tinyres.trace.nodes import TraceNode
from tinyres.trace.trace import Trace
from tinyres.view import ribbon
from tinyres.view.charts import Chart, charts_of
from tinyres.view.numbers import number, ratio, strength
from tinyres.view.table import audit_lines, over_parameters, zero_share

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def export(trace: Trace, path: str) -> None:
    """Write the report."""
    with replacing(path) as file:
        file.write(html(trace).encode())


def html(trace: Trace) -> str:
    """The report as one page."""
    told = [ribbon.told_block(b) for b in trace.blocks] or [ribbon.told_node(n) for n in trace.nodes]
    charts = charts_of(trace)
    data = json.dumps({"told": told, "charts": [c.data for c in charts]}, separators=(",", ":"), allow_nan=False)
    title = escape(ribbon.heading(trace))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_resource("vendor/uPlot.min.css")}</style>
<style>{_resource("report.css")}{_ribbon_style()}</style>
</head>
<body>
<a class="skip-link" href="#tables">To the tables</a>
<header>
<h1>{title}</h1>
{_facts(trace)}
</header>
<main>
{_findings(trace)}
<section aria-labelledby="h-ribbon">
<h2 id="h-ribbon">The net</h2>
<p class="soft" id="how">Point at a block, or go to the picture with Tab and from block to block with the arrow keys; \
what belongs to it is marked in charts and tables. Enter leads to its nodes.</p>
<p id="chosen" role="status" aria-live="polite">No block chosen.</p>
<div class="picture">{ribbon.svg(trace, style="", role="group")}</div>
</section>
<section aria-labelledby="h-charts">
<h2 id="h-charts">By depth</h2>
<div class="charts">{"".join(_figure(c) for c in charts)}</div>
</section>
<section id="tables" aria-labelledby="h-tables">
<h2 id="h-tables">Numbers</h2>
{_tables(trace)}
</section>
</main>
<script type="application/json" id="data">{data.replace("<", chr(92) + "u003c")}</script>
<script>{_chart_library()}</script>
<script>{_resource("report.js")}</script>
</body>
</html>
"""


def _ribbon_style() -> str:
    return f"{ribbon.STYLE}@media (prefers-color-scheme: dark) {{{ribbon.STYLE_ON_DARK}}}"


def _resource(name: str) -> str:
    return files("tinyres.view").joinpath(name).read_text(encoding="utf-8")


def _chart_library() -> str:
    """uPlot with its licence for a banner, which otherwise is an address."""
    banner, _, code = _resource("vendor/uPlot.iife.min.js").partition("\n")
    assert banner.startswith("/*!")
    return f"/*! uPlot 1.6.32\n{_resource('vendor/LICENSE-uPlot')}*/\n{code}"


def _facts(trace: Trace) -> str:
    h = trace.header
    facts = [h.dtype, h.backend] + ([f"training={h.training}"] if h.training is not None else [])
    where = "a block's input" if trace.blocks else "a node"
    return (
        f'<p class="soft">{escape(", ".join(facts))}. |g| is the L2 norm of dL/d({where}) over the whole batch; '
        "“-” stands for what there is not.</p>"
    )


def _findings(trace: Trace) -> str:
    """The story in a sentence, the verdict, what the audit says, and what lint found."""
    story = [s.removeprefix("net: ") for s in compare(net=trace).sentences]
    paragraphs = [f"<p>{escape(s[:1].upper() + s[1:])}</p>" for s in story]
    sentences = trace.verdict() or (str(trace.verdict()).removeprefix("verdict: "),)
    paragraphs += [f"<p><strong>Verdict:</strong> {escape(sentence)}</p>" for sentence in sentences]
    audit = audit_lines(trace)
    bad = ' class="bad"' if trace.audited and not trace.audit().ok else ""
    paragraphs.append(f"<p{bad}>{escape(audit[0][:1].upper() + audit[0][1:])}</p>")
    if trace.audited and not trace.audit().ok:
        paragraphs.append(_list(str(f) for f in trace.audit().failures[:50]))
    found = lint_trace(trace)
    if found:
        paragraphs.append(f'<p class="bad">Lint found {len(found)}:</p>{_list(map(str, found[:50]))}')
    else:
        paragraphs.append("<p>Lint found nothing.</p>")
    return f'<section aria-labelledby="h-found"><h2 id="h-found">Findings</h2>{"".join(paragraphs)}</section>'


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(i)}</li>' for i in items)}</ul>"


def _figure(chart: Chart) -> str:
    keys = "".join(f'<span class="key" style="background:var({c})"></span>{escape(words)}' for c, words in chart.key)
    return (
        f'<figure><h3>{escape(chart.title)}</h3><div id="{chart.data["id"]}" aria-hidden="true"></div>'
        f"<figcaption>{escape(chart.caption)}{keys}</figcaption></figure>"
    )


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    text: Callable[[Any], str]
    words: bool = False


def _tables(trace: Trace) -> str:
    linked: Sequence[Any] = trace.blocks or trace.nodes
    place = {record.name: i for i, record in enumerate(linked)}

    def row_of(node: TraceNode) -> int | None:
        return place.get(node.block if trace.blocks else node.name)

    parts = []
    if trace.blocks:
        last = trace.blocks[-1].grad_norm
        columns = [
            _Column("block", lambda b: b.name, words=True),
            _Column("|x|", lambda b: number(b.x_norm)),
            _Column("|g|", lambda b: number(b.grad_norm)),
            _Column("|g|/last", lambda b: number(b.grad_norm / last if last else None)),
            _Column("skip", lambda b: ratio(b.skip)),
            _Column("branch", lambda b: ratio(b.branch)),
            _Column("|F|/|x|", lambda b: strength(b.strength)),
            _Column("passed after Add", lambda b: ratio(b.passed)),
            _Column("from", lambda b: b.input.name, words=True),
        ]
        caption = "Blocks, from input to loss. |x|, |g|: at the block's input; skip, branch: shares of that gradient"
        parts.append(_table("blocks", caption, columns, trace.blocks, lambda b: place[b.name]))
    caption = "Nodes in graph order. |y|, |g|: of the output; |W|, |dW|: over all parameters of the node"
    nodes = _table("nodes", caption, _NODE_COLUMNS, trace.nodes, row_of)
    parts.append(f"<details{'' if trace.blocks else ' open'}><summary>Nodes</summary>{nodes}</details>")
    forks = [(f, e) for f in trace.forks for e in f.edges]
    if forks:
        block_of = {b.fork.node: place[b.name] for b in reversed(trace.blocks) if b.fork is not None}
        caption = "Edges of forks: what came back over each, as a share of the whole gradient at the fork"
        edges = _table("forks", caption, _EDGE_COLUMNS, [e for _, e in forks], lambda e: block_of.get(e.src))
        parts.append(f"<details><summary>Forks</summary>{edges}</details>")
    if trace.has_paths:
        spectrum = trace.paths()
        caption = f"Gradient at {spectrum.at} by the number of branches it passed (parts sum to it within "
        caption += f"{number(spectrum.error)} of |g|)"
        rows = _table("paths", caption, _PATH_COLUMNS, spectrum.rows(), lambda row: None)
        parts.append(f"<details><summary>Paths</summary>{rows}</details>")
    return "".join(parts)


def _table(
    name: str, caption: str, columns: Sequence[_Column], records: Iterable[Any], block: Callable[[Any], int | None]
) -> str:
    head = "".join(f'<th scope="col"{_words(c)}>{escape(c.title)}</th>' for c in columns)
    rows = []
    for record in records:
        index = block(record)
        cells = [f'<th scope="row" class="w">{escape(columns[0].text(record))}</th>']
        cells += [f"<td{_words(c)}>{escape(c.text(record))}</td>" for c in columns[1:]]
        rows.append(f"<tr{'' if index is None else f' data-block={index}'}>{''.join(cells)}</tr>")
    body = "\n".join(rows)
    return (
        f'<div class="scroll" id="{name}" role="region" tabindex="0" aria-label="{escape(caption, quote=True)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _words(column: _Column) -> str:
    return ' class="w"' if column.words else ""


def _source(node: TraceNode) -> str:
    return "-" if node.source is None else f"{node.source[0].replace(chr(92), '/').rpartition('/')[2]}:{node.source[1]}"


_NODE_COLUMNS = [
    _Column("node", lambda n: n.name, words=True),
    _Column("op", lambda n: n.op, words=True),
    _Column("shape", lambda n: "×".join(map(str, n.shape)) or "-", words=True),
    _Column("|y|", lambda n: number(n.value_norm)),
    _Column("|g|", lambda n: number(n.grad_norm)),
    _Column("zeros", zero_share),
    _Column("NaN, Inf", lambda n: str(n.nans + n.infs)),
    _Column("|W|", over_parameters("value_norm")),
    _Column("|dW|", over_parameters("grad_norm")),
    _Column("source", _source, words=True),
]
_EDGE_COLUMNS = [
    _Column("fork", lambda e: e.src, words=True),
    _Column("to", lambda e: e.dst, words=True),
    _Column("kind", lambda e: e.kind, words=True),
    _Column("|g|", lambda e: number(e.grad_norm)),
    _Column("share", lambda e: ratio(e.share)),
    _Column("cosine", lambda e: ratio(e.cosine)),
]
_PATH_COLUMNS = [
    _Column("branches passed", lambda r: str(r["length"]), words=True),
    _Column("share", lambda r: ratio(r["share"])),
    _Column("|g|", lambda r: number(r["norm"])),
]
