"""Nets with one bug of structure each, and the node that lint has to name; and nets that are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks as presets
from tinyres.measure.graph import Graph


@dataclass(frozen=True)
class Planted:
    """A net, the rule that finds what is wrong in it, and the end of the name of the node."""

    name: str
    graph: Callable[[], Graph]
    rule: str
    node: str


class Own(layers.Layer):
    """A layer of one's own around a function."""

    def __init__(self, function: Callable[[tr.Tensor], tr.Tensor], name: str | None = None) -> None:
        super().__init__(name)
        self.function = function

    def call(self, x: tr.Tensor) -> tr.Tensor:
        return self.function(x)


class LayerNorm(layers.Layer):
    """Mean 0 and standard deviation 1 over the features, with weights."""

    def build(self, input_shape: Any) -> None:
        self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(input_shape[-1],), initializer="zeros")

    def call(self, x: tr.Tensor) -> tr.Tensor:
        return layer_norm(x) * self.gamma + self.beta


def layer_norm(x: tr.Tensor) -> tr.Tensor:
    centred = x - tr.mean(x, axis=-1, keepdims=True)
    return centred / tr.sqrt(tr.mean(tr.square(centred), axis=-1, keepdims=True) + 1e-5)


def without_gradient(x: tr.Tensor) -> tr.Tensor:
    with tr.no_grad():
        return x * 1.0


def same_value(name: str, vjp: Callable[[tr.Tensor], tr.Tensor]) -> Callable[[tr.Tensor], tr.Tensor]:
    """An op of one's own that is the identity in its value; what it sends back is another thing."""
    return tr.custom_vjp(lambda x: x * 1.0, lambda g, ctx: (vjp(g),), name=f"planted_{name}")


ONLY_THE_GRADIENT = {
    name: same_value(name, vjp)
    for name, vjp in {
        "halved gradient": lambda g: g * 0.5,
        "reversed gradient": lambda g: -g,
        "reversed and doubled gradient": lambda g: g * -2.0,
        "rolled gradient": lambda g: tr.concatenate([g[:, 1:], g[:, :1]], axis=1),
        "clipped gradient": lambda g: tr.clip(g, -1e-3, 1e-3),
        "no gradient": lambda g: g * 0.0,
    }.items()
}


ON_THE_SKIP: dict[str, Callable[[tr.Tensor], tr.Tensor]] = {
    "tanh": tr.tanh,
    "sigmoid": tr.sigmoid,
    "clip": lambda x: tr.clip(x, -0.5, 0.5),
    "abs": tr.abs,
    "neg": lambda x: -x,
    "maximum": lambda x: tr.maximum(x, 0.0),
    "layer_norm": layer_norm,
    "mean_centring": lambda x: x - tr.mean(x, axis=-1, keepdims=True),
    "rolled": lambda x: tr.concatenate([x[:, 1:], x[:, :1]], axis=1),
    "where": lambda x: tr.where(x > 0.0, x, 0.1 * x),
    "halved": lambda x: x * 0.5,
    "square": tr.square,
    "exp": tr.exp,
    "shifted": lambda x: x + 1.0,
    "softmax": tr.softmax,
    "relu": tr.relu,
    "gelu": tr.gelu,
    "silu": lambda x: x * tr.sigmoid(x),
    "rms_norm": lambda x: x / tr.sqrt(tr.mean(tr.square(x), axis=-1, keepdims=True)),
}
CUT: dict[str, Callable[[tr.Tensor], tr.Tensor]] = {
    "detach": lambda x: x.detach(),
    "no_grad": without_gradient,
    "scaled and detached": lambda x: (x * 1.01).detach(),
    "negated and detached": lambda x: (-x).detach(),
    "tanh and detached": lambda x: tr.tanh(x).detach(),
    "normalised and detached": lambda x: layer_norm(x).detach(),
    "detached and shifted": lambda x: x.detach() + 1.0,
}


def branch(x: Any, units: int, norm: bool) -> Any:
    """Two Dense, with BatchNorm or without."""
    for _ in range(2):
        x = layers.Dense(units, kernel_initializer="he_normal")(layers.ReLU()(layers.BatchNorm()(x) if norm else x))
    return x


