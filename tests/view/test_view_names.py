"""Names that do not fit are shortened in the middle, stay distinct, and so they stand in every picture and table."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyres as tr
from tinyres.layers import blocks as presets
from tinyres.structure.names import fitted, shortened

LONG = "encoder_stage_with_a_long_name/residual_block_number_{i}_of_the_network"


@pytest.mark.slow
@given(st.lists(st.text("ab/", max_size=24), max_size=12, unique=True), st.integers(5, 20))
def test_what_differs_in_full_differs_in_short(names, width):
    short = shortened(names, width)
    assert len(set(short)) == len(names) and max(map(len, short), default=0) <= width
    assert all(s == name for s, name in zip(short, names) if len(name) <= width and "…" not in name)


@pytest.mark.parametrize("name", [LONG, "{i}" + "_" * 40, "_" * 40 + "{i}", "_" * 20 + "{i}" + "_" * 20])
def test_wherever_the_number_stands(name):
    names = [name.format(i=i) for i in range(200)]
    assert len(set(shortened(names, 16))) == 200
    assert all(str(i) in short for i, short in enumerate(shortened(names, 16)))


def test_the_usual_cut():
    assert fitted("block1/attention/query", 12) == "bloc…n/query"
    assert shortened(["block1/attention/query", "b"], 12) == ["bloc…n/query", "b"]
    assert shortened(["same/name/of/a/node"] * 2, 9) == ["sam…/node"] * 2


def test_layers_of_blocks_keep_their_block_and_their_layer():
    names = [LONG.format(i=i) + layer for i in range(12) for layer in ("/dense", "/dense_1", "/add")]
    short = shortened(names, 24)
    assert short[:2] == ["…number_0_of_th…rk/dense", "…number_0_of_th…/dense_1"]
    assert len(set(short)) == 36 and not any("~" in name for name in short)


@pytest.fixture(scope="module")
def trace():
    inputs = x = tr.Input(shape=(8,))
    for i in range(12):
        with tr.name_scope(LONG.format(i=i)):
            x = presets.residual(x, 8)
    return tr.Model(inputs, x).graph([[0.5] * 8], [[0.0] * 8], loss="mse").trace()


def test_rows_of_tables_are_distinct_within_80_columns(trace):
    lines = str(trace).splitlines()
    assert max(map(len, lines)) <= 80
    assert len({line.split()[0] for line in lines[4:16]}) == 12
    for level in ("layer", "edge", "parameter"):
        table = trace.table(level=level).splitlines()
        assert max(map(len, table)) <= 80 and len(set(table)) == len(table)


@pytest.mark.slow
def test_cells_and_ticks_are_distinct(trace, tmp_path):
    trace.export(tmp_path / "x.svg")
    names = re.findall(r'class="tr-name"[^>]*>([^<]*)<', (tmp_path / "x.svg").read_text())
    assert len(names) == 14 == len(set(names)) and LONG.format(i=3) not in names
    figure = pytest.importorskip("matplotlib.figure").Figure()
    labels = [t.get_text() for t in trace.plot(ax=figure.add_subplot()).get_xticklabels()]
    assert len(labels) == 12 == len(set(labels)) and max(map(len, labels)) <= 18


@pytest.mark.parametrize("columns", [50, 60, 80, 200])
def test_a_summary_is_80_columns_wide_at_most_whatever_the_names(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    inputs = x = tr.Input(shape=(8,))
    for i in range(3):
        with tr.name_scope(LONG.format(i=i) * 2):
            x = presets.residual(x, 8)
    lines: list[str] = []
    tr.Model(inputs, x).summary(print_fn=lines.append)
    assert max(map(len, lines)) <= min(columns, 80)
    titles = [line for line in lines if "(Dense)" in line]
    assert len(titles) == 6 == len(set(titles))
