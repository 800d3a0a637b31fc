"""Blocks that the experiments compare and nobody should build on: skips scaled, gated, projected or dropped, and
activations in every place.

Each is a function of (x, units), as the presets are. Source of the two tables: He et al., "Identity mappings in deep
residual networks" (2016), tables 1 and 2, with convolutions replaced by Dense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres.layers.activation import Activation, ReLU
from tinyres.layers.blocks import he2015, preact
from tinyres.layers.dense import Dense
from tinyres.layers.dropout import Dropout
from tinyres.layers.merge import Add, Multiply
from tinyres.layers.norm import BatchNorm
from tinyres.nn.initializers import Constant

Block = Callable[[Any, int], Any]


def _dense(x: Any, units: int) -> Any:
    return Dense(units, kernel_initializer="he_normal")(x)


def _branch(x: Any, units: int) -> Any:
    """Dense → BN → ReLU → Dense → BN: the branch of 2015."""
    return BatchNorm()(_dense(ReLU()(BatchNorm()(_dense(x, units))), units))


def plain_he2015(x: Any, units: int) -> Any:
    """Dense → BN → ReLU, twice: he2015 without its Add."""
    return ReLU()(_branch(x, units))


def single_plain(x: Any, units: int) -> Any:
    """Dense → BN → ReLU: one layer of a plain net."""
    return ReLU()(BatchNorm()(_dense(x, units)))


def single_residual(x: Any, units: int) -> Any:
    """ReLU → Dense → Add: one layer in the branch, without BatchNorm."""
    return Add()([_dense(ReLU()(x), units), x])


def single_preact(x: Any, units: int) -> Any:
    """BN → ReLU → Dense → Add: one layer in the branch."""
    return Add()([_dense(ReLU()(BatchNorm()(x)), units), x])


def halved_preact(x: Any, units: int) -> Any:
    """preact whose skip is halved: the gradient over k skips is 2^-k of itself."""
    shortcut = x * 0.5
    x = _dense(ReLU()(BatchNorm()(x)), units)
    return Add()([_dense(ReLU()(BatchNorm()(x)), units), shortcut])


def zero_preact(x: Any, units: int) -> Any:
    """preact whose last Dense starts at 0, so that the block starts as the identity."""
    branch = _dense(ReLU()(BatchNorm()(x)), units)
    return Add()([Dense(units, kernel_initializer="zeros")(ReLU()(BatchNorm()(branch))), x])


def half_skip(x: Any, units: int) -> Any:
    """0.5 x + F(x)."""
    return ReLU()(Add()([_branch(x, units), x * 0.5]))


def half_skip_half_branch(x: Any, units: int) -> Any:
    """0.5 x + 0.5 F(x)."""
    return ReLU()(Add()([_branch(x, units) * 0.5, x * 0.5]))


def exclusive_gate(x: Any, units: int) -> Any:
    """(1 - g(x)) x + g(x) F(x), with a gate that starts nearly closed, as highway networks have it."""
    gate = Activation("sigmoid")(Dense(units, bias_initializer=Constant(-6.0), name="gate")(x))
    return ReLU()(Add()([Multiply()([_branch(x, units), gate]), Multiply()([x, 1.0 - gate])]))


def shortcut_gate(x: Any, units: int) -> Any:
    """(1 - g(x)) x + F(x), with a gate that starts half open."""
    gate = Activation("sigmoid")(Dense(units, name="gate")(x))
    return ReLU()(Add()([_branch(x, units), Multiply()([x, 1.0 - gate])]))


def projection(x: Any, units: int) -> Any:
    """W x + F(x): a 1×1 convolution on every skip."""
    return ReLU()(Add()([_branch(x, units), Dense(units, name="projection")(x)]))


def dropped_skip(x: Any, units: int) -> Any:
    """dropout(x, 0.5) + F(x)."""
    return ReLU()(Add()([_branch(x, units), Dropout(0.5)(x)]))


def batchnorm_after_add(x: Any, units: int) -> Any:
    """Dense → BN → ReLU → Dense → Add → BN → ReLU."""
    branch = _dense(ReLU()(BatchNorm()(_dense(x, units))), units)
    return ReLU()(BatchNorm()(Add()([branch, x])))


def relu_before_add(x: Any, units: int) -> Any:
    """Dense → BN → ReLU → Dense → BN → ReLU → Add: the branch can only grow x."""
    return Add()([ReLU()(_branch(x, units)), x])


def relu_only_preact(x: Any, units: int) -> Any:
    """ReLU → Dense → BN → ReLU → Dense → BN → Add."""
    return Add()([_branch(ReLU()(x), units), x])


# name -> (block, test error in % of ResNet-110 on CIFAR-10, None where it did not converge: over 20%)
SHORTCUTS: dict[str, tuple[Block, float | None]] = {
    "identity": (he2015, 6.61),
    "0.5 skip, full branch": (half_skip, None),
    "0.5 skip, 0.5 branch": (half_skip_half_branch, 12.35),
    "exclusive gate": (exclusive_gate, 8.70),
    "shortcut-only gate": (shortcut_gate, 12.86),
    "1x1 projection": (projection, 12.22),
    "dropout 0.5": (dropped_skip, None),
    "no skip": (plain_he2015, None),
}

# name -> (block, test error in % of ResNet-110 on CIFAR-10)
ACTIVATION_ORDERS: dict[str, tuple[Block, float]] = {
    "original (ReLU after Add)": (he2015, 6.61),
    "BN after Add": (batchnorm_after_add, 8.17),
    "ReLU before Add": (relu_before_add, 7.84),
    "ReLU-only pre-activation": (relu_only_preact, 6.71),
    "full pre-activation": (preact, 6.37),
}
