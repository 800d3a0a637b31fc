"""What a call returns reads well at a prompt and in a notebook, also where the terminal knows ASCII only."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from small_nets import residual

import tinyres as tr
from tinyres.layers import blocks as presets
from tinyres.study.nets import stack
from tinyres.trace.spectrum import Spectrum
from tinyres.view.comparison import text
from tinyres.view.printable import printable


@pytest.fixture(scope="module")
def graph():
    return tr.Graph(residual(blocks=3)[0])


@pytest.fixture(scope="module")
def trace(graph):
    return graph.trace(paths=True)


def test_a_block_and_its_fork(trace):
    block = trace["block1"]
    head, *edges = repr(block).splitlines()
    assert head.startswith("Block block1, from block0/relu to block1/relu: |x| ")
    assert head.endswith(f"|F|/|x| {block.strength:.2f}")
    assert edges == repr(block.fork).splitlines()[1:] and len(edges) == 2
    for line, edge in zip(edges, block.fork.edges):
        assert line.split()[0] == edge.kind and line.endswith(f"share {edge.share:.3f}")
    assert repr(trace.fork("block1")).startswith("Fork at block0/relu, closed at block1/add\n")


def test_lines(trace):
    edge = trace.edges[0]
    assert repr(edge).startswith(f"<TraceEdge {edge.kind} {edge.src} -> {edge.dst}: |g| ")
    assert repr(trace["block0/add"]).startswith("<TraceNode block0/add (add) (4, 8): |y| ")
    assert repr(trace.parameters[0]).startswith(f"<TraceParameter {trace.parameters[0].name} (8, 8): |W| ")
    assert repr(trace.audit()).startswith("Audit (sums) ok: ") and repr(trace.paths()) == str(trace.paths())
    assert repr(tr.compare(trace).flows[0]).startswith("<Flow a: |g| ")


def test_no_share_reads_as_minus_zero():
    assert str(Spectrum("x", (1.0, -1e-6), (1.0, 1e-6), 0.0)).splitlines()[1:] == ["   0   1.0000", "   1   0.0000"]


def test_sentences_and_findings(graph):
    deep = tr.Graph(residual(blocks=20, skip=False)[0]).trace().verdict()
    assert repr(deep) == str(deep) == "\n".join(deep)
    assert repr(graph.lint()) == "lint: nothing found"
    x = tr.tensor(np.ones((4, 6)), requires_grad=True, name="input")
    found = tr.Graph(tr.mean(tr.square(x + x))).lint()
    assert repr(found) == str(found) and repr(found[0]).startswith("[self-add] add")


def test_notebooks_get_a_fixed_width_font_of_their_own(graph, trace):
    model = stack(presets.residual, 1, 8, 8, 4)
    shown = (
        trace, tr.compare(trace), trace.verdict(), graph.lint(), trace["block1"], trace.fork("block1"), trace.edges[0],
        trace["block0/add"], trace.parameters[0], trace.paths(), trace.audit(), graph, model,
        tr.shattering(model, points=8), tr.tensor([1.0]),
    )  # fmt: skip
    for record in shown:
        html = record._repr_html_()
        pre = html[html.index("<pre") :]
        assert "monospace" in pre[: pre.index(">")] and "white-space: pre" in pre[: pre.index(">")], type(record)


def test_a_notebook_shows_nets_compared_as_pictures(trace):
    html = tr.compare(one=trace, other=trace)._repr_html_()
    assert html.count('data-net="') == 2 and "first/last" in html


def test_terminals_with_ascii_only(trace, monkeypatch):
    deep = tr.Graph(residual(blocks=20, skip=False)[0]).trace()
    compared = tr.compare(plain=deep, residual=trace)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    for record in (trace, deep, compared, deep.verdict(), trace["block1"], trace.edges[0]):
        assert str(record).isascii() and repr(record).isascii()
        print(record)
    assert text(compared).isascii() and deep.table(level="layer" if deep.level == "layer" else "op").isascii()
    assert printable("блок…", "ascii").endswith("~")


@pytest.mark.parametrize("broken", [[1.0, np.nan], [0.0, 0.0], []])
def test_what_holds_no_numbers_reads_too(broken):
    x = tr.tensor(broken, requires_grad=True, name="x")
    trace = tr.Graph(tr.sum(x * x + x)).trace()
    lines = [*str(trace).splitlines(), *repr(trace["x"]).splitlines(), *repr(trace.fork("x")).splitlines()]
    assert max(map(len, lines)) <= 100 and "None" not in "".join(lines)
    trace._repr_html_()
