"""DataFrames in, as samples and targets, and out, of traces, histories and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import DTypeError

pytest.importorskip("pandas")
pytest.importorskip("polars")

import pandas
import polars


def compiled():
    tr.manual_seed(0)
    x = inputs = tr.Input(shape=(3,))
    for i in range(2):
        with tr.name_scope(f"block{i}"):
            x = layers.blocks.residual(x, 3)
    model = tr.Model(inputs, layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.arange(12) % 2


@pytest.mark.parametrize("library", [pandas, polars])
def test_frames_train_as_arrays_do(library):
    losses = []
    for x, y in ((X, Y), (library.DataFrame(X, **columns(library)), library.Series(Y))):
        losses.append(compiled().fit(x, y, epochs=2, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def columns(library):
    return {"columns": list("abc")} if library is pandas else {"schema": list("abc")}


@pytest.mark.parametrize("library", [pandas, polars])
def test_columns_of_several_kinds_are_numbers(library):
    frame = library.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [True, False]})
    expected = compiled().predict(np.array([[1, 0.5, 1], [2, 1.5, 0]]))
    assert np.array_equal(compiled().predict(frame), expected)


@pytest.mark.parametrize("library", [pandas, polars])
def test_columns_of_texts_are_named(library):
    frame = library.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [1, 2]})
    with pytest.raises(DTypeError, match="a DataFrame with other column.s., 'b'"):
        compiled().predict(frame)


def test_a_missing_number_of_polars_is_nan():
    frame = polars.DataFrame({"a": [1, None], "b": [0.5, 1.5], "c": [1.0, 2.0]})
    assert np.isnan(compiled().predict(frame)).any(axis=1).tolist() == [False, True]


def test_a_history_has_a_row_for_each_epoch_also_where_not_all_was_measured():
    history = compiled().fit(X, Y, epochs=4, verbose=0, validation_data=(X, Y), validation_freq=2)
    frame = history.to_pandas()
    assert frame.index.tolist() == [0, 1, 2, 3] and frame.index.name == "epoch"
    assert frame["loss"].tolist() == history.history["loss"]
    assert frame["val_loss"].isna().tolist() == [True, False, True, False]
    assert frame["val_loss"].dropna().tolist() == history.history["val_loss"]
    other = history.to_polars()
    assert other.columns == ["epoch", *frame.columns]
    assert other["val_loss"].to_list()[1::2] == history.history["val_loss"]


def test_a_trace_gives_its_rows():
    trace = compiled().graph(X, Y).trace()
    for level in ("block", "layer", "edge", "parameter"):
        frame, other = trace.to_pandas(level), trace.to_polars(level)
        rows = trace.rows(level)
        assert len(frame) == len(other) == len(rows) and list(frame.columns) == other.columns == list(rows[0])
    assert trace.to_pandas("block")["grad_norm"].tolist() == [block.grad_norm for block in trace.blocks]
    assert trace.to_polars()["block"].to_list() == ["block0", "block1"]


def test_a_history_without_epochs_is_empty():
    assert len(tr.History().to_pandas()) == len(tr.History().to_polars()) == 0


def test_gradients_have_a_column_for_each_layer():
    gradients = compiled().fit(X, Y, epochs=2, verbose=0, watch=1).gradients
    frame = gradients.to_pandas()
    assert list(frame.columns) == gradients.names and frame.index.tolist() == gradients.steps.tolist()
    np.testing.assert_array_equal(frame.to_numpy(), gradients.norms)
    np.testing.assert_array_equal(gradients.to_polars().drop("step").to_numpy(), gradients.norms)
