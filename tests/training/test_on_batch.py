"""train_on_batch, test_on_batch and predict_on_batch: one captured step each, and what they return."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_models import bits, compiled, fit, labelled

import tinyres as tr
from tinyres import layers
from tinyres.errors import NonFiniteError, TinyresError

X, Y = labelled(48)
W = np.linspace(0, 2, 48)


def test_steps_one_by_one_are_the_training():
    model, twin = compiled(dropout=0.2), compiled(dropout=0.2)
    tr.manual_seed(1)
    history = fit(model, X, Y, batch_size=16, shuffle=False)
    tr.manual_seed(1)
    values = [twin.train_on_batch(X[i : i + 16], Y[i : i + 16]) for i in (0, 16, 32)]
    assert bits(twin) == bits(model)
    means = [history.history["loss"][0], history.history["accuracy"][0]]
    assert np.mean(values, axis=0) == pytest.approx(means, rel=1e-6)


def test_what_they_return_is_as_in_keras():
    bare = compiled(metrics=())
    loss = bare.test_on_batch(X, Y)
    assert isinstance(loss, float) and loss == bare.evaluate(X, Y)[0]
    assert isinstance(bare.train_on_batch(X, Y), float)
    model = compiled()
    expected = model.evaluate(X, Y)
    assert model.test_on_batch(X, Y) == expected
    assert model.test_on_batch(X, Y, return_dict=True) == dict(zip(("loss", "accuracy"), expected))
    assert list(model.train_on_batch(X, Y, return_dict=True)) == ["loss", "accuracy"]
    assert np.array_equal(model.predict_on_batch(X), model.predict(X))


def test_weights():
    model, twin = compiled(), compiled()
    assert model.test_on_batch(X, Y, sample_weight=W) == model.evaluate(X, Y, sample_weight=W)
    table = {0: 0.5, 2: 3.0}
    model.train_on_batch(X, Y, class_weight=table)
    twin.train_on_batch(X, Y, sample_weight=np.array([table.get(int(label), 1.0) for label in Y]))
    assert bits(model) == bits(twin)


def test_each_signature_is_captured_once():
    model = compiled()
    for rows in (48, 16, 48, 16, 48):
        model.train_on_batch(X[:rows], Y[:rows])
    assert len(model.runner("train_step", True).programs) == 2 and model.optimizer.steps == 5


def test_a_step_within_a_callback_leaves_the_means_alone():
    class Measure(tr.callbacks.Callback):
        def on_batch_end(self, step, logs):
            self.model.test_on_batch(X[:5], Y[:5])

    class Train(tr.callbacks.Callback):
        def on_batch_end(self, step, logs):
            before = self.model.get_weights()
            self.model.train_on_batch(X[:5], Y[:5])
            self.model.set_weights(before)

    plain = fit(compiled("sgd"), X, Y, batch_size=16, shuffle=False)
    for callback in (Measure(), Train()):
        history = fit(compiled("sgd"), X, Y, batch_size=16, shuffle=False, callbacks=[callback])
        if isinstance(callback, Measure):
            assert history.history == plain.history
        else:
            assert history.history["loss"] == pytest.approx(plain.history["loss"], rel=0.2)


def test_several_outputs_and_a_model_that_is_not_built():
    inputs = tr.Input(shape=(6,), name="x")
    model = tr.Model(inputs, [layers.Dense(1, name="a")(inputs), layers.Dense(2, name="b")(inputs)])
    model.compile("sgd", "mse", metrics={"b": ["mae"]})
    y = {"a": X[:, :1], "b": X[:, :2]}
    assert list(model.train_on_batch({"x": X}, y, return_dict=True)) == ["loss", "a_loss", "b_loss", "b_mae"]
    assert [p.shape for p in model.predict_on_batch(X)] == [(48, 1), (48, 2)]
    late = tr.Sequential([layers.Dense(2)])
    late.compile("sgd", "mse")
    assert late.predict_on_batch(X).shape == (48, 2) and late.train_on_batch(X, X[:, :2]) > 0


ERRORS = [
    (lambda m: m.train_on_batch(X, Y[:5]), "[train_on_batch] x and y must have the same number of samples; got 48"),
    (lambda m: m.test_on_batch(X, Y + 9), "[test_on_batch] labels lie in 0..2, one for each output of the model; got"),
    (lambda m: m.predict_on_batch(X[:, :2]), "[predict_on_batch] input takes x of shape (samples, 6); got (48, 2)"),
    (lambda m: m.train_on_batch(X, Y, class_weight=3), "[train_on_batch] class_weight is a dict of class: weight; got"),
    (lambda m: tr.Sequential([layers.Dense(1)]).train_on_batch(X, Y), "[train_on_batch] the model is not compiled;"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors(case):
    act, message = ERRORS[case]
    model = compiled()
    before = bits(model)
    with pytest.raises(TinyresError, match=re.escape(message)):
        act(model)
    assert bits(model) == before


def test_a_loss_that_is_not_finite_changes_nothing():
    model = compiled()
    model.train_on_batch(X, Y)
    before = bits(model)
    with pytest.raises(NonFiniteError, match="must be finite|not finite|first to give"):
        model.train_on_batch(np.full_like(X, np.nan), Y)
    assert bits(model) == before and model.optimizer.steps == 1


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_an_unknown_option_is_refused_by_the_method_that_was_called(method):
    model = tr.Sequential([tr.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(tr.errors.ArgumentError, match=rf"^\[{method}\]"):
        getattr(model, method)([[1.0]], [[2.0]], zork=1)
