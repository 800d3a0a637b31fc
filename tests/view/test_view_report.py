"""The report: one file, nothing loaded from outside, everything a block shows in is linked, tables are tables."""

from __future__ import annotations

import hashlib
import html
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from small_nets import residual

import tinyres as tr
from tinyres.layers import blocks as presets
from tinyres.study.nets import stack
from tinyres.view.curves import binomial_of, log_limits, share_limits

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements with their attributes and the text in them; an element that is not closed is an error."""

    def __init__(self, text):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.append((self.open[-1], data))

    def with_block(self, tag):
        return [int(a["data-block"]) for t, a in self.elements if t == tag and "data-block" in a]


def report_of(trace, tmp_path):
    trace.export(tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def data_of(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1), parse_constant=pytest.fail)


def of_preset(name, blocks, **measured):
    model = stack(presets.PRESETS[name], blocks, 16, 8, 4)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 8)), rng.integers(0, 4, 32)
    model.compile(loss="sparse_categorical_crossentropy")
    return model.graph(x, y).trace(**measured)


@pytest.fixture(scope="module")
def hundred():
    return of_preset("preact", 100, paths=True)


@pytest.mark.slow
def test_a_hundred_blocks_take_less_than_500_kilobytes(hundred, tmp_path):
    text = report_of(hundred, tmp_path)
    assert len(text.encode()) < 500_000
    page = Page(text)
    for tag in ("g", "tr"):
        assert set(page.with_block(tag)) == set(range(100))
    headers = {t for tag, t in page.texts if tag == "th"}
    assert {b.name for b in hundred.blocks} | {n.name for n in hundred.nodes} <= headers


@pytest.mark.slow
def test_nothing_is_loaded(hundred, tmp_path):
    text = report_of(hundred, tmp_path)
    assert not re.search(r"https?:|//[a-z]+\.", text)
    assert "default-src 'none'" in text
    page = Page(text)
    assert not [a for _, a in page.elements if "src" in a or str(a.get("href", "#"))[0] != "#"]
    assert "Copyright (c)" in text and "Leon Sorokin" in text


def test_every_node_row_belongs_to_its_block(tmp_path):
    trace = of_preset("tutorial", 3)
    page = Page(report_of(trace, tmp_path))
    inside = [n for n in trace.nodes if n.block]
    edges = sum(len(f.edges) for f in trace.forks)
    assert len(page.with_block("tr")) == len(trace.blocks) + len(inside) + edges
    assert len([1 for tag, _ in page.elements if tag == "tr"]) == 3 + len(trace.blocks) + len(trace.nodes) + edges


def test_charts_hold_what_the_trace_measured(hundred, tmp_path):
    data = data_of(report_of(hundred, tmp_path))
    charts = {c["id"]: c for c in data["charts"]}
    assert list(charts) == ["chart-gradient", "chart-share", "chart-values", "chart-strength", "chart-paths"]
    measured, fit = charts["chart-gradient"]["series"]
    np.testing.assert_allclose(measured["values"], [b.grad_norm for b in hundred.blocks], rtol=1e-4)
    assert len(fit["values"]) == 100 and fit["dash"]
    skips = charts["chart-share"]["series"][1]["values"]
    np.testing.assert_allclose(skips, [b.skip for b in hundred.blocks], rtol=1e-4)
    np.testing.assert_allclose(charts["chart-paths"]["series"][0]["values"], hundred.paths().shares, rtol=1e-4)
    assert len(data["told"]) == 100 and data["told"][7].startswith("block7: |g| ")


def test_for_keyboards_and_screen_readers(tmp_path):
    page = Page(report_of(of_preset("residual", 2), tmp_path))
    assert ("html", {"lang": "en"}) in page.elements
    assert [a["aria-live"] for _, a in page.elements if "aria-live" in a] == ["polite"]
    regions = [a for _, a in page.elements if a.get("role") == "region"]
    assert len(regions) == 3 and all(a["tabindex"] == "0" and a["aria-label"] for a in regions)
    tables = [tag for tag, _ in page.elements].count("table")
    assert tables == 3 == [tag for tag, _ in page.elements].count("caption")
    scopes = [a.get("scope") for tag, a in page.elements if tag == "th"]
    assert set(scopes) == {"row", "col"}
    labelled = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(labelled) <= {a.get("id") for _, a in page.elements}
    cells = [a for tag, a in page.elements if tag == "g" and "data-block" in a]
    assert all(a["role"] == "img" and a["aria-label"].startswith("block") for a in cells)


def test_findings_are_told(tmp_path):
    x = tr.tensor(np.ones((4, 6)), name="input")
    with tr.name_scope("block0"):
        y = x + tr.relu(tr.matmul(x, tr.Parameter(-np.eye(6), "kernel")))
    trace = tr.Graph(tr.mean(y * y)).trace()
    text = report_of(trace, tmp_path)
    found = tr.Graph(tr.mean(y * y)).lint()
    assert len(found) > 0 and f"Lint found {len(found)}:" in text
    assert "Audit ok" in text and "<strong>Verdict:</strong> block0/relu: every unit is 0 for the whole batch" in text
    deep = tr.Graph(residual(blocks=20, skip=False)[0]).trace()
    assert deep.verdict()[0] in html.unescape(report_of(deep, tmp_path))
    assert "Lint found nothing." in report_of(of_preset("preact", 2), tmp_path)


def test_a_loaded_trace_gives_the_same_report(tmp_path):
    trace = of_preset("tutorial", 2, paths=True)
    trace.save(tmp_path / "t.npz")
    assert report_of(trace, tmp_path) == report_of(tr.Trace.load(tmp_path / "t.npz"), tmp_path)


def test_names_are_escaped(tmp_path):
    x = tr.tensor([1.0], requires_grad=True, name="</script><b>")
    text = report_of(tr.Graph(tr.sum(tr.tanh(x))).trace(), tmp_path)
    assert "</script><b>" not in text and "&lt;/script&gt;&lt;b&gt;" in text
    assert data_of(text)["told"][0].startswith("</script><b>")
    Page(text)


def test_numbers_that_are_not_there(tmp_path):
    x = tr.tensor([1.0, float("nan")], requires_grad=True, name="x")
    text = report_of(tr.Graph(tr.sum(x * x)).trace(audit=False), tmp_path)
    data = data_of(text)
    assert None in data["charts"][0]["series"][0]["values"]
    assert "Not audited" in text


def test_zero_gradients_are_gaps(tmp_path):
    trace = tr.Graph(residual(blocks=2, scale=0.0)[0]).trace()
    data = data_of(report_of(trace, tmp_path))
    assert data["charts"][0]["series"][0]["values"] == [None, None]


def test_the_vendored_files_are_unchanged():
    vendor = files("tinyres.view").joinpath("vendor")
    lines = vendor.joinpath("SHA256SUMS").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        checksum, name = line.split()
        assert hashlib.sha256(vendor.joinpath(name).read_bytes()).hexdigest() == checksum, name


def test_binomial_counts_paths():
    spectrum = of_preset("preact", 4, paths=True).paths()
    np.testing.assert_allclose(binomial_of(spectrum), np.array([1, 4, 6, 4, 1]) / 16)


def test_axes():
    assert log_limits([0.5, 20.0, None]) == pytest.approx((0.1, 100.0))
    assert log_limits([3.0]) == pytest.approx((0.1, 10.0))
    assert log_limits([None, 0.0]) is None
    assert share_limits([0.2, 0.8, None]) == (0.0, 1.0)
    assert share_limits([-0.4, 1.4]) == pytest.approx((-0.42, 1.47))


def test_nets_compared_are_a_page_with_both_on_one_scale(tmp_path):
    plain, skip = of_preset("plain", 4), of_preset("residual", 5)
    compared = tr.compare(plain=plain, residual=skip)
    compared.export(tmp_path / "both.html")
    text = (tmp_path / "both.html").read_text(encoding="utf-8")
    page, data = Page(text), data_of(text)
    assert not re.search(r"https?:|//[a-z]+\.", text)
    assert [a["data-net"] for _, a in page.elements if "data-net" in a] == ["plain", "residual"]
    assert [page.with_block(tag).count(3) for tag in ("g", "tr")] == [2, 2]
    gradient, values = data["charts"]
    a, b = (s["values"] for s in gradient["series"])
    np.testing.assert_allclose(a[:4], [block.grad_norm for block in plain.blocks], rtol=1e-4)
    np.testing.assert_allclose(b, [block.grad_norm for block in skip.blocks], rtol=1e-4)
    assert a[4] is None and values["id"] == "chart-values"
    assert data["told"][4].startswith("residual block4: ") and "plain block0: |g| " in data["told"][0]
    shown = html.unescape(text)
    assert all(s.partition(": ")[2] in shown for s in compared.sentences)


def test_the_script_is_whole_without_a_file_beside_it(tmp_path):
    """The modules that the live page imports stand in the report, in the order in which they are used."""
    text = report_of(of_preset("residual", 2), tmp_path)
    script = text.rpartition("<script>")[2]
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    assert script.index("function drawn(") < script.index("function choosing(") < script.index("showNodes(block)")