def graph_of(
    block: Callable[[Any, int, int], Any],
    depth: int = 6,
    width: int = 16,
    batch: int = 32,
    scale: float = 1.0,
    scoped: bool = True,
    stem: bool = True,
) -> Callable[[], Graph]:
    """The graph of a classifier; block(x, units, i) makes block number i."""

    def made() -> Graph:
        tr.manual_seed(0)
        rng = np.random.default_rng(0)
        inputs = x = tr.Input(shape=(12 if stem else width,))
        if stem:
            x = layers.Dense(width, name="stem")(x)
        for i in range(depth):
            if scoped:
                with tr.name_scope(f"block{i}"):
                    x = block(x, width, i)
            else:
                x = block(x, width, i)
        model = tr.Model(inputs, layers.Dense(4, activation="softmax", name="head")(x))
        model.compile(loss="sparse_categorical_crossentropy")
        data = scale * rng.standard_normal((batch, *inputs.shape[1:]))
        return model.graph(data, rng.integers(0, 4, batch))

    return made


Block = Callable[[Any, int], Any]


def only_at(at: int, odd: Block, usual: Block) -> Callable[[Any, int, int], Any]:
    return lambda x, units, i: (odd if i == at else usual)(x, units)


def planted_bugs() -> Iterator[Planted]:
    """At least 50."""
    for norm in (False, True):
        for name, change in ON_THE_SKIP.items():

            def odd(x: Any, units: int, norm: bool = norm, change: Any = change) -> Any:
                return layers.Add()([branch(x, units, norm), Own(change, name="odd")(x)])

            def usual(x: Any, units: int, norm: bool = norm) -> Any:
                return layers.Add()([branch(x, units, norm), x])

            at = 2 if norm else 0
            yield Planted(f"{name} on the skip, norm {norm}", graph_of(only_at(at, odd, usual)), "skip-path", "/odd")
        for name, cut in CUT.items():

            def odd_cut(x: Any, units: int, norm: bool = norm, cut: Any = cut) -> Any:
                return layers.Add(name="add")([branch(x, units, norm), Own(cut, name="odd")(x)])

            graph = graph_of(only_at(3, odd_cut, usual))
            yield Planted(f"{name} on the skip, norm {norm}", graph, "detached-skip", "block3/add")

    for name, own in ONLY_THE_GRADIENT.items():

        def odd_gradient(x: Any, units: int, own: Any = own) -> Any:
            before = Own(same_value("same", lambda g: g), name="same")(x)
            return layers.Add()([branch(x, units, True), Own(lambda h: h - 0.0)(Own(own, name="odd")(before))])

        yield Planted(name, graph_of(only_at(1, odd_gradient, usual)), "skip-path", "/odd")
    yield Planted(
        "LayerNorm with weights",
        graph_of(only_at(1, lambda x, u: layers.Add()([branch(x, u, True), LayerNorm(name="odd")(x)]), usual)),
        "skip-path", "/odd",
    )  # fmt: skip
    for preset in ("residual", "tutorial", "he2015", "preact", "preact_plain"):
        for at in (0, 3):
            for scoped in (True, False) if at else (True,):
                yield Planted(
                    f"{preset} without its Add at {at}, scoped {scoped}",
                    graph_of(only_at(at, without_add(preset), presets.PRESETS[preset]), scoped=scoped),
                    "missing-skip", f"block{at}/" if scoped else "",
                )  # fmt: skip
    yield Planted("unscaled", graph_of(lambda x, u, i: usual(x, u), scale=1000.0), "unscaled-input", "input")


def without_add(preset: str) -> Callable[[Any, int], Any]:
    """The preset, its Add replaced by the branch alone."""

    def block(x: Any, units: int) -> Any:
        genuine = presets.Add
        presets.Add = lambda: lambda inputs: next(t for t in inputs if t is not x)  # type: ignore[assignment, misc]
        try:
            return presets.PRESETS[preset](x, units)
        finally:
            presets.Add = genuine  # type: ignore[misc]

    return block
