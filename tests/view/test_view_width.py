"""What is printed in a narrow terminal: lines fit, and none is broken within a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks
from tinyres.measure.graph import Graph
from tinyres.view.printable import room, shown


def graph_of(block: Callable[[Any], Any]) -> Graph:
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(16,))
    for i in range(16):
        with tr.name_scope(f"block{i}"):
            x = block(x)
    model = tr.Model(inputs, layers.Dense(4, activation="softmax")(x))
    model.compile(loss="sparse_categorical_crossentropy")
    data = np.random.default_rng(0)
    return model.graph(data.standard_normal((32, 16)), data.integers(0, 4, 32))


@pytest.fixture(scope="module")
def plain() -> tr.Trace:
    return graph_of(lambda x: blocks.plain(x, 16)).trace()


@pytest.fixture(scope="module")
def residual() -> tr.Trace:
    return graph_of(lambda x: blocks.preact_plain(x, 16)).trace()


@pytest.mark.parametrize("columns", [60, 72])
def test_a_trace_keeps_one_row_per_block(plain: tr.Trace, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = str(plain).splitlines()
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = str(plain).splitlines()
    assert max(map(len, lines)) <= columns
    rows = [line.split() for line in lines if line.startswith("block") and line.split()[0] != "block"]
    assert rows == [line.split()[:7] for line in wide if line.startswith("block") and line.split()[0] != "block"]
    assert len(rows) == 16


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 72])
def test_no_word_of_what_is_told_is_lost(
    plain: tr.Trace, residual: tr.Trace, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(x: Any) -> Any:
        return layers.Add()([layers.Dense(16)(x), layers.Activation("tanh")(x)])

    told = [plain.verdict(), tr.compare(plain=plain, residual=residual), graph_of(odd).lint(), residual.forks[0]]
    wide = [str(t).split() for t in told]
    monkeypatch.setenv("COLUMNS", str(columns))
    assert [str(t).split() for t in told] == wide
    assert all(len(line) <= columns for t in told for line in str(t).splitlines())


def test_where_there_is_no_terminal_nothing_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert room() is None
    assert shown("word " * 100) == "word " * 100


def test_representations_tell_the_numbers(plain: tr.Trace, residual: tr.Trace) -> None:
    first, last = plain.blocks[0], plain.blocks[-1]
    assert repr(plain).endswith(f", |g| {first.grad_norm:.3g} at block0, {last.grad_norm:.3g} at block15; print it>")
    rates = [f.rate for f in tr.compare(plain=plain, residual=residual).flows]
    assert repr(tr.compare(plain=plain, residual=residual)) == (
        f"<Comparison of plain (|g| x {rates[0]:.2f} per block), residual (|g| x {rates[1]:.2f} per block); print it>"
    )


def test_sentences_are_wrapped_once(plain: tr.Trace, residual: tr.Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = str(tr.compare(plain=plain, residual=residual)).splitlines()
    assert lines[1].split()[0] == "plain" and lines[2].split()[0] == "residual"  # one row for each net
    told = lines[3:]
    for line, following in zip(told, told[1:]):
        if following.startswith("  "):
            assert len(line) + 1 + len(following.split()[0]) > 60
