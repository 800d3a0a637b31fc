"""The whole way, end to end, in about a second: the first thing to run while developing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import residual_block

import tinyres as tr
from tinyres import layers


def build() -> tr.Model:
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(64,))
    for i in range(3):
        with tr.name_scope(f"block{i}"):
            x = residual_block(x, 64)
    return tr.Model(inputs, layers.Dense(10, activation="softmax")(x))


def test_train_trace_save_and_load(tmp_path: Path) -> None:
    (x_train, y_train), (x_test, y_test) = tr.data.load_digits()
    model = build()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    history = model.fit(x_train, y_train, epochs=3, verbose=0, watch=10)
    assert history.history["loss"][-1] < history.history["loss"][0]
    loss, accuracy = model.evaluate(x_test, y_test)
    assert accuracy > 0.8
    assert np.isfinite(history.gradients.norms).all()

    before = model.get_weights()
    trace = model.graph(x_test[:32], y_test[:32]).trace()
    assert trace.audit().ok
    assert [block.name for block in trace.blocks] == ["block0", "block1", "block2"]
    for block in trace.blocks:
        assert {edge.kind for edge in block.fork.edges} == {"skip", "branch"}
        assert block.skip + block.branch == pytest.approx(1.0, abs=1e-5)
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)

    model.save(tmp_path / "model.npz")
    loaded = tr.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(x_test), model.predict(x_test))
    assert loaded.evaluate(x_test, y_test) == [loss, accuracy]


def test_the_skip_keeps_the_whole_gradient_of_the_join() -> None:
    model = build()
    (x, y), _ = tr.data.load_digits()
    model.compile(loss="sparse_categorical_crossentropy")
    trace = model.graph(x[:16], y[:16]).trace(arrays=True)
    add = trace["block1/add"]
    (skip,) = [edge for edge in trace.fork("block1").edges if edge.kind == "skip"]
    assert skip.dst == "block1/add"
    assert skip.grad_norm == pytest.approx(add.grad_norm, rel=1e-12), "Add hands one gradient to both of its inputs"


def test_a_number_can_be_followed_from_python_into_c_and_back() -> None:
    x = tr.tensor([[1.0, -2.0]], requires_grad=True)
    kernel = tr.Parameter([[3.0], [4.0]], "kernel")
    y = tr.relu(x @ kernel + 10.0).sum()
    assert y.item() == 5.0
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[3.0, 4.0]])
    np.testing.assert_array_equal(kernel.grad.numpy(), [[1.0], [-2.0]])
