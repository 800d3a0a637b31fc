"""What Keras' models take beside their own names."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr


def test_targets_of_one_axis_fit_outputs_of_width_one():
    model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = np.random.default_rng(0).normal(size=(8, 2)), np.arange(8.0)
    assert model.evaluate(x, y) == model.evaluate(x, y.reshape(-1, 1))
    with pytest.raises(tr.errors.ShapeError, match=r"\[evaluate\] y must have the shape of the output"):
        model.evaluate(x, np.zeros((8, 2)))


def test_summary_goes_where_it_is_told():
    model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(1)])
    lines: list[str] = []
    model.summary(line_length=100, print_fn=lines.append)
    assert lines[0].startswith("Sequential")
    assert lines[2] == "-" * 100 and lines[-1] == "3 parameters: 3 trained, 0 not trained"


def test_modes_of_pytorch_are_words_here():
    model = tr.Sequential([tr.layers.Dense(1)])
    with pytest.raises(tr.errors.ArgumentError, match=r"got .eval\(\); write model\(x\)"):
        model.eval()
    with pytest.raises(tr.errors.ArgumentError, match=r"got .train\(True\); write model\(x, training=True\)"):
        model.train()


def test_traces_without_names_are_a_and_b():
    x = tr.tensor([1.0], requires_grad=True, name="x")
    trace = tr.Graph((x * x).sum()).trace()
    assert list(tr.compare(trace, trace).traces) == ["a", "b"]
