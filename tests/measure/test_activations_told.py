"""Facts and laws of activations: leaky ReLU, GELU, SiLU, ELU, PReLU, and a Swish of one's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.trace.facts import Facts
from tinyres.trace.flow import theory_of

DATA = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")
LABELS = np.arange(256) % 10


def traced(block: Callable) -> tr.Trace:
    """A trace of three such blocks."""
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(64,))
    for i in range(3):
        with tr.name_scope(f"block{i}"):
            x = block(x)
    model = tr.Model(inputs, layers.Dense(10, activation="softmax")(x))
    return model.graph(DATA, LABELS, loss="sparse_categorical_crossentropy").trace()


ACTIVATIONS = {
    "leaky_relu": (layers.LeakyReLU(0.3), Facts(leaks=0.3, piecewise_linear=True)),
    "leaky ReLU that keeps nothing": (layers.LeakyReLU(0.0), Facts(rectifies=1, rectified=True, piecewise_linear=True)),
    "gelu": (layers.Activation("gelu"), Facts()),
    "silu": (layers.Activation("silu"), Facts()),
    "elu": (layers.Activation("elu"), Facts()),
    "prelu": (layers.PReLU(), None),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_facts_of_other_activations(name: str) -> None:
    activation, facts = ACTIVATIONS[name]
    x = tr.Input(shape=(64,))
    model = tr.Model(x, layers.Dense(10, activation="softmax")(activation(layers.Dense(64)(x))))
    node = model.graph(DATA, LABELS, loss="sparse_categorical_crossentropy").trace().nodes[2]
    assert node.facts == facts if facts else not node.facts.scales


class Swish(layers.Layer):
    """x · sigmoid(β x)."""

    def build(self, input_shape: object) -> None:
        self.beta = self.add_weight(name="beta", shape=(1,), initializer="ones")

    def call(self, x: tr.Tensor) -> tr.Tensor:
        return x * tr.sigmoid(self.beta * x)


def test_a_product_with_its_own_sigmoid_is_no_scale() -> None:
    trace = traced(lambda x: Swish()(layers.Dense(64)(x)))
    facts = trace["block0/swish"].facts
    assert not facts.scales and not facts.multiplies
    assert theory_of(trace) is None


def test_theory_of_leaky_relus() -> None:
    def block(x: tr.Tensor, slope: float) -> tr.Tensor:
        for _ in range(2):
            x = layers.LeakyReLU(slope)(layers.Dense(64, kernel_initializer="he_normal")(x))
        return x

    law = theory_of(traced(lambda x: block(x, 0.3)))
    assert law.net == "He and leaky ReLU 0.3" and law.rate == pytest.approx(1 + 0.3**2)
    for name in ("gelu", "silu", "elu", "selu"):
        assert theory_of(traced(lambda x, name=name: layers.Dense(64, activation=name)(x))) is None
