"""The ribbon: well-formed SVG, as wide as log |g|, an arc per skip with its share, the same for a trace from a file."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from small_nets import Weights, residual

import tinyres as tr
from tinyres.view.cells import MOST_CELLS, layout
from tinyres.view.gauge import PER_DECADE, THINNEST, gauge_of
from tinyres.view.palette import css_class, look
from tinyres.view.strands import share_text

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawn(tmp_path):
    """A trace exported as SVG and parsed."""

    def draw(trace):
        trace.export(tmp_path / "x.svg")
        return ET.parse(tmp_path / "x.svg").getroot()

    return draw


def opposing(blocks=3):
    """Blocks x + xW with W = -0.2 (i + 1) I: the share of the branch is negative and grows."""
    x = tr.tensor(np.random.default_rng(0).normal(size=(4, 6)), name="input")
    for i in range(blocks):
        with tr.name_scope(f"block{i}"):
            x = x + tr.matmul(x, tr.Parameter(-0.2 * (i + 1) * np.eye(6), f"block{i}/kernel"))
    return tr.Graph(tr.mean(x * x)).trace()


def cells(root):
    return [g for g in root.iter(f"{SVG}g") if "tr-cell" in g.get("class", "")]


def widths(element, kind):
    """Stroke widths of all strands of a kind."""
    strands = [p for p in element.iter(f"{SVG}path") if f"tr-{kind}" in p.get("class").split()]
    return [float(p.get("stroke-width")) for p in strands]


def test_every_block_is_a_cell_with_one_arc(drawn):
    trace = tr.Graph(residual(blocks=5)[0]).trace()
    found = [g for g in cells(drawn(trace)) if g.get("data-block")]
    assert [g.get("data-block") for g in found] == ["0", "1", "2", "3", "4"]
    assert [len(widths(g, "skip")) for g in found] == [1] * 5
    for g, block in zip(found, trace.blocks):
        words = g.find(f"{SVG}title").text
        assert words.startswith(f"{block.name}: |g| ") and f"skip {block.skip:.3f}" in words
        assert block.name in {t.text for t in g.iter(f"{SVG}text")}


def blocks_of(root):
    return [g for g in cells(root) if g.get("data-block")]


def test_strands_share_the_width_of_the_gradient(drawn):
    trace = tr.Graph(residual(blocks=4)[0]).trace()
    gauge = gauge_of([trace["mean"].grad_norm])
    for g, block in zip(blocks_of(drawn(trace)), trace.blocks):
        whole = gauge.width(block.grad_norm)
        assert widths(g, "skip")[0] / block.skip == pytest.approx(whole, rel=1e-3)
        np.testing.assert_allclose(widths(g, "branch"), block.branch * whole, rtol=1e-3)


def test_a_vanishing_gradient_tapers_by_the_same_height_per_decade(drawn):
    trace = tr.Graph(residual(blocks=9, skip=False)[0]).trace()
    drawn_widths = [widths(g, "chain")[0] for g in blocks_of(drawn(trace))]
    logs = np.log10([b.grad_norm for b in trace.blocks])
    assert logs[-1] - logs[0] > 1
    np.testing.assert_allclose(np.diff(drawn_widths), PER_DECADE * np.diff(logs), atol=2e-3)


def test_nets_are_compared_on_one_scale(tmp_path):
    plain, skip = (tr.Graph(residual(blocks=7, skip=s)[0]).trace() for s in (False, True))
    tr.compare(plain=plain, residual=skip).export(tmp_path / "both.svg")
    root = ET.parse(tmp_path / "both.svg").getroot()
    nets = [g for g in root.iter(f"{SVG}g") if g.get("data-net")]
    assert [g.get("data-net") for g in nets] == ["plain", "residual"]
    assert len({g.get("data-block") for g in blocks_of(root)}) == 7
    drawn_widths = [widths(g, "chain")[0] for g in blocks_of(nets[0])]
    drawn_widths += [widths(g, "skip")[0] / b.skip for g, b in zip(blocks_of(nets[1]), skip.blocks)]
    logs = np.log10([b.grad_norm for b in (*plain.blocks, *skip.blocks)])
    offsets = drawn_widths - PER_DECADE * logs
    np.testing.assert_allclose(offsets, offsets[0], atol=2e-3)
    boxes = [[r.get("x") for r in net.iter(f"{SVG}rect") if r.get("class") == "tr-box"] for net in nets]
    assert boxes[0] == boxes[1]
    tops = [min(float(r.get("y")) for r in net.iter(f"{SVG}rect")) for net in nets]
    assert tops[0] < tops[1]
    assert root.find(f"{SVG}title").text == "Gradient flow on one scale: plain, residual"


def test_widths_of_a_gauge():
    gauge = gauge_of([None, 0.0, math.inf, 1e-6, 100.0])
    assert gauge.widest == THINNEST + 8 * PER_DECADE and gauge.width(100.0) == gauge.widest
    assert gauge.width(1.0) == pytest.approx(gauge.widest - 2 * PER_DECADE)
    assert [gauge.width(x) for x in (None, 0.0, math.nan, math.inf)] == [None] * 4
    assert gauge_of([1e-30, 1.0]).width(1e-30) == THINNEST
    assert gauge_of([2.0, 2.0]).decades == 6 and gauge_of([0.0]).width(1.0) is None


def test_negative_shares_are_hatched_and_as_wide_as_they_are_large(drawn):
    trace = opposing()
    root = drawn(trace)
    for g, block in zip([g for g in cells(root) if g.get("data-block")], trace.blocks):
        assert block.branch < 0 < block.skip
        assert len(widths(g, "negative")) == 2 and "tr-branch" in ET.tostring(g, "unicode")
        assert widths(g, "branch")[0] / widths(g, "skip")[0] == pytest.approx(-block.branch / block.skip, rel=2e-3)
        assert f"−{-block.branch:.2f}" in {t.text for t in g.iter(f"{SVG}text")}
    assert "tr-hatch-branch" in {p.get("id") for p in root.iter(f"{SVG}pattern")}
    assert "negative share" in ET.tostring(root, "unicode")


def test_plain_blocks_have_no_arcs(drawn):
    root = drawn(tr.Graph(residual(blocks=3, skip=False)[0]).trace())
    assert len(cells(root)) == 5 and widths(root, "skip") == []
    assert "over the skip" not in ET.tostring(root, "unicode")


def test_a_gradient_of_zero_is_dashed_and_has_no_share(drawn):
    x = tr.tensor(np.ones((2, 3)), name="input")
    with tr.name_scope("b"):
        y = x + tr.relu(tr.matmul(x, tr.Parameter(np.eye(3), "kernel")))
    root = drawn(tr.Graph(tr.sum(y * 0.0)).trace())
    (block,) = [g for g in cells(root) if g.get("data-block")]
    assert [t.text for t in block.iter(f"{SVG}text")] == ["-", "-", "b", "|g| 0"]
    assert len([p for p in block.iter(f"{SVG}path") if "tr-undefined" in p.get("class")]) == 3


def test_a_skip_over_skips_is_an_arc_on_a_level_of_its_own(drawn):
    w = Weights()
    first = x = w.data(4, 8)
    for i in range(3):
        with tr.name_scope(f"block{i}"):
            x = x + tr.relu(tr.matmul(x, w(f"block{i}/kernel", 8, 8)))
    trace = tr.Graph(tr.mean(tr.square(tr.relu(x + first)))).trace()
    placed, arcs = layout(trace)
    spans = {(a.first, a.last) for a in arcs}
    assert spans == {(1, 1), (2, 2), (3, 3), (1, 4)}
    (outer,) = [a for a in arcs if a.last == 4]
    shares = {e.dst: e.share for e in trace.fork("input").edges}
    assert outer.landing == "add" and outer.share == shares["add"]
    assert [c.splits for c in placed] == [False, True, True, True, False, False]
    assert placed[4].grad_norm == trace["add"].grad_norm
    overlapping = [(a, b) for a in arcs for b in arcs if a is not b and a.first <= b.last and b.first <= a.last]
    assert all(a.level != b.level for a, b in overlapping)
    root = drawn(trace)
    assert len(widths(root, "skip")) >= len(arcs)
    assert any("skip from input to" in t.text for t in root.iter(f"{SVG}title"))
    assert len(placed) == len(cells(root))


@pytest.mark.parametrize("blocks", [1, 64])
def test_everything_lies_within_the_picture(drawn, blocks):
    root = drawn(tr.Graph(residual(blocks=blocks)[0]).trace())
    _, _, width, height = map(float, root.get("viewBox").split())
    assert width <= 1100
    for rect in root.iter(f"{SVG}rect"):
        assert 0 <= float(rect.get("x")) <= width - float(rect.get("width")) + 0.1
        assert 0 <= float(rect.get("y")) <= height - float(rect.get("height")) + 0.1
    xs = [float(t.get("x")) for t in root.iter(f"{SVG}text")]
    assert min(xs) > 0 and max(xs) < width


def test_interleaved_towers_keep_their_arcs_over_themselves():
    w = Weights()
    towers = [w.data(4, 8, name="left"), w.data(4, 8, name="right")]
    for i in range(2):
        for side, x in enumerate(towers):
            with tr.name_scope(f"{'lr'[side]}{i}"):
                towers[side] = x + tr.relu(tr.matmul(x, w(f"{'lr'[side]}{i}/kernel", 8, 8)))
    placed, arcs = layout(tr.Graph(tr.mean(towers[0] * towers[1])).trace())
    assert all(a.first == a.last for a in arcs)
    assert sorted(placed[a.first].name for a in arcs) == ["l0", "l1", "r0", "r1"]


@pytest.mark.slow
def test_a_thousand_blocks_are_folded():
    trace = tr.Graph(residual(blocks=1000, units=4)[0]).trace()
    placed, arcs = layout(trace)
    assert len(placed) == MOST_CELLS
    (fold,) = [c for c in placed if c.folded]
    assert fold.folded == 1002 - (MOST_CELLS - 1) and fold.name == f"{fold.folded} more" and fold.grad_norm is None
    assert len(arcs) == MOST_CELLS - 3
    assert placed[-2].name == "block999"


def test_a_picture_for_screen_readers_and_for_both_schemes(drawn):
    trace = tr.Graph(residual(blocks=2)[0]).trace()
    root = drawn(trace)
    assert root.get("role") == "img" and root.get("aria-label") == root.find(f"{SVG}title").text
    assert root.find(f"{SVG}desc").text.startswith("From input to loss; |g| is ")
    assert "prefers-color-scheme: dark" in root.find(f"{SVG}style").text


def test_the_ribbon_of_a_loaded_trace_is_the_same(tmp_path):
    trace = tr.Graph(residual(blocks=3)[0]).trace()
    trace.save(tmp_path / "t.json")
    trace.export(tmp_path / "a.svg")
    tr.Trace.load(tmp_path / "t.json").export(tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()


def test_nets_without_blocks_are_a_chain_of_nodes(drawn):
    x = tr.tensor([[1.0, 2.0]], requires_grad=True, name="<x>")
    root = drawn(tr.Graph(tr.sum(tr.tanh(x))).trace())
    assert [g.get("data-block") for g in cells(root)] == ["0", "1", "2"]
    assert "<x>" in {t.text for t in root.iter(f"{SVG}text")}


def test_notebooks_show_ribbon_and_text():
    trace = tr.Graph(residual(blocks=2)[0]).trace()
    shown = trace._repr_html_()
    assert shown.startswith("<div><svg ") and f'text-align: left">{str(trace)[:20]}' in shown
    assert not re.search(r"https?://", shown)


def test_a_suffix_that_is_not_known_lists_those_that_are(tmp_path):
    trace = tr.Graph(residual(blocks=1)[0]).trace()
    with pytest.raises(tr.errors.ArgumentError) as error:
        trace.export(tmp_path / "x.bmp")
    assert str(error.value).startswith("[export] a trace is exported as one of .svg, .html, .png, .pdf; got ")
    assert str(error.value).endswith("x.bmp'; change the suffix")


def test_edges_that_leave_cells_out_are_arcs_in_a_look_of_their_kind(drawn):
    """A condition that feeds several blocks is one dashed arc to the last; an unknown kind is dashed, too."""
    w = Weights()
    x, c = w.data(4, 8), tr.relu(tr.matmul(w.data(4, 8, name="c"), w("c/kernel", 8, 8)))
    for i in range(3):
        with tr.name_scope(f"block{i}"):
            x = x + tr.relu(tr.matmul(x, w(f"block{i}/kernel", 8, 8))) * tr.matmul(c, w(f"block{i}/scale", 8, 8))
    trace = tr.Graph(tr.mean(tr.square(x))).trace()
    (kind,) = {e.kind for e in trace.fork("relu").edges}
    (arc,) = [a for a in layout(trace)[1] if a.kind == kind]
    assert arc.fork == "relu" and arc.landing == "block2/matmul_1 and 1 more"
    assert arc.share == pytest.approx(sum(e.share for e in trace.fork("relu").edges[1:]))
    assert len(widths(drawn(trace), kind)) == 2  # in the key and in the picture
    assert look("new kind").dashed and css_class("new kind") == "other"


def u_net(levels, **options):
    tr.manual_seed(0)
    model = tr.applications.unet((8, 8, 1), widths=(4, 8, 8, 8)[:levels], **options)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1)).astype("float32")
    given = [x, np.arange(2, dtype="float32")] if options.get("time") else x
    return model.graph(given, x, loss="mse").trace()


def tops(root):
    """Per block its height, by name."""
    boxes = {
        g.find(f"{SVG}title").text.partition(":")[0]: g.find(f"{SVG}rect[@class='tr-box']") for g in blocks_of(root)
    }
    return {name: float(box.get("y")) for name, box in boxes.items()}


@pytest.mark.parametrize("options", [{}, {"residual": False}, {"skips": "add"}, {"time": True}])
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_a_u_net_is_drawn_as_a_u(levels, options, drawn):
    trace = u_net(levels, **options)
    root = drawn(trace)
    height = tops(root)
    down = [height[f"down{i}"] for i in range(levels)] + [height["middle"]]
    assert down == sorted(set(down))
    assert [height[f"up{i}"] for i in range(levels)] == down[:-1]
    assert [height[f"down{i}→up{i}"] for i in range(levels)] == down[1:]
    across = [g for g in root.iter(f"{SVG}g") if g.find(f"{SVG}title") is not None and "skip from" in g[0].text]
    assert len(across) == levels
    gauge = gauge_of(norm for cell in layout(trace)[0] for norm in (cell.grad_norm, cell.entering))
    for block, g in zip([b for b in trace.blocks if b.across], across):
        strand = g.find(f"{SVG}path")
        start, end = (float(re.findall(r"[\d.]+", strand.get("d"))[i]) for i in (1, -1))
        box = height[f"up{block.name[-1]}"]
        assert box - 10 < min(start, end) and max(start, end) < box + 25
        assert widths(g, "skip")[0] == pytest.approx(
            abs(block.skip) * gauge.width(trace[block.fork.node].grad_norm), 1e-3
        )
        assert g.find(f"{SVG}text").text == share_text(block.skip)
    assert "through the branch" in ET.tostring(root, "unicode")


def test_without_skips_across_nothing_is_a_u(drawn):
    assert len(set(tops(drawn(u_net(3, skips=None))).values())) == 1


def test_a_u_net_beside_its_plain_twin_is_a_u_alone(tmp_path):
    tr.compare(across=u_net(2), plain=u_net(2, skips=None)).export(tmp_path / "both.svg")
    nets = [g for g in ET.parse(tmp_path / "both.svg").getroot().iter(f"{SVG}g") if g.get("data-net")]
    assert [len(set(tops(net).values())) for net in nets] == [3, 1]
