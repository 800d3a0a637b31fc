"""Bugs planted in a small residual net of images are named, and so is nothing in the net without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from image_nets import compiled, images

import tinyres as tr
from tinyres import layers
from tinyres.measure.graph import Graph


def branch(x: Any, norm: bool = True) -> Any:
    for relu in (True, False):
        x = layers.Conv2D(4, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.BatchNormalization()(x) if norm else x
        x = layers.ReLU()(x) if relu else x
    return x


def right(x: Any) -> Any:
    return layers.ReLU()(layers.Add()([branch(x), x]))


class Detached(layers.Layer):
    def call(self, x: tr.Tensor) -> tr.Tensor:
        return x.detach()


BUGS: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "missing skip": (lambda x: layers.ReLU()(branch(x)), "missing-skip", "block2/"),
    "doubled skip": (lambda x: layers.ReLU()(layers.Add()([branch(x), x, x])), "double-skip", "block2/add"),
    "detached skip": (lambda x: layers.ReLU()(layers.Add()([branch(x), Detached()(x)])), "detached-skip", "block2/add"),
    "ReLU on the skip": (
        lambda x: layers.ReLU()(layers.Add()([branch(x), layers.ReLU()(x)])), "skip-path", "block2/",
    ),
    "BatchNorm on the skip": (
        lambda x: layers.ReLU()(layers.Add()([branch(x), layers.BatchNormalization()(x)])), "skip-path", "block2/",
    ),
    "pooling on the skip": (
        lambda x: layers.ReLU()(layers.Add()([branch(x), layers.AveragePooling2D(3, 1, "same")(x)])),
        "skip-path",
        "block2/",
    ),
    "no BatchNorm in one block": (
        lambda x: layers.ReLU()(layers.Add()([branch(x, norm=False), x])), "missing-norm", "block2/conv2d_1",
    ),
    "a row of pixels broadcast": (
        lambda x: layers.ReLU()(branch(x) + x[:, :1]), "broadcast", "block2/",
    ),
}  # fmt: skip


def net(odd: Callable[[Any], Any]) -> Graph:
    tr.manual_seed(0)
    inputs = x = tr.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(x)))
    for i in range(5):
        with tr.name_scope(f"block{i}"):
            x = (odd if i == 2 else right)(x)
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return compiled(tr.Model(inputs, outputs)).graph(*images(32, 8))


def test_the_right_net_is_left_alone() -> None:
    assert net(right).lint() == ()


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_named(name: str) -> None:
    odd, rule, node = BUGS[name]
    found = net(odd).lint()
    assert [f.rule for f in found] == [rule] and found[0].node.startswith(node), str(found)
