"""`weights` in Keras' order: by depth from the outputs, whatever was written first."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers


def projected(skip_first: bool):
    """Two Dense layers in the branch, a projection on the skip."""
    inputs = tr.Input(shape=(3,))

    def skip():
        return layers.Dense(5, name="skip")(inputs)

    def branch():
        return layers.Dense(5, name="second")(layers.Dense(4, activation="relu", name="first")(inputs))

    if skip_first:
        shortcut = skip()
        y = branch()
    else:
        y = branch()
        shortcut = skip()
    return tr.Model(inputs, layers.Add()([y, shortcut]))


@pytest.mark.parametrize("skip_first", [True, False])
def test_a_projection_on_the_skip_stands_by_its_depth(skip_first):
    model = projected(skip_first)
    assert [w.name for w in model.weights] == [
        f"{layer}/{weight}" for layer in ("first", "second", "skip") for weight in ("kernel", "bias")
    ]
    assert [w.shape for w in model.get_weights()] == [(3, 4), (4,), (4, 5), (5,), (3, 5), (5,)]


def test_weights_by_number_fit_however_the_net_was_written():
    tr.manual_seed(0)
    a, b = projected(True), projected(False)
    b.set_weights(a.get_weights())
    x = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_array_equal(a.predict(x), b.predict(x))
    assert list(a.named_weights()) == list(b.named_weights())


def test_a_skip_joined_first_stands_before_the_branch_of_its_depth():
    inputs = tr.Input(shape=(3,))
    y, shortcut = layers.Dense(3, name="branch")(inputs), layers.Dense(3, name="skip")(inputs)
    for order, names in (([y, shortcut], ["branch", "skip"]), ([shortcut, y], ["skip", "branch"])):
        model = tr.Model(inputs, layers.Add()(order))
        assert list(dict.fromkeys(w.name.split("/")[0] for w in model.weights)) == names


def test_a_shared_layer_stands_at_its_deepest_call():
    inputs = tr.Input(shape=(3,))
    shared, other = layers.Dense(3, name="shared"), layers.Dense(3, name="other")
    model = tr.Model(inputs, shared(other(shared(inputs))))
    assert list(model.named_weights()) == ["shared/kernel", "shared/bias", "other/kernel", "other/bias"]


@pytest.mark.slow
def test_order_of_a_net_of_a_thousand_layers_within_a_net():
    inputs = x = tr.Input(shape=(2,))
    for i in range(1000):
        x = layers.Dense(2, name=f"d{i}")(x)
    inner = tr.Model(inputs, x, name="inner")
    outer = tr.Input(shape=(2,))
    model = tr.Model(outer, layers.Dense(1, name="last")(inner(outer)))
    names = [w.name for w in model.weights]
    assert names[:2] == ["inner/d0/kernel", "inner/d0/bias"]
    assert names[-2:] == ["last/kernel", "last/bias"]
    assert len(names) == 2002
