"""The nets of the page: what describes one, and the model that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinyres import layers
from tinyres.engine.state import name_scope
from tinyres.errors import ArgumentError
from tinyres.layers.blocks import PRESETS
from tinyres.model import Model
from tinyres.nn.initializers import Constant
from tinyres.nn.operators import Input
from tinyres.ops.random import preserving_generator

WITHOUT_SKIPS = ("plain", "plain_batchnorm")
INITIALIZERS = ("glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform")
ACTIVATIONS = ("relu", "tanh", "sigmoid", "leaky_relu", "elu", "gelu", "silu", "softplus", "linear")
OPTIMIZERS = ("adam", "sgd")


class Choice(NamedTuple):
    """One of these words, or also none."""

    words: tuple[str, ...]
    none: bool = False

    def fits(self, value: Any) -> bool:
        return (type(value) is str and value in self.words) or (self.none and value is None)

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}{', or null' if self.none else ''}"


class Whole(NamedTuple):
    """A whole number from low to high."""

    low: int
    high: int

    def fits(self, value: Any) -> bool:
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


BOUNDS: Mapping[str, Choice | Whole] = {
    "block": Choice(tuple(PRESETS)),
    "blocks": Whole(1, 128),
    "units": Whole(2, 128),
    "features": Whole(1, 256),
    "classes": Whole(2, 32),
    "batch": Whole(2, 128),
    "optimizer": Choice(OPTIMIZERS),
    "initializer": Choice(INITIALIZERS, none=True),
    "activation": Choice(ACTIVATIONS),
}
MOST_WEIGHTS = 2_000_000  # what a page has memory and patience for


@dataclass(frozen=True)
class Net:
    """A net that classifies: Dense → `blocks` of a preset of tr.layers.blocks → Dense, and how it is trained.

    block: the preset. blocks, units: depth and width; features, classes, batch: the shape of the data. initializer:
    of all products, None: the preset's own. activation: in place of each ReLU. optimizer: "adam", or "sgd" with
    momentum 0.9. skips: False: the same net and weights with every skip left out.
    Raises ArgumentError for what is unknown or out of `BOUNDS`.
    """

    block: str = "residual"
    blocks: int = 16
    units: int = 64
    features: int = 64
    classes: int = 10
    batch: int = 64
    initializer: str | None = None
    activation: str = "relu"
    optimizer: str = "adam"
    skips: bool = True

    def __post_init__(self) -> None:
        problem = problem_of({name: getattr(self, name) for name in BOUNDS})
        if problem is None and type(self.skips) is not bool:
            problem = f"skips must be True or False; got {shown(self.skips)}; choose one"
        if problem is not None:
            raise ArgumentError(f"[net] {problem}")

    def build(self) -> Model:
        """The model. What it is built with is not drawn from the library's generator."""
        given: dict[str, Any] = {} if self.initializer is None else {"kernel_initializer": self.initializer}
        with preserving_generator():
            inputs = Input(shape=(self.features,))
            x = layers.Dense(self.units, name="stem", **given)(inputs)
            for i in range(self.blocks):
                with name_scope(f"block{i}"):
                    x = self._block(x, given)
            return Model(inputs, layers.Dense(self.classes, name="classes", **given)(x))

    def _block(self, x: Any, given: Mapping[str, Any]) -> Any:
        options: dict[str, Any] = {**given, "activation": self.activation}
        if self.block == "skipinit":
            options["depth"] = self.blocks
        if self.block not in WITHOUT_SKIPS:
            options["join"] = _weighed if self.skips else _branch_alone
        return PRESETS[self.block](x, self.units, **options)


def problem_of(values: Mapping[str, Any]) -> str | None:
    """What is wrong with values for all of `BOUNDS`, and what to do, in words; None where nothing is."""
    for name, bound in BOUNDS.items():
        if not bound.fits(values[name]):
            return f"{name} must be {bound}; got {shown(values[name])}; choose another"
    weights = weights_of(**{name: values[name] for name in ("blocks", "units", "features", "classes")})
    if weights > MOST_WEIGHTS:
        return (
            f"a net has at most {MOST_WEIGHTS:,} weights; got {values['blocks']} blocks of {values['units']} units, "
            f"{weights:,} weights; choose fewer, or narrower ones"
        )
    return None


def weights_of(blocks: int, units: int, features: int, classes: int) -> int:
    """How many weights a net has at most, BatchNorm's among them."""
    return units * (features + 1) + classes * (units + 1) + blocks * 2 * units * (units + 5)


def shown(value: Any) -> str:
    """A value as an error shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _weighed(branch: Any, skip: Any) -> Any:
    """branch · α + skip · λ, two numbers that are set and not learned."""
    alpha, strength = layers.Scale(Constant(1.0), name="branch"), layers.Scale(Constant(1.0), name="skip")
    alpha.trainable = strength.trainable = False
    return layers.Add()([alpha(branch), strength(skip)])


def _branch_alone(branch: Any, skip: Any) -> Any:
    alpha = layers.Scale(Constant(1.0), name="branch")
    alpha.trainable = False
    return alpha(branch)
