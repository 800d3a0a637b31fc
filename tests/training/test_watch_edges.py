"""`fit(watch=n, watch_edges=True)`: the ledger of a training, step by step, as traces at the same weights give it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, FileError, TraceError
from tinyres.store import archive
from tinyres.training.edges import EDGES


def small_model(block: Any = layers.blocks.preact, blocks: int = 2) -> tr.Model:
    tr.manual_seed(1)
    inputs = x = tr.Input(shape=(6,))
    for i in range(blocks):
        with tr.name_scope(f"block{i}"):
            x = block(x, 6)
    model = tr.Model(inputs, layers.Dense(3, activation="softmax")(x))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


rng = np.random.default_rng(0)
X, Y = rng.normal(size=(20, 6)).astype(np.float32), rng.integers(0, 3, 20)


class Traces(tr.callbacks.Callback):
    """The trace of each batch right before its step."""

    def __init__(self) -> None:
        self.traces: list[tr.Trace] = []

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        rows = slice(step * 8, step * 8 + 8)
        self.traces.append(self.model.graph(X[rows], Y[rows]).trace(audit=False))


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("block", [layers.blocks.preact, layers.blocks.residual])
def test_edges_are_those_of_the_trace_before_the_step(block: Any, capture: bool) -> None:
    model, eager = small_model(block), Traces()
    history = model.fit(
        X, Y, 8, 2, verbose=0, shuffle=False, watch=1, watch_edges=True, callbacks=[eager], capture=capture
    )
    seen = history.edges
    assert seen.steps.tolist() == list(range(6))
    assert [tuple(edge) for edge in seen.edges] == [(e.src, e.dst, e.kind) for e in eager.traces[0].edges]
    for i, trace in enumerate(eager.traces):
        assert seen.norms[i].tolist() == [e.grad_norm for e in trace.edges]
        for name, column in (("share", seen.shares), ("cosine", seen.cosines)):
            meant = [getattr(e, name) for e in trace.edges]
            assert [None if np.isnan(v) else v for v in column[i].tolist()] == meant
    last = eager.traces[-1]
    assert history.edges.last.rows("layer") == last.rows("layer")
    assert history.edges.last.rows("block") == last.rows("block")


@pytest.mark.slow
def test_watching_edges_changes_no_bit_of_the_training() -> None:
    plain = small_model()
    losses = plain.fit(X, Y, 8, 3, verbose=0).history["loss"]
    watched = small_model()
    history = watched.fit(X, Y, 8, 3, verbose=0, watch=2, watch_edges=True)
    assert history.history["loss"] == losses
    assert all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), watched.get_weights()))
    assert history.edges.steps.tolist() == history.gradients.steps.tolist() == [1, 3, 5, 7]
    again = small_model()
    gradients = again.fit(X, Y, 8, 3, verbose=0, watch=2).gradients
    assert np.array_equal(gradients.norms, history.gradients.norms)


def test_rows_are_flat() -> None:
    history = small_model().fit(X, Y, 20, 1, verbose=0, watch=1, watch_edges=True)
    row = next(row for row in history.edges.rows() if row["kind"] == "skip")
    assert sorted(row) == ["cosine", "dst", "kind", "norm", "share", "src", "step"]
    assert len(history.edges.rows()) == len(history.edges.edges) and len(history.edges) == 1
    assert repr(history.edges) == f"EdgeNorms(1 steps, {len(history.edges.edges)} edges)"


@pytest.mark.slow
@pytest.mark.parametrize("copied", [lambda h: pickle.loads(pickle.dumps(h)), copy.deepcopy])
def test_a_history_with_edges_is_pickled_and_copied(copied: Any) -> None:
    """The last look held nodes of the tape, which cannot be pickled: so nothing that had a history could be."""
    model = small_model()
    edges = model.fit(X, Y, 8, 2, verbose=0, watch=2, watch_edges=True).edges
    again = copied(edges)
    assert again.rows() == edges.rows() and again.edges == edges.edges
    assert again.last.rows("edge") == edges.last.rows("edge") and again.last.rows("block") == edges.last.rows("block")
    assert copied(model.fit(X, Y, 8, 1, verbose=0, watch=1, watch_edges=True)).edges.steps.tolist() == [0, 1, 2]
    before = len(again)
    model.fit(X, Y, 8, 1, verbose=0, watch=1, watch_edges=True)
    assert len(again) == before and isinstance(again.last, tr.Trace)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_edges_are_saved_and_loaded(suffix: str, tmp_path: Path) -> None:
    seen = small_model(layers.blocks.residual).fit(X, Y, 8, 2, verbose=0, watch=1, watch_edges=True).edges
    seen.save(tmp_path / f"edges{suffix}")
    again = tr.EdgeNorms.load(tmp_path / f"edges{suffix}")
    assert again.rows() == seen.rows() and again.steps.tolist() == seen.steps.tolist() and again.edges == seen.edges
    for column in ("norms", "shares", "cosines"):
        assert np.array_equal(getattr(again, column), getattr(seen, column), equal_nan=True)
    with pytest.raises(TraceError, match=r"the last look is not in a file of edges; .*edges\.last\.save"):
        _ = again.last
    empty = tr.EdgeNorms()
    empty.save(tmp_path / f"none{suffix}")
    assert tr.EdgeNorms.load(tmp_path / f"none{suffix}").norms.shape == (0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"edges": [["a", "b"]]},
        {"edges": [["a", "b", "skip"], ["a", "b", "skip"]]},
        {"edges": "abc"},
        {"steps": [-1]},
        {"norms": [[1.0, 2.0]]},
        {"there": [[2]]},
        {"shares": []},
    ],
)
def test_a_damaged_file_of_edges_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    table = {
        "edges": [["a", "b", "skip"]],
        "steps": [0],
        "norms": [[1.0]],
        "shares": [[1.0]],
        "cosines": [[1.0]],
        "there": [[1]],
    }
    for given, fits in (({}, True), (change, False)):
        archive.write_text(tmp_path / "edges.json", EDGES, {**table, **given})
        if fits:
            assert tr.EdgeNorms.load(tmp_path / "edges.json").norms.tolist() == [[1.0]]
            continue
        with pytest.raises(FileError, match=r"\[load\]"):
            tr.EdgeNorms.load(tmp_path / "edges.json")


def test_edges_as_frames() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    edges = small_model().fit(X, Y, 8, 1, verbose=0, watch=1, watch_edges=True).edges
    frame = edges.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == len(edges.rows())
    over = frame[(frame.kind == "skip") & (frame.step == 2)].norm.tolist()
    assert over == [row["norm"] for row in edges.rows() if row["kind"] == "skip" and row["step"] == 2]
    assert isinstance(edges.to_polars(), polars.DataFrame)


def test_what_was_not_watched_says_how() -> None:
    model = small_model()
    with pytest.raises(TraceError, match=r"\[history\] edges were not watched; .*watch_edges=True"):
        _ = model.fit(X, Y, verbose=0).edges
    with pytest.raises(ArgumentError, match=r"\[fit\] edges are watched every so many steps.*got watch=0"):
        model.fit(X, Y, verbose=0, watch_edges=True)
    with pytest.raises(TraceError, match="no step was looked at"):
        _ = model.fit(X, Y, epochs=0, verbose=0, watch=1, watch_edges=True).edges.last
