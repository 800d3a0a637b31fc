"""The page of a Comparison: its nets one above the other on one scale, and block by block beside each other."""

from __future__ import annotations

from html import escape
from itertools import zip_longest

from tinyres.store.replacing import replacing
from tinyres.structure.names import listed
from tinyres.trace.compare import Comparison
from tinyres.trace.flow import Flow
from tinyres.view.charts import charts_of_nets
from tinyres.view.numbers import number
from tinyres.view.page import page
from tinyres.view.tables import BLOCKS, Column, block_table, table
from tinyres.view.told import size_of, told_rows


def export(comparison: Comparison, path: str) -> None:
    """Write the page."""
    with replacing(path) as file:
        file.write(html(comparison).encode())


def html(comparison: Comparison) -> str:
    """The comparison as one page; blocks of the same number are marked in all nets."""
    told = [
        "; ".join(f"{name} {words}" for name, words in zip(comparison.traces, rows) if words)
        for rows in zip_longest(*map(told_rows, comparison.traces.values()))
    ]
    charts = charts_of_nets(comparison)
    return page(comparison, _facts(comparison), _findings(comparison), charts, _tables(comparison), told)


def _facts(comparison: Comparison) -> str:
    nets = [f"{name}: {size_of(t)}, {t.header.dtype}, {t.header.backend}" for name, t in comparison.traces.items()]
    return escape("; ".join(nets)) + ". |g| is the L2 norm over the whole batch; “-” stands for what there is not."


def _findings(comparison: Comparison) -> str:
    """What happened to the gradient in each net, and which nodes only one has."""
    paragraphs = []
    for name, sentence in zip(comparison.traces, comparison.sentences):
        told = sentence.removeprefix(f"{name}: ")
        paragraphs.append(f"<p><strong>{escape(name)}:</strong> {escape(told)}</p>")
    for name, nodes in comparison.unmatched.items():
        if nodes:
            paragraphs.append(f'<p class="soft">only in {escape(name)}: {escape(listed(nodes, most=2))}</p>')
    return "".join(paragraphs)


def _tables(comparison: Comparison) -> str:
    first, last = comparison.ends
    columns: list[Column] = [
        Column("net", lambda f: f.name, words=True),
        Column("loss", lambda f: number(f.loss)),
        Column(f"|g| {first}", lambda f: _end(f, 0)),
        Column(f"|g| {last}", lambda f: _end(f, -1)),
        Column("first/last", lambda f: number(f.first_over_last)),
        Column(f"per {comparison.flows[0].unit}", lambda f: "-" if f.rate is None else f"× {f.rate:.2f}"),
    ]
    parts = [table("nets", "The nets; rates are toward the input", columns, comparison.flows, lambda f: None)]
    for i, (name, trace) in enumerate(comparison.traces.items()):
        if trace.blocks:
            parts += [f"<h3>{escape(name)}</h3>", block_table(f"blocks-{i}", f"{name}. {BLOCKS}", trace.parts)]
    return "".join(parts)


def _end(flow: Flow, at: int) -> str:
    return number(flow.grad_norms[at]) if flow.names else "-"
