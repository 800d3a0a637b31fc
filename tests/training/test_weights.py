"""sample_weight and class_weight: Keras' rule, Σ weight · loss / samples, by hand, against PyTorch, and captured."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_models import bits, compiled, fit, labelled

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, TinyresError

X, Y = labelled(50)
W = np.random.default_rng(1).uniform(0, 3, 50)


def softmax_loss(model, rows=slice(None)):
    """The loss of each sample."""
    p = model.predict(X[rows]).astype(np.float64)
    return -np.log(p[np.arange(len(p)), Y[rows]])


def test_the_loss_is_the_weighted_sum_over_the_number_of_samples():
    model = compiled()
    each = softmax_loss(model)
    loss, accuracy = model.evaluate(X, Y, sample_weight=W)
    assert loss == pytest.approx((W * each).sum() / 50, rel=1e-5)
    assert accuracy == model.evaluate(X, Y)[1], "metrics count all samples alike"
    for batch_size in (7, 50):
        assert model.evaluate(X, Y, batch_size=batch_size, sample_weight=W)[0] == pytest.approx(loss, rel=1e-5)
    assert model.evaluate(X, Y, sample_weight=np.ones(50))[0] == pytest.approx(model.evaluate(X, Y)[0], rel=1e-6)
    assert model.evaluate(X, Y, sample_weight=np.zeros(50))[0] == 0.0
    assert model.evaluate(X, Y, sample_weight=W.reshape(-1, 1))[0] == loss
    assert model.evaluate(X, Y, sample_weight=W.tolist())[0] == loss


@pytest.mark.parametrize(
    ("name", "activation", "target", "each"),
    [
        ("mse", None, X[:, :3], lambda p, t: np.square(p - t).mean(axis=1)),
        ("mae", None, X[:, :3], lambda p, t: np.abs(p - t).mean(axis=1)),
        ("categorical_crossentropy", "softmax", np.eye(3)[Y], lambda p, t: -(t * np.log(p)).sum(axis=1)),
        (
            "binary_crossentropy",
            "sigmoid",
            np.eye(3)[Y],
            lambda p, t: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(axis=1),
        ),
    ],
)
def test_every_loss_weighs_its_samples(name, activation, target, each):
    model = tr.Sequential([tr.Input(shape=(6,)), layers.Dense(3, activation=activation)])
    model.compile("sgd", name)
    p = model.predict(X).astype(np.float64)
    assert model.evaluate(X, target, sample_weight=W)[0] == pytest.approx((W * each(p, target)).mean(), rel=1e-5)


def test_a_function_with_a_value_per_sample_is_weighed():
    def cubic(y_true, y_pred):
        return tr.abs(y_pred - y_true).mean(axis=1) ** 3.0

    model = tr.Sequential([tr.Input(shape=(6,)), layers.Dense(3)])
    model.compile("sgd", cubic)
    each = np.abs(model.predict(X) - X[:, :3]).mean(axis=1) ** 3
    assert model.evaluate(X, X[:, :3])[0] == pytest.approx(each.mean(), rel=1e-5)
    assert model.evaluate(X, X[:, :3], sample_weight=W)[0] == pytest.approx((W * each).mean(), rel=1e-5)
    model.compile("sgd", lambda prediction, target: tr.abs(prediction - target).mean())
    with pytest.raises(TinyresError, match="weights need a loss with one value per sample"):
        model.evaluate(X, X[:, :3], sample_weight=W)


def test_a_step_with_weights_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    model = tr.Sequential([tr.Input(shape=(6,)), layers.Dense(3, activation="softmax")])
    model.compile(tr.optim.SGD(lr=0.5), "sparse_categorical_crossentropy")
    kernel, bias = (torch.tensor(w, requires_grad=True) for w in model.get_weights())
    x, y, w = torch.tensor(X), torch.tensor(Y), torch.tensor(W, dtype=torch.float32)
    history = fit(model, X, Y, batch_size=50, shuffle=False, epochs=3, sample_weight=W)
    for epoch in range(3):
        each = torch.nn.functional.cross_entropy(x @ kernel + bias, y, reduction="none")
        loss = (w * each).sum() / 50
        assert history.history["loss"][epoch] == pytest.approx(loss.item(), rel=1e-5)
        gradients = torch.autograd.grad(loss, (kernel, bias))
        with torch.no_grad():
            for parameter, gradient in zip((kernel, bias), gradients):
                parameter -= 0.5 * gradient
    for ours, theirs in zip(model.get_weights(), (kernel, bias)):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_a_weight_of_zero_leaves_the_sample_out():
    changed = X.copy()
    changed[10] = 1000.0
    weights = np.ones(50)
    weights[10] = 0.0
    runs = []
    for x in (X, changed):
        model = tr.Sequential([tr.Input(shape=(6,)), layers.Dense(3, activation="softmax")])
        tr.manual_seed(0)
        model.set_weights([np.full((6, 3), 0.1), np.zeros(3)])
        model.compile("sgd", "sparse_categorical_crossentropy")
        fit(model, x, Y, sample_weight=weights, batch_size=10)
        runs.append(bits(model))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("kind", ["sample", "class"])
def test_captured_and_eager_are_the_same_bit_for_bit(kind):
    options = {"sample_weight": W} if kind == "sample" else {"class_weight": {0: 0.5, 2: 3.0}}
    runs = []
    for capture in (True, False):
        model = compiled(dropout=0.2)
        tr.manual_seed(1)
        history = fit(model, X, Y, epochs=3, batch_size=16, capture=capture, validation_split=0.2, **options)
        runs.append((bits(model), history.history))
    assert runs[0] == runs[1]


def test_weights_are_inputs_of_the_step_and_not_constants():
    model = compiled("sgd")
    model.train_on_batch(X, Y, sample_weight=W)
    step = model.runner("train_step", True)
    for weight in (W + 1, W * 2):
        before = model.get_weights()
        expected = (weight * softmax_loss(model)).mean()
        model.set_weights(before)
        assert model.test_on_batch(X, Y, sample_weight=weight)[0] == pytest.approx(expected, rel=1e-4)
        model.train_on_batch(X, Y, sample_weight=weight)
    assert len(step.programs) == 1


def test_class_weight_is_the_weight_of_each_samples_class():
    table = {0: 0.5, 2: 3.0}
    weights = np.array([table.get(int(label), 1.0) for label in Y])
    runs = []
    for options in ({"class_weight": table}, {"sample_weight": weights}):
        model = compiled()
        tr.manual_seed(1)
        history = fit(model, X, Y, epochs=2, batch_size=16, **options)
        runs.append((bits(model), history.history))
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("loss", "units", "activation", "target"),
    [
        ("categorical_crossentropy", 3, "softmax", np.eye(3)[Y]),
        ("binary_crossentropy", 1, "sigmoid", (Y > 0).astype(np.float64).reshape(-1, 1)),
    ],
)
def test_class_weight_of_one_hot_and_binary_targets(loss, units, activation, target):
    table = {0: 2.0, 1: 0.25}
    classes = target.argmax(axis=1) if units > 1 else target[:, 0].astype(int)
    weights = np.array([table.get(int(label), 1.0) for label in classes])
    runs = []
    for options in ({"class_weight": table}, {"sample_weight": weights}):
        tr.manual_seed(0)
        model = tr.Sequential([tr.Input(shape=(6,)), layers.Dense(units, activation=activation)])
        model.compile("sgd", loss)
        runs.append((fit(model, X, target, **options).history, bits(model)))
    assert runs[0] == runs[1]


def test_validation_data_may_have_weights_and_class_weight_leaves_it_alone():
    model = compiled()
    history = fit(model, X, Y, validation_data=(X, Y, W), batch_size=25)
    assert history.history["val_loss"][0] == model.evaluate(X, Y, 25, sample_weight=W)[0]
    history = fit(model, X, Y, validation_split=0.2, class_weight={0: 9.0}, batch_size=20)
    assert history.history["val_loss"][0] == model.evaluate(X[40:], Y[40:], 20)[0]
    history = fit(model, X, Y, validation_split=0.2, sample_weight=W, batch_size=20)
    assert history.history["val_loss"][0] == model.evaluate(X[40:], Y[40:], 20, sample_weight=W[40:])[0]


ERRORS = [
    ({"sample_weight": W[:49]}, "[fit] sample_weight is one number per sample, (50,); got shape (49,); give one each"),
    ({"sample_weight": np.ones((50, 3))}, "[fit] sample_weight is one number per sample, (50,); got shape (50, 3)"),
    ({"sample_weight": np.full(50, np.nan)}, "[fit] sample_weight must be finite; got NaN or infinite values; use 0"),
    ({"sample_weight": ["a"] * 50}, "[fit] sample_weight must be numbers; got strings ('a', ...); give one number per"),
    ({"sample_weight": 2.0}, "[fit] sample_weight needs an axis for the samples; got the single number 2.0"),
    ({"sample_weight": {"other": W}}, "[fit] a dict for sample_weight has names of outputs, ['dense']; got 'other'"),
    ({"class_weight": [1, 2, 3]}, "[fit] class_weight is a dict of class: weight; got list; write {0: 1, 1: 2}"),
    ({"class_weight": {"a": 1.0}}, "[fit] class_weight is a dict of class: weight, an integer from 0 and a finite"),
    ({"class_weight": {1: np.inf}}, "[fit] class_weight is a dict of class: weight, an integer from 0 and a finite"),
    ({"class_weight": {3: 1.0}}, "[fit] class_weight has classes 0..2, those of the model; got 3; drop it"),
    ({"class_weight": {1: 2.0}, "sample_weight": W}, "[fit] samples are weighted one way; got both sample_weight and"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_bad_weights_are_told_before_anything_changes(case):
    options, message = ERRORS[case]
    model = compiled()
    before = bits(model)
    with pytest.raises(TinyresError, match=re.escape(message)):
        fit(model, X, Y, **options)
    assert bits(model) == before and model.optimizer.steps == 0


def test_class_weight_is_for_one_output():
    inputs = tr.Input(shape=(6,))
    model = tr.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    model.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match=r"\[fit\] class_weight is for models with one output; this one has 2"):
        fit(model, X, [X[:, :1], X[:, :1]], class_weight={0: 1.0})


def test_one_array_of_weights_is_for_all_outputs():
    inputs = tr.Input(shape=(6,))
    model = tr.Model(inputs, [layers.Dense(1, name="a")(inputs), layers.Dense(1, name="b")(inputs)])
    model.compile("sgd", "mse")
    y = [X[:, :1], X[:, 1:2]]
    expected = model.evaluate(X, y, sample_weight=[W, W])
    assert model.evaluate(X, y, sample_weight=W) == model.evaluate(X, y, sample_weight={"a": W, "b": W}) == expected
    assert model.evaluate(X, y, sample_weight=W.tolist()) == expected
    only = model.evaluate(X, y, sample_weight={"a": W})
    assert only[1] == expected[1] and only[2] == model.evaluate(X, y)[2]
