"""Block presets: the residual blocks that the literature compares, each a function of (x, units).

They differ in one thing at a time, which is what a comparison of gradients needs. Each ends with x's shape, so blocks
stack; `units` must equal the width of x wherever there is an Add.

Sources: He et al. 2015 (arXiv:1512.03385), He et al. 2016 (arXiv:1603.05027), De & Smith 2020 (arXiv:2002.10444,
SkipInit), Bachlechner et al. 2020 (arXiv:2003.04887, ReZero).

activation: what stands where the paper has a ReLU. join: what makes one of a branch and its skip, join(branch, skip),
where something else than an Add shall.

Of images: basic, bottleneck, preact_basic, preact_bottleneck, functions of (x, filters, strides). Where the shape
changes the skip is a projection, a 1 x 1 convolution. 3 x 3 convolutions have zeros on all four sides, always.

Of sequences: transformer_pre, transformer_post, transformer_deepnorm, transformer_rezero, functions of (x, heads).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinyres.errors import closed
from tinyres.layers.activation import Activation, ReLU
from tinyres.layers.conv import Conv2D
from tinyres.layers.dense import Dense
from tinyres.layers.merge import Add
from tinyres.layers.norm import BatchNorm
from tinyres.layers.scaling import Scale
from tinyres.layers.transformer import transformer_deepnorm, transformer_post, transformer_pre, transformer_rezero

__all__ = [
    "Scale",
    "basic",
    "bottleneck",
    "he2015",
    "plain",
    "plain_batchnorm",
    "preact",
    "preact_basic",
    "preact_bottleneck",
    "preact_plain",
    "residual",
    "rezero",
    "skipinit",
    "transformer_deepnorm",
    "transformer_post",
    "transformer_pre",
    "transformer_rezero",
    "tutorial",
]

Join = Callable[[Any, Any], Any]  # of a branch and its skip


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)


def plain(x: Any, units: int, kernel_initializer: Any = "glorot_uniform", activation: str = "relu") -> Any:
    """Dense+ReLU → Dense → ReLU: what explainers call a plain net.

    x: (n, features), a Tensor or symbolic; gives (n, units). kernel_initializer, activation: of its layers.

    >>> import tinyres as tr
    >>> tr.layers.blocks.plain(tr.Input(shape=(8,)), 16).shape
    (None, 16)
    """
    x = Dense(units, activation=activation, kernel_initializer=kernel_initializer)(x)
    return _active(Dense(units, kernel_initializer=kernel_initializer)(x), activation)


def residual(
    x: Any, units: int, kernel_initializer: Any = "glorot_uniform", activation: str = "relu", join: Join | None = None
) -> Any:
    """`plain` with an Add before the last ReLU, and nothing else changed.

    x: (n, units), for it is the skip, too; gives (n, units). kernel_initializer, activation: of its layers.
    join(branch, skip): what joins them, Add if left out.

    >>> import tinyres as tr
    >>> tr.layers.blocks.residual(tr.Input(shape=(16,)), 16).shape
    (None, 16)
    """
    shortcut = x
    x = Dense(units, activation=activation, kernel_initializer=kernel_initializer)(x)
    x = Dense(units, kernel_initializer=kernel_initializer)(x)
    return _active(_joined(x, shortcut, join), activation)


def plain_batchnorm(x: Any, units: int, kernel_initializer: Any = "glorot_uniform", activation: str = "relu") -> Any:
    """`tutorial` without its Add: Dense+ReLU → BN → Dense → BN → ReLU.

    x: (n, features), a Tensor or symbolic; gives (n, units). kernel_initializer, activation: of its layers.

    >>> import tinyres as tr
    >>> tr.layers.blocks.plain_batchnorm(tr.Input(shape=(8,)), 16).shape
    (None, 16)
    """
    x = BatchNorm()(Dense(units, activation=activation, kernel_initializer=kernel_initializer)(x))
    x = BatchNorm()(Dense(units, kernel_initializer=kernel_initializer)(x))
    return _active(x, activation)


def tutorial(
    x: Any, units: int, kernel_initializer: Any = "glorot_uniform", activation: str = "relu", join: Join | None = None
) -> Any:
    """Dense+ReLU → BN → Dense → BN → Add → ReLU: the block of many Keras tutorials.

    x: (n, units), for it is the skip, too; gives (n, units). kernel_initializer, activation: of its layers.
    join(branch, skip): what joins them, Add if left out.

    >>> import tinyres as tr
    >>> tr.layers.blocks.tutorial(tr.Input(shape=(16,)), 16).shape
    (None, 16)
    """
    shortcut = x
    x = BatchNorm()(Dense(units, activation=activation, kernel_initializer=kernel_initializer)(x))
    x = BatchNorm()(Dense(units, kernel_initializer=kernel_initializer)(x))
    return _active(_joined(x, shortcut, join), activation)


def he2015(
    x: Any, units: int, kernel_initializer: Any = "he_normal", activation: str = "relu", join: Join | None = None
) -> Any:
    """Dense → BN → ReLU → Dense → BN → Add → ReLU (He et al. 2015).

    x: (n, units), for it is the skip, too; gives (n, units). kernel_initializer, activation: of its layers.
    join(branch, skip): what joins them, Add if left out.

    >>> import tinyres as tr
    >>> tr.layers.blocks.he2015(tr.Input(shape=(16,)), 16).shape
    (None, 16)
    """
    shortcut = x
    x = _active(BatchNorm()(Dense(units, kernel_initializer=kernel_initializer)(x)), activation)
    x = BatchNorm()(Dense(units, kernel_initializer=kernel_initializer)(x))
    return _active(_joined(x, shortcut, join), activation)


def preact(
    x: Any, units: int, kernel_initializer: Any = "he_normal", activation: str = "relu", join: Join | None = None
) -> Any:
    """BN → ReLU → Dense → BN → ReLU → Dense → Add: full pre-activation (He et al. 2016).

    x: (n, units), for it is the skip, too; gives (n, units). kernel_initializer, activation: of its layers.
    join(branch, skip): what joins them, Add if left out.

    >>> import tinyres as tr
    >>> tr.layers.blocks.preact(tr.Input(shape=(16,)), 16).shape
    (None, 16)
    """
    shortcut = x
    x = Dense(units, kernel_initializer=kernel_initializer)(_active(BatchNorm()(x), activation))
    x = Dense(units, kernel_initializer=kernel_initializer)(_active(BatchNorm()(x), activation))
    return _joined(x, shortcut, join)


def preact_plain(
    x: Any, units: int, kernel_initializer: Any = "he_normal", activation: str = "relu", join: Join | None = None
) -> Any:
    """ReLU → Dense → ReLU → Dense → Add: pre-activation without BatchNorm; explodes by √2 per block.

    x: (n, units), for it is the skip, too; gives (n, units). kernel_initializer, activation: of its layers.
    join(branch, skip): what joins them, Add if left out.

    >>> import tinyres as tr
    >>> tr.layers.blocks.preact_plain(tr.Input(shape=(16,)), 16).shape
    (None, 16)
    """
    return _joined(_branch(x, units, kernel_initializer, activation), x, join)


def rezero(
    x: Any, units: int, kernel_initializer: Any = "he_normal", activation: str = "relu", join: Join | None = None
) -> Any:
    """ReLU → Dense → ReLU → Dense → α· → Add with a learned α that starts at 0 (Bachlechner et al. 2020).

    x: (n, units), for it is the skip, too; gives (n, units). kernel_initializer, activation: of its layers.
    join(branch, skip): what joins them, Add if left out.

    >>> import tinyres as tr
    >>> tr.layers.blocks.rezero(tr.Input(shape=(16,)), 16).shape
    (None, 16)
    """
    return _joined(Scale("zeros")(_branch(x, units, kernel_initializer, activation)), x, join)


def skipinit(
    x: Any,
    units: int,
    depth: int,
    kernel_initializer: Any = "he_normal",
    activation: str = "relu",
    join: Join | None = None,
) -> Any:
    """ReLU → Dense → ReLU → Dense → ·1/√depth → Add: a branch scale for `depth` blocks (De & Smith 2020).

    x: (n, units), for it is the skip, too; gives (n, units). kernel_initializer, activation: of its layers.
    join(branch, skip): what joins them, Add if left out.

    >>> import tinyres as tr
    >>> tr.layers.blocks.skipinit(tr.Input(shape=(16,)), 16, depth=24).shape
    (None, 16)
    """
    return _joined(_branch(x, units, kernel_initializer, activation) * (1.0 / math.sqrt(depth)), x, join)


def _branch(x: Any, units: int, kernel_initializer: Any, activation: str) -> Any:
    x = Dense(units, kernel_initializer=kernel_initializer)(_active(x, activation))
    return Dense(units, kernel_initializer=kernel_initializer)(_active(x, activation))


def _active(x: Any, activation: str) -> Any:
    return (ReLU() if activation == "relu" else Activation(activation))(x)


def _joined(branch: Any, shortcut: Any, join: Join | None) -> Any:
    return Add()([branch, shortcut]) if join is None else join(branch, shortcut)


def basic(x: Any, filters: int, strides: int = 1, residual: bool = True) -> Any:
    """3×3 → BN → ReLU → 3×3 → BN → Add → ReLU (He et al. 2015). residual=False: without the Add.

    x: (n, height, width, channels); gives (n, height / strides, width / strides, filters), with a projection on the
    skip where that is another shape.

    >>> import tinyres as tr
    >>> tr.layers.blocks.basic(tr.Input(shape=(8, 8, 4)), 4, strides=2).shape
    (None, 4, 4, 4)
    """
    y = _normalised(_convolved(x, filters, 3, strides), relu=True)
    y = _normalised(_convolved(y, filters, 3))
    return ReLU()(Add()([y, _shortcut(x, filters, strides)]) if residual else y)


def bottleneck(x: Any, filters: int, strides: int = 1, residual: bool = True) -> Any:
    """1×1 → BN → ReLU → 3×3 → BN → ReLU → 1×1 to 4 · filters → BN → Add → ReLU (He et al. 2015), strides in the 3×3.

    x: (n, height, width, channels); gives (n, height / strides, width / strides, 4 · filters), with a projection on the
    skip where that is another shape.

    >>> import tinyres as tr
    >>> tr.layers.blocks.bottleneck(tr.Input(shape=(8, 8, 4)), 4, strides=2).shape
    (None, 4, 4, 16)
    """
    y = _normalised(_convolved(x, filters, 1), relu=True)
    y = _normalised(_convolved(y, filters, 3, strides), relu=True)
    y = _normalised(_convolved(y, 4 * filters, 1))
    return ReLU()(Add()([y, _shortcut(x, 4 * filters, strides)]) if residual else y)


def preact_basic(x: Any, filters: int, strides: int = 1, residual: bool = True) -> Any:
    """BN → ReLU → 3×3 → BN → ReLU → 3×3 → Add (He et al. 2016); a projection starts behind the first ReLU.

    x: (n, height, width, channels); gives (n, height / strides, width / strides, filters), with a projection on the
    skip where that is another shape.

    >>> import tinyres as tr
    >>> tr.layers.blocks.preact_basic(tr.Input(shape=(8, 8, 4)), 4, strides=2).shape
    (None, 4, 4, 4)
    """
    first = _normalised(x, relu=True)
    y = _normalised(_convolved(first, filters, 3, strides), relu=True)
    y = _convolved(y, filters, 3)
    return Add()([y, _preact_shortcut(x, first, filters, strides)]) if residual else y


def preact_bottleneck(x: Any, filters: int, strides: int = 1, residual: bool = True) -> Any:
    """BN → ReLU → 1×1 → BN → ReLU → 3×3 → BN → ReLU → 1×1 to 4 · filters → Add (He et al. 2016).

    x: (n, height, width, channels); gives (n, height / strides, width / strides, 4 · filters), with a projection on the
    skip where that is another shape.

    >>> import tinyres as tr
    >>> tr.layers.blocks.preact_bottleneck(tr.Input(shape=(8, 8, 4)), 4, strides=2).shape
    (None, 4, 4, 16)
    """
    first = _normalised(x, relu=True)
    y = _normalised(_convolved(first, filters, 1), relu=True)
    y = _normalised(_convolved(y, filters, 3, strides), relu=True)
    y = _convolved(y, 4 * filters, 1)
    return Add()([y, _preact_shortcut(x, first, 4 * filters, strides)]) if residual else y


def _convolved(x: Any, filters: int, size: int, strides: int = 1) -> Any:
    return Conv2D(filters, size, strides, size // 2, use_bias=False, kernel_initializer="he_normal")(x)


def _normalised(x: Any, relu: bool = False) -> Any:
    x = BatchNorm(momentum=0.9, epsilon=1e-5)(x)
    return ReLU()(x) if relu else x


def _changes(x: Any, filters: int, strides: int) -> bool:
    return bool(strides != 1 or x.shape[-1] != filters)


def _shortcut(x: Any, filters: int, strides: int) -> Any:
    return _normalised(_convolved(x, filters, 1, strides)) if _changes(x, filters, strides) else x


def _preact_shortcut(x: Any, first: Any, filters: int, strides: int) -> Any:
    return _convolved(first, filters, 1, strides) if _changes(x, filters, strides) else x


PRESETS: dict[str, Callable[..., Any]] = {
    "plain": plain,
    "residual": residual,
    "plain_batchnorm": plain_batchnorm,
    "tutorial": tutorial,
    "he2015": he2015,
    "preact": preact,
    "preact_plain": preact_plain,
    "rezero": rezero,
    "skipinit": skipinit,
}
