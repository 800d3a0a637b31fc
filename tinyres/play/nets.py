"""The nets of the page: what describes one, and the model that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
BOUNDS: Mapping[str, tuple[int, int]] = {
    "blocks": (1, 128),
    "units": (1, 256),
    "features": (1, 1024),
    "classes": (2, 100),
    "batch": (1, 1024),
}
MOST_WEIGHTS = 1 << 22  # of all blocks: what a page has memory and patience for


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
        for name, (least, most) in BOUNDS.items():
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
                raise ArgumentError(f"[net] {name} is an int in {least}..{most}; got {number!r:.60}; choose another")
        for name, known in (
            ("block", tuple(PRESETS)),
            ("initializer", (None, *INITIALIZERS)),
            ("activation", ACTIVATIONS),
            ("optimizer", OPTIMIZERS),
            ("skips", (True, False)),
        ):
            chosen = getattr(self, name)
            if not any(type(chosen) is type(one) and chosen == one for one in known):
                raise ArgumentError(
                    f"[net] {name} is one of {', '.join(map(str, known))}; got {chosen!r:.60}; choose one"
                )
        if 2 * self.blocks * self.units**2 > MOST_WEIGHTS:
            raise ArgumentError(
                f"[net] the blocks have {MOST_WEIGHTS:,} weights at most; got {self.blocks} blocks of {self.units} "
                "units; choose fewer, or narrower ones"
            )

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


def _weighed(branch: Any, skip: Any) -> Any:
    """branch · α + skip · λ, two numbers that are set and not learned."""
    alpha, strength = layers.Scale(Constant(1.0), name="branch"), layers.Scale(Constant(1.0), name="skip")
    alpha.trainable = strength.trainable = False
    return layers.Add()([alpha(branch), strength(skip)])


def _branch_alone(branch: Any, skip: Any) -> Any:
    alpha = layers.Scale(Constant(1.0), name="branch")
    alpha.trainable = False
    return alpha(branch)
