"""What is changed on a model between and within fits: captured training follows it as eager does, or says no."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError

X = np.random.default_rng(0).normal(size=(24, 4)).astype("f4")
Y = np.random.default_rng(1).normal(size=(24, 2)).astype("f4")


def net(dropout: float = 0.0) -> tr.Model:
    tr.manual_seed(1)
    model = tr.Sequential(
        [tr.Input(shape=(4,)), layers.Dense(5), layers.BatchNorm(), layers.Dropout(dropout), layers.Dense(2)]
    )
    model.compile(tr.optim.Adam(lr=0.05), "mse")
    return model


class Do(tr.callbacks.Callback):
    """Runs a function of the model behind these batches, counted over all epochs."""

    def __init__(self, **actions: Callable[[tr.Model], None]) -> None:
        self.actions, self.count = actions, 0

    def on_batch_end(self, batch: int, logs: Any) -> None:
        self.count += 1
        action = self.actions.get(f"batch{self.count}")
        if action is not None:
            action(self.model)


def freeze(value: bool, *positions: int) -> Callable[[tr.Model], None]:
    def change(model: tr.Model) -> None:
        for i in positions:
            model.layers[i].trainable = value

    return change


def assert_captured_as_eager(dropout: float = 0.0, **actions: Callable[[tr.Model], None]) -> None:
    found = []
    for captured in (False, True):
        model = net(dropout)
        history = model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[Do(**actions)], capture=captured)
        found.append([*history.history["loss"], *[w.tobytes() for w in model.get_weights()]])
    assert found[0] == found[1]


def positions(model: tr.Model) -> dict[str, int]:
    return {type(layer).__name__: i for i, layer in enumerate(model.layers)}


def test_weights_frozen_and_freed_within_an_epoch_stand_and_move() -> None:
    first = positions(net())["BatchNormalization"] - 1
    assert_captured_as_eager(batch2=freeze(False, first), batch5=freeze(True, first), batch8=freeze(False, first))


def test_statistics_frozen_within_an_epoch_stand() -> None:
    norm = positions(net())["BatchNormalization"]
    assert_captured_as_eager(batch2=freeze(False, norm), batch9=freeze(True, norm))


def test_what_a_layer_is_told_is_followed() -> None:
    drop = positions(net())["Dropout"]

    def double(model: tr.Model) -> None:
        model.layers[drop].rate = 0.5

    assert_captured_as_eager(dropout=0.25, batch3=double)


def test_a_step_of_ones_own_follows_trainable() -> None:
    def run(wrap: Callable[[Any], Any]) -> list[bytes]:
        model = net()
        opt = tr.optim.SGD(model.parameters(), lr=0.1)

        def step(x: tr.Tensor, y: tr.Tensor) -> None:
            loss = tr.losses.mse(model(x, training=True), y)
            opt.zero_grad()
            loss.backward()
            opt.step()

        stepped = wrap(step)
        seen = []
        for i in range(8):
            model.layers[-1].trainable = i % 4 < 2
            model.get_layer("batch_normalization").trainable = i % 3 != 1
            stepped(tr.tensor(X), tr.tensor(Y))
            seen += [w.tobytes() for w in model.get_weights()]
        return seen

    assert run(tr.capture) == run(lambda step: step)


def test_a_parameter_that_is_replaced_is_used_by_captured_steps() -> None:
    def run(wrap: Callable[[Any], Any]) -> list[Any]:
        model = net()

        def step(x: tr.Tensor) -> tr.Tensor:
            loss = model(x).sum()
            loss.backward()
            return loss

        stepped = wrap(step)
        seen = [stepped(tr.tensor(X)).item()]
        model.layers[-1].kernel = tr.Parameter(np.ones((5, 2)), "kernel")
        seen.append(stepped(tr.tensor(X)).item())
        return [*seen, model.layers[-1].kernel.grad.numpy().tolist()]

    assert run(tr.capture) == run(lambda step: step)


@pytest.mark.parametrize("train", ["fit", "train_on_batch"])
def test_a_parameter_replaced_or_a_layer_added_after_compile_is_an_error_in_training(train: str) -> None:
    model = net()
    model.fit(X, Y, verbose=0)
    model.layers[-1].kernel = tr.Parameter(np.ones((5, 2)), "kernel")
    options = {"verbose": 0} if train == "fit" else {}
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(ArgumentError, match="weights that the model had when it was compiled.*call compile again"):
        getattr(model, train)(X, Y, **options)
    model.compile(tr.optim.Adam(lr=0.05), "mse")
    getattr(model, train)(X, Y, **options)
    assert not np.array_equal(model.layers[-1].kernel.numpy(), np.ones((5, 2)))
    added = net()
    added.add(layers.Dense(2))
    with pytest.raises(ArgumentError, match="was added, replaced or taken away"):
        getattr(added, train)(X, Y, **options)


def test_compile_in_a_callback_is_an_error() -> None:
    model = net()

    def compile_anew(model: tr.Model) -> None:
        model.compile("sgd", "mae")

    with pytest.raises(ArgumentError, match=r"\[fit\] the model was compiled or connected anew while fit was running"):
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[Do(batch3=compile_anew)])
    model.fit(X, Y, verbose=0)
