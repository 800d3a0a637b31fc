"""Any layer on any shapes: finite numbers, or an error that says what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyres import layers
from tinyres.engine.state import state
from tinyres.errors import TinyresError

SHAPES = st.lists(st.integers(0, 4), min_size=0, max_size=3).map(tuple)
MAKERS = st.sampled_from(
    [
        lambda: layers.Dense(3, activation="relu"),
        lambda: layers.Dense(2, activation="softmax"),
        layers.BatchNorm,
        lambda: layers.Dropout(0.5),
        layers.Flatten,
        lambda: layers.Reshape((2, -1)),
        layers.Softmax,
        layers.ReLU,
        layers.Add,
        layers.Concatenate,
        lambda: layers.ConcatenateZeros([3, 0, 1, 2, 0]),
        lambda: layers.ConcatenateZeros([0, 3]),
        layers.Multiply,
        lambda: layers.MultiHeadAttention(2, 2),
        lambda: layers.Embedding(5, 3),
        lambda: layers.ReversibleEmbedding(5, 3),
        lambda: layers.PositionEmbedding(3),
        layers.SinePositionEncoding,
        layers.RotaryEmbedding,
        layers.GlobalAveragePooling1D,
        layers.GlobalMaxPooling1D,
    ]
)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(make=MAKERS, shapes=st.lists(SHAPES, min_size=1, max_size=3), training=st.booleans(), as_list=st.booleans())
def test_any_layer_on_any_shapes_gives_finite_numbers_or_a_clear_error(make, shapes, training, as_list):
    layer = make()
    values = [np.ones(shape, np.float32) for shape in shapes]
    for _ in range(2):
        try:
            apart = isinstance(layer, layers.MultiHeadAttention) and not as_list
            given = values if apart else [values if as_list or len(values) > 1 else values[0]]
            y = layer(*given, training=training)
        except TinyresError as error:
            assert re.match(r"\[[\w.]+\] .+;", str(error)), str(error)
        else:
            assert np.isfinite(y.numpy()).all()
        assert state.scope is None
