"""Trace as data: rows, tables, print, files."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import pytest
import small_nets
from small_nets import residual

import tinyres as tr


@pytest.fixture(scope="module")
def trace():
    return tr.Graph(residual(blocks=3)[0]).trace()


@pytest.fixture(scope="module")
def deep():
    return tr.Graph(residual(blocks=60)[0]).trace()


def test_rows_are_flat(trace):
    blocks = trace.rows()
    assert [r["block"] for r in blocks] == ["block0", "block1", "block2"]
    assert set(blocks[0]) == {
        "block",
        "input",
        "output",
        "x_norm",
        "grad_norm",
        "skip",
        "branch",
        "strength",
        "passed",
    }
    nodes = trace.rows("layer")
    assert nodes[0]["name"] == "input" and nodes[-1]["name"] == "mean"
    assert nodes[1]["source"].startswith(small_nets.__file__) and nodes[1]["block"] == "block0"
    assert len(trace.rows("edge")) == len(trace.edges)
    assert [r["name"] for r in trace.rows("parameter")] == [p.name for p in trace.parameters]


def test_print_is_the_layout_of_the_readme(trace):
    lines = str(trace).splitlines()
    assert lines[0] == f"Trace: 3 blocks, batch 4, loss {trace.loss:#.3g}, float32, {trace.header.backend}"
    assert lines[1] == "|g| = L2 norm of dL/d(block input), whole batch; shares of it sum to 1"
    assert lines[3].split() == ["block", "|x|", "|g|", "|g|/last", "skip", "branch", "|F|/|x|"]
    cells = lines[4].split()
    block = trace.blocks[0]
    assert cells[0] == "block0"
    for cell, value in zip(
        cells[1:7],
        (
            block.x_norm,
            block.grad_norm,
            block.grad_norm / trace.blocks[-1].grad_norm,
            block.skip,
            block.branch,
            block.strength,
        ),
    ):
        assert float(cell) == pytest.approx(value, rel=0.01)
    assert set(cells[7]) == {"#"}
    assert lines[-1] == "audit ok: every gradient is the sum of what came over its edges"


def test_long_nets_are_folded_and_the_fold_is_announced(deep):
    lines = str(deep).splitlines()
    rows = [line for line in lines if line.startswith("block") and "|x|" not in line]
    assert len(rows) == 19 and rows[0].startswith("block0 ") and rows[-1].startswith("block59 ")
    (fold,) = [line for line in lines if line.startswith("  ...")]
    assert fold.startswith("  ... 41 more, |g| ") and "skip" in fold and "trace.table()" in fold
    assert max(map(len, lines)) <= 80
    assert len(deep.table().splitlines()) == 61


@pytest.mark.parametrize("level", ["block", "layer", "edge", "parameter"])
def test_tables_have_a_line_per_row_in_80_columns(trace, level):
    lines = trace.table(level).splitlines()
    assert len(lines) == len(trace.rows(level)) + 1
    assert max(map(len, lines)) <= 80


def test_tables_without_blocks(capsys):
    x = tr.tensor([1.0, 2.0], requires_grad=True, name="x")
    trace = tr.Graph(tr.sum(tr.tanh(x))).trace()
    print(trace)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("Trace: 3 nodes, loss")
    assert out[3].split() == ["node", "op", "|y|", "|g|", "zeros", "|W|", "|dW|"]
    assert trace.rows()[1]["name"] == "tanh"


def test_bars_are_logarithmic_where_gradients_differ_a_hundredfold():
    trace = tr.Graph(residual(blocks=12, skip=False)[0]).trace()
    head, *rows = str(trace).splitlines()[3:16]
    assert trace.blocks[0].grad_norm < trace.blocks[-1].grad_norm / 100
    assert head.endswith("log |g|")
    assert rows[0].endswith(" #") and rows[-1].endswith(" ##########")


def test_html_is_escaped(trace):
    assert ">Trace: 3 blocks" in trace._repr_html_()
    assert "&lt;" not in trace._repr_html_()
    x = tr.tensor([1.0], requires_grad=True, name="<script>")
    assert "<script>" not in tr.Graph(tr.sum(x)).trace()._repr_html_()


def test_a_graph_in_a_notebook_computes_nothing():
    x = tr.tensor([1.0], requires_grad=True, name="x")
    recorded = tr.Graph(tr.sum(x))
    told = "&lt;Graph of 2 nodes and 0 parameters; graph.trace() measures it&gt;</pre>"
    assert recorded._repr_html_().startswith("<pre style=") and recorded._repr_html_().endswith(f">{told}")
    runs = []
    anew = tr.Graph.of(lambda: runs.append("run") or tr.sum(x))
    assert anew._repr_html_().endswith(">&lt;Graph of a function; graph.trace() runs and measures it&gt;</pre>")
    assert runs == []


def test_records_are_immutable(trace):
    with pytest.raises(dataclasses.FrozenInstanceError):
        trace["input"].grad_norm = 0.0
    arrays = tr.Graph(residual(blocks=1)[0]).trace(arrays=True)
    with pytest.raises(ValueError, match="read-only"):
        arrays["input"].grad[...] = 0


def test_a_trace_outlives_its_graph():
    loss, w = residual(blocks=1)
    trace = tr.Graph(loss).trace(arrays=True)
    before = trace["input"].value.copy(), str(trace)
    del loss, w
    for _ in range(3):
        residual(blocks=2)[0].backward()
    np.testing.assert_array_equal(trace["input"].value, before[0])
    assert str(trace) == before[1]


def same(a, b):
    np.testing.assert_equal(dataclasses.asdict(a.header), dataclasses.asdict(b.header))
    assert str(a) == str(b)
    for level in ("block", "layer", "edge", "parameter"):
        np.testing.assert_equal(a.rows(level), b.rows(level))
    assert [f.edges for f in a.forks] == [f.edges for f in b.forks]
    assert a.audit() == b.audit()
    assert {n.name: list(n.params) for n in a.nodes} == {n.name: list(n.params) for n in b.nodes}


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_save_and_load(trace, tmp_path, suffix):
    path = tmp_path / f"trace.{suffix}"
    trace.save(path)
    same(trace, tr.Trace.load(path))
    assert os.listdir(tmp_path) == [path.name]


def test_arrays_are_kept_by_npz(tmp_path):
    trace = tr.Graph(residual(blocks=2)[0]).trace(arrays=True)
    trace.save(tmp_path / "t.npz")
    loaded = tr.Trace.load(tmp_path / "t.npz")
    for name in ("input", "block1/add", "block0/kernel_1"):
        np.testing.assert_array_equal(loaded[name].value, trace[name].value)
        np.testing.assert_array_equal(loaded[name].grad, trace[name].grad)


def test_numbers_that_are_not_finite_are_kept_in_strict_json(tmp_path):
    x = tr.tensor([1.0, float("nan"), float("inf")], requires_grad=True, name="x")
    trace = tr.Graph(tr.sum(x * x)).trace()
    trace.save(tmp_path / "t.json")
    json.loads((tmp_path / "t.json").read_text(), parse_constant=pytest.fail)
    same(trace, tr.Trace.load(tmp_path / "t.json"))


def test_csv_has_a_row_per_node(trace, tmp_path):
    trace.save(tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0].split(",")[:3] == ["name", "op", "block"]
    assert len(lines) == len(trace.nodes) + 1


def test_a_saved_trace_takes_less_than_a_kilobyte_per_node(deep, tmp_path):
    deep.save(tmp_path / "t.json")
    assert os.path.getsize(tmp_path / "t.json") < 1000 * len(deep.nodes)


@pytest.mark.slow
def test_a_thousand_blocks(tmp_path):
    trace = tr.Graph(residual(blocks=1000, units=4)[0]).trace()
    assert len(trace.blocks) == 1000 and trace.audit().ok
    assert len(str(trace).splitlines()) < 30
    trace.save(tmp_path / "t.npz")
    assert len(tr.Trace.load(tmp_path / "t.npz").blocks) == 1000


def test_a_file_whose_edges_go_backwards_is_refused(trace, tmp_path):
    """It loaded, and its verdict ended in KeyError."""
    trace.save(tmp_path / "t.json")
    header = json.loads((tmp_path / "t.json").read_text())
    edges = header["edges"]
    edges["src"][-1], edges["dst"][-1] = edges["dst"][-1], 0
    (tmp_path / "t.json").write_text(json.dumps(header))
    with pytest.raises(tr.errors.FileError, match="an edge goes from node .* back to 0"):
        tr.Trace.load(tmp_path / "t.json")
