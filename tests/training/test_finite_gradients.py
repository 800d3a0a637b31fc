"""A gradient that is not finite stops fit before the update, and names the op; the loss was finite."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, NonFiniteError


def root_mean_square(y_true, y_pred):
    return tr.sqrt(tr.mean(tr.square(y_pred - y_true), axis=-1))


def masked_division(y_true, y_pred):
    difference = y_pred - y_true
    return tr.where(difference == 0, tr.zeros_like(difference), 1.0 / difference)


def rule_of_ones_own():
    return tr.custom_vjp(lambda x: x * 1.0, lambda g, ctx: (g / 0.0,), name="broken")


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize(("loss", "op"), [(root_mean_square, "sqrt"), (masked_division, "div"), (None, "broken")])
def test_fit_stops_before_the_update(capture, loss, op):
    own = rule_of_ones_own() if loss is None else None
    model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("adam", loss or (lambda y_true, y_pred: tr.square(own(y_pred) - y_true)))
    before = model.get_weights()
    x, y = np.ones((4, 2)), np.zeros((4, 1))
    message = rf"\[fit\] a gradient is not finite, though the loss is, at epoch 0, step 0; that of {op}.* is the "
    with pytest.raises(NonFiniteError, match=message):
        model.fit(x, y, verbose=0, capture=capture)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    assert model.optimizer.steps == 0 and not any(s.any() for s in model.optimizer.variables[1:])


def test_a_net_of_plain_layers_pays_nothing():
    model = tr.Sequential([tr.layers.Dense(4, activation="relu"), tr.layers.BatchNorm(), tr.layers.Dense(3)])
    model.add(tr.layers.Activation("softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.train_on_batch(np.ones((8, 2)), np.zeros(8, int))
    (replay,) = model.runner("train_step", True).programs
    assert sum(call.kernel.name == "check_finite" for call in replay.program.calls) == 1


def test_a_gradient_that_is_finite_trains_as_before():
    model = tr.Sequential([tr.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", root_mean_square)
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), verbose=0)
    assert model.get_weights()[0].item() == pytest.approx(0.99)


def test_norm_has_gradient_0_at_0():
    x = tr.tensor([0.0, 0.0], requires_grad=True)
    tr.norm(x).backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_clip_norm_is_finite():
    with pytest.raises(ArgumentError, match=r"\[sgd\] clip_norm is a finite number > 0; got inf"):
        tr.optim.SGD(clip_norm=float("inf"))


def test_nan_in_x_is_said_with_count_and_place():
    x, y = np.ones((4, 2)), np.zeros((4, 1))
    x[2, 1], x[3, 0] = np.nan, np.inf
    model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(1)])
    model.compile("sgd", "mse")
    message = r"x has 2 NaN or infinite value\(s\), the first is nan at \(2, 1\); drop or fill these samples"
    for call in (
        lambda: model.fit(x, y, verbose=0),
        lambda: model.fit(x, y, verbose=0, capture=False),
        lambda: model.train_on_batch(x, y),
        lambda: model.fit(iter([(x, y)]), verbose=0),
        lambda: model.fit(tr.data.Loader(x, y, shuffle=False), verbose=0),
    ):
        with pytest.raises(NonFiniteError, match=message):
            call()
    assert model.optimizer.steps == 0


@pytest.mark.parametrize("op", ["sqrt", "log", "div", "pow"])
def test_check_finite_of_ones_own_step_sees_the_gradient_too(op):
    """The loss was finite, and the update made every weight NaN."""
    rules = {
        "sqrt": lambda d: tr.sqrt(tr.mean(d * d)),
        "log": lambda d: tr.where(d > 0, tr.log(d), d).mean(),
        "div": lambda d: tr.where(d > 0, 1 / d, d).mean(),
        "pow": lambda d: ((d * d) ** 0.25).mean(),
    }
    w = tr.Parameter(np.ones((4, 2)), name="w")
    opt = tr.optim.SGD([w], lr=0.1)

    @tr.capture(check_finite=True)
    def step(x):
        loss = rules[op](w - x) + w.sum()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    step(np.zeros((4, 2)))  # the replay is what has to stop
    before = w.numpy()
    with pytest.raises(
        NonFiniteError, match=rf"the gradient must be finite, as the loss is; that of {op} is the first"
    ):
        step(before)
    assert np.array_equal(w.numpy(), before) and np.isfinite(before).all() and w.grad is None


@pytest.mark.parametrize("capture", [True, False])
def test_nan_in_the_samples_of_an_evaluation_is_said(capture):
    x, y = np.ones((8, 2)), np.zeros((8, 1))
    broken = x.copy()
    broken[5, 1] = np.nan
    model = tr.Sequential([tr.layers.Dense(1)])
    model.compile("sgd", "mse")
    end = r"the loss must be finite; got nan; x has 1 NaN or infinite value\(s\), the first is nan at \(5, 1\)"
    with pytest.raises(NonFiniteError, match=rf"\[evaluate\] {end}"):
        model.evaluate(broken, y, capture=capture)
    with pytest.raises(NonFiniteError, match=rf"\[fit: validation_data\] {end}"):
        model.fit(x, y, validation_data=(broken, y), verbose=0, capture=capture)


@pytest.mark.parametrize("option", ["clipnorm", "clipvalue"])
def test_a_limit_of_0_is_not_no_limit(option):
    with pytest.raises(ArgumentError, match=rf"\[SGD\] tinyres has no option {option}; got 0; "):
        tr.keras.optimizers.SGD(**{option: 0})
