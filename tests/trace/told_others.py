"""More nets of known build: stages of several widths, other activations, conditions, cancellation, dead ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from told_nets import EXPLODES, VANISHES, Known, dense, net, normal

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks as presets
from tinyres.trace import Trace

Block = Callable[[Any], Any]


def chain(
    blocks: Sequence[Block], width: int = 64, batch: int = 128, seed: int = 0, scale: float = 1.0, scoped: bool = True
) -> Callable[[], Trace]:
    """A trace of these blocks in a row on white input."""

    def traced() -> Trace:
        tr.manual_seed(seed)
        rng = np.random.default_rng(seed)
        inputs = x = tr.Input(shape=(width,))
        for i, block in enumerate(blocks):
            if scoped:
                with tr.name_scope(f"block{i}"):
                    x = block(x)
            else:
                x = block(x)
        model = tr.Model(inputs, layers.Dense(10, activation="softmax", name="head")(x))
        model.compile(loss="sparse_categorical_crossentropy")
        data = scale * rng.standard_normal((batch, width))
        return model.graph(data, rng.integers(0, 10, batch)).trace(audit=False)

    return traced


def of_width(block: Callable[[Any, int], Any], units: int) -> Block:
    return lambda x: block(x, units)


def he_projection(units: int) -> Block:
    """The first block of a stage as He et al. 2015 build it, its skip projected."""

    def block(x: Any) -> Any:
        shortcut = layers.BatchNorm()(layers.Dense(units, kernel_initializer="he_normal")(x))
        h = layers.ReLU()(layers.BatchNorm()(layers.Dense(units, kernel_initializer="he_normal")(x)))
        h = layers.BatchNorm()(layers.Dense(units, kernel_initializer="he_normal")(h))
        return layers.ReLU()(layers.Add()([h, shortcut]))

    return block


def linear_projection(units: int) -> Block:
    return lambda x: layers.Dense(units, kernel_initializer="he_normal")(x)


def stages(first: Callable[[int], Block], block: Callable[[Any, int], Any], widths: Sequence[int], per: int) -> list:
    return [part for units in widths for part in [first(units), *[of_width(block, units)] * (per - 1)]]


def identity_branch(factor: float) -> Block:
    """x + factor · x, by a Dense."""

    def block(x: Any) -> Any:
        branch = layers.Dense(64, kernel_initializer=lambda shape: factor * np.eye(*shape))
        return layers.Add()([branch(x), x])

    return block


def through(function: Callable[[tr.Tensor], tr.Tensor], first: bool = True) -> Block:
    return lambda x: layers.Lambda(function)(layers.Dense(64)(x) if first else x)


def leaky(slope: float, initializer: str, count: int = 2) -> Callable[[Any, int], Any]:
    def block(x: Any, units: int) -> Any:
        for _ in range(count):
            x = layers.LeakyReLU(slope)(layers.Dense(units, kernel_initializer=initializer)(x))
        return x

    return block


def other_nets() -> Iterator[Known]:
    """All of them."""
    yield from _stages()
    yield from _small_inputs()
    yield from _cancelled_and_dead()
    yield from _activations()


def _known(name: str, trace: Callable[[], Trace], *rules: str, **words: Any) -> Known:
    return Known(name, trace, frozenset(rules), **words)


def _stages() -> Iterator[Known]:
    for widths in ((128, 64, 32), (32, 64, 128), (64, 128)):
        for per in (3, 6):
            name = f"{len(widths)} stages of {per} from {widths[0]}"
            yield _known(
                f"he2015, {name}", chain(stages(he_projection, presets.he2015, widths, per)),
                never=("explodes", "every block"),
            )  # fmt: skip
    plain = [of_width(presets.plain, units) for units in (128, 64, 32) for _ in range(6)]
    yield _known(
        "plain glorot, 3 stages", chain(plain), VANISHES,
        says=("from block1 to block6 the gradient vanishes", "from block7 to block12", "theory for Glorot and ReLU"),
    )  # fmt: skip
    yield _known(
        "residual no bn, 3 stages", chain(stages(linear_projection, presets.preact_plain, (128, 64, 32), 9)),
        EXPLODES, "loss",
        says=("from block1 to block9 the gradient explodes", "theory for He and ReLU, skips and no BatchNorm: x 1.41"),
    )  # fmt: skip
    funnel = [of_width(dense("glorot_uniform", count=1), 512 - 32 * i) for i in range(14)]
    yield _known("a funnel of plain layers", chain(funnel, 512), VANISHES, never=("theory",))


def _small_inputs() -> Iterator[Known]:
    for scale in (1e-2, 1e-3):
        yield _known(
            f"preact on inputs of {scale:g}", chain([of_width(presets.preact, 64)] * 16, scale=scale), "small-input",
            says=("one block stands out: through block0", "to normalise it multiplies its gradient"),
            never=("explodes", "in every block", "put BatchNorm", "power"),
        )  # fmt: skip
    yield _known("preact on inputs of 0.3", chain([of_width(presets.preact, 64)] * 16, scale=0.3), never=("explodes",))


def _cancelled_and_dead() -> Iterator[Known]:
    cancels = "what comes through the branch cancels what comes over the skip"
    for factor, shares in ((-0.95, "-19 and 20"), (-1.5, "3 and -2")):
        yield _known(
            f"branch {factor} x", chain([identity_branch(factor)] * 6), VANISHES,
            says=(cancels, f"their shares of it are {shares}"), never=("%) of", "2000%"),
        )  # fmt: skip
    yield _known(
        "one branch -0.95 x", chain([identity_branch(-0.95)]), "cancels",
        says=("skip and branch cancel in part: their shares of its gradient are 20 and -19",),
    )  # fmt: skip
    yield _known(
        "branch -x", chain([identity_branch(-1.0)] * 3), "no-gradient", says=("every unit of block0/add", "cancels")
    )
    yield _known("branch 2 x", chain([identity_branch(2.0)] * 6), EXPLODES, "loss", never=("cancel",))
    for name, block, cause in (
        ("relu of zero kernels", of_width(dense("zeros"), 64), "every unit of block0/dense"),
        ("tanh of zero kernels", of_width(dense("zeros", "tanh"), 64), "for its kernel is 0"),
        ("sign", through(tr.sign), "block3/lambda"),
        ("clip far off", through(lambda x: tr.clip(x, 10.0, 11.0)), "passes none back to block0/dense"),
        ("times 0", through(lambda x: x * 0.0), "every unit of block0/lambda"),
        ("gelu far below", through(lambda x: tr.gelu(x - 50.0)), "every unit of block0/lambda"),
    ):
        yield _known(
            name, chain([block] * 4), "no-gradient", says=("no gradient at all reaches block0", cause),
            never=("before the loss",),
        )  # fmt: skip
    broken = [*[of_width(presets.he2015, 64)] * 2, through(lambda x: tr.log(x - 9.0)), of_width(presets.he2015, 64)]
    yield _known("log of what is negative", chain(broken), "not-finite", says=("from block2/lambda",))
    root = [of_width(dense("he_normal"), 64), through(lambda x: tr.sqrt(x * x), first=False)]
    yield _known("root of 0", chain(root * 2), "gradient-not-finite", says=("the derivative behind",))


def _activations() -> Iterator[Known]:
    for slope in (0.1, 0.3):
        for depth in (8, 14):
            rate = (1 + slope**2) / 2
            yield _known(
                f"leaky ReLU {slope}, glorot, {depth}", net(leaky(slope, "glorot_uniform"), depth), VANISHES,
                says=(f"theory for Glorot and leaky ReLU {slope}: x {rate:.2f}",), never=("The kernels are",),
            )  # fmt: skip
    leaking = of_width(leaky(0.2, "lecun_normal"), 64)
    yield _known(
        "residual leaky ReLU", chain([lambda x: layers.Add()([leaking(x), x])] * 24), EXPLODES, "loss",
        never=("theory",),  # a cut ends the branch
    )  # fmt: skip
    straight = of_width(dense("lecun_normal", None, 1), 64)
    yield _known(
        "residual leaky ReLU before the last Dense",
        chain([lambda x: layers.Add()([straight(layers.LeakyReLU(0.2)(straight(x))), x])] * 24), EXPLODES, "loss",
        says=("theory for LeCun and leaky ReLU 0.2, skips and no BatchNorm: x 1.23",),
    )  # fmt: skip
    yield _known(
        "residual linear", chain([lambda x: layers.Add()([dense("lecun_normal", None)(x, 16), x])] * 12, 16), EXPLODES,
        "loss", says=("theory for LeCun without an activation, skips and no BatchNorm: x 1.41",),
    )  # fmt: skip
    for batch in (2, 4):
        yield _known(
            f"preact of leaky ReLU, batch {batch}", net(presets.preact, 16, batch=batch), never=("power", "explodes"),
            either=tuple(map(frozenset, ({"grows"}, {"one-block"}, {"grows", "one-block"}))),
        )  # fmt: skip
    yield _known("silu lecun 24", net(dense("lecun_uniform", "silu"), 24, 16, batch=8), VANISHES, never=("kernels",))
    yield _known("scaled skips of gelu", chain([_scaled_gelu] * 16), never=("explodes",))
    yield _known("leaky ReLU 0.1, he", net(leaky(0.1, "he_normal"), 8))
    for name in ("gelu", "silu", "elu", "selu", "softplus"):
        yield _known(
            f"{name} of small kernels", net(dense(normal(0.03), name), 8), VANISHES,
            never=("theory", "The kernels are", "ReLU", "use kernel_initializer"),
        )  # fmt: skip
    yield _known("gelu glorot 12", net(dense("glorot_uniform", "gelu"), 12), VANISHES, never=("theory", "kernels"))
    yield _known("elu lecun 8", net(dense("lecun_normal", "elu"), 8), never=("theory",))
    for name in ("gelu", "silu"):
        yield _known(
            f"residual {name} without BatchNorm",
            chain([lambda x, name=name: layers.Add()([dense("he_normal", name)(x, 64), x])] * 24), EXPLODES, "loss",
            never=("theory",), says=("scale the branch by 1/√blocks",),
        )  # fmt: skip
    yield _known("highway of 6", chain([of_width(_highway, 64)] * 6), never=("explodes", "a scale"))


def _scaled_gelu(x: Any) -> Any:
    return layers.Add()([dense("he_normal", "gelu")(x, 64) * 0.25, x])


def _highway(x: Any, units: int) -> Any:
    gate = layers.Dense(units, activation="sigmoid", bias_initializer=tr.initializers.Constant(-1.0))(x)
    branch = layers.Dense(units, activation="tanh")(x)
    return layers.Add()([layers.Multiply()([branch, gate]), layers.Multiply()([x, 1.0 - gate])])
