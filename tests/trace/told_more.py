"""Nets that were made to find wrong sentences: two builds in one net, small batches, dead parts, gates, layers of one's
own, empty data; and what must be said of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from told_nets import EXPLODES, POLYNOMIAL, VANISHES, Known, bn_relu, bottleneck, dense, net, normal
from told_others import chain, of_width
from told_parts import (
    batchnorm,
    convolution,
    fed,
    gated,
    growing,
    images,
    in_a_row,
    kernels,
    layer_norm,
    preset,
    relu,
    residual,
    white,
)

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks as presets
from tinyres.trace import Trace


def more_nets() -> Iterator[Known]:
    """All of them."""
    yield from _plain()
    yield from _of_two_rates_and_other_activations()
    yield from _normalised()
    yield from _residual()
    yield from _gated_and_damaged()
    yield from _data()
    yield from _parts()
    yield from _images()


def _known(name: str, trace: Callable[[], Trace], *rules: str, **words: Any) -> Known:
    return Known(name, trace, frozenset(rules), **words)


def _plain() -> Iterator[Known]:
    yield _known(
        "20 layers without scopes",
        chain([of_width(dense("glorot_uniform", count=1), 64)] * 20, scoped=False),
        VANISHES,
        says=("theory for Glorot and ReLU: x 0.71", "The kernels are 0.71 of the size"),
        never=("2 stages",),
    )
    yield _known("20 he layers without scopes", chain([of_width(dense("he_normal", count=1), 64)] * 20, scoped=False))
    yield _known(
        "200 narrow he layers",
        chain([of_width(dense("he_normal", count=1), 16)] * 200, 16, scoped=False),
        VANISHES,
        "long-chain",
        never=("theory", "he_normal"),
    )
    yield _known(
        "40 blocks of one layer",
        chain([of_width(dense("glorot_uniform", count=1), 128)] * 40, 128),
        VANISHES,
        "long-chain",
        says=("theory for Glorot and ReLU: x 0.71",),
        never=("halves",),
    )
    yield _known(
        "512 wide", net(dense("glorot_uniform"), 6, 512), VANISHES, says=("theory for Glorot and ReLU: x 0.5",)
    )
    yield _known("he, 512 wide, batch 1024", net(dense("he_normal"), 8, 512, batch=1024))
    yield _known("linear orthogonal 100", net(dense("orthogonal", None), 100))
    yield _known("tanh orthogonal 20", net(dense("orthogonal", "tanh"), 20))
    yield _known(
        "tanh std 0.5",
        net(dense(normal(0.5), "tanh"), 10),
        EXPLODES,
        says=("times the size that keeps it: use kernel_initializer='lecun_normal'",),
        never=("theory", "he_normal"),
    )
    yield _known(
        "linear he_uniform",
        net(dense("he_uniform", None), 10),
        EXPLODES,
        "loss",
        says=("theory for He without an activation: x 2.00",),
    )
    between = [of_width(dense("glorot_uniform", count=1, activation=name), 64) for name in ("relu", "tanh")]
    yield _known("ReLU and tanh in turn", chain(between * 8), VANISHES, never=("theory",), says=("he_normal",))
    bias = tr.initializers.Constant(0.1)
    yield _known(
        "a bias of 0.1",
        chain([lambda x: layers.Dense(64, activation="relu", bias_initializer=bias)(x)] * 12),
        VANISHES,
        never=("theory",),
    )
    wide = [kernels("glorot_uniform", 256), relu, kernels("glorot_uniform", 64), relu]
    yield _known(
        "wide and narrow in turn", chain([in_a_row(*wide)] * 8), VANISHES, says=("theory for Glorot and ReLU: x 0.40",)
    )


def _of_two_rates_and_other_activations() -> Iterator[Known]:
    two = [of_width(dense("glorot_uniform"), 64)] * 8 + [of_width(dense("he_normal"), 64)] * 8
    yield _known(
        "glorot, then he",
        chain(two),
        VANISHES,
        "long-chain",
        says=(
            "from block0 to block7 the gradient vanishes, it halves",
            "theory for Glorot and ReLU: x 0.50",
            "0.71 of",
        ),
        never=("0.84",),
    )
    two = [of_width(dense("glorot_uniform"), 64)] * 10 + [preset("he2015")] * 10
    yield _known(
        "plain, then he2015",
        chain(two),
        VANISHES,
        says=("from block0 to block10 the gradient vanishes",),
        never=("one block stands out", "each of the others"),
    )
    yield _known("hard sigmoid", net(dense("glorot_uniform", "hard_sigmoid"), 6), VANISHES, never=("kernels", "theory"))
    yield _known("swish", net(dense("he_normal", "silu"), 20), VANISHES, never=("theory", "The kernels are"))
    yield _known(
        "selu he", net(dense("he_normal", "selu"), 20), EXPLODES, "loss", never=("theory", "BatchNorm", "kernels")
    )
    yield _known(
        "products with a gate of x",
        chain([lambda x: x * layers.Dense(64, activation="sigmoid")(x)] * 8),
        VANISHES,
        never=("theory", "Each sigmoid"),
    )


def _normalised() -> Iterator[Known]:
    one = in_a_row(kernels("he_normal"), batchnorm, relu)
    for width, batch in ((256, 1024), (64, 32)):
        yield _known(
            f"bn before relu, one layer, {width} x {batch}",
            chain([one] * 20, width, batch),
            EXPLODES,
            says=("theory for BatchNorm before ReLU: x 1.21", "add a skip around each block"),
            never=("batch of",),
        )
    yield _known(
        "bn before relu, batch 31",
        chain([one] * 20, batch=31),
        EXPLODES,
        never=("batch of 31", "theory"),
        says=("BatchNorm without skips amplifies it in every layer: add a skip",),
    )
    yield _known("100 bn before relu", chain([one] * 100, 32, 64), EXPLODES, never=("power",), says=("x 1.21",))
    yield _known("bn linear", chain([in_a_row(kernels("glorot_uniform"), batchnorm)] * 20))
    yield _known("4 bn before relu", chain([one] * 4))
    yield _known("layer norm", chain([in_a_row(kernels("he_normal"), layer_norm, relu)] * 16), never=("BatchNorm",))
    for name in ("tutorial", "he2015", "preact"):
        yield _known(
            f"{name} batch 1",
            chain([preset(name)] * 8, batch=1),
            "idle-kernels",
            never=("flows well",),
            says=("16 of 17 kernels",),
        )
    for name in ("he2015", "preact"):
        yield _known(
            f"{name} batch 4",
            chain([preset(name)] * 10, batch=4),
            "grows",
            never=("power", "L^", "preact"),
            says=("BatchNorm over a batch of 4 amplifies it: use batches of 32",),
            either=(frozenset({EXPLODES}),),
        )
    yield _known(
        "batch of one example, repeated",
        fed([preset("he2015")] * 6, lambda rng: np.tile(rng.standard_normal((1, 64)), (128, 1))),
        "idle-part",
        says=("all examples are alike",),
        never=("detach",),
    )


def _residual() -> Iterator[Known]:
    for name in ("tutorial", "he2015", "preact"):
        yield _known(
            f"{name} glorot_normal", chain([preset(name, kernel_initializer="glorot_normal")] * 9), never=("explodes",)
        )
        yield _known(f"{name} without scopes", chain([preset(name)] * 8, scoped=False), never=("explodes",))
    yield _known("preact 100", chain([preset("preact")] * 100, 32, 64), never=("explodes",))
    yield _known("he2015, 512 wide", net(presets.he2015, 6, 512))
    yield _known(
        "bottleneck, 256 wide", net(bottleneck, 5, 256), either=(frozenset({POLYNOMIAL}),), never=("explodes",)
    )
    yield _known("rezero 100", chain([preset("rezero")] * 100, 32))
    yield _known("rezero batch 2", chain([preset("rezero")] * 16, batch=2))
    yield _known("skipinit 100", chain([preset("skipinit", depth=100)] * 100, 32))
    yield _known(
        "skipinit of another depth", chain([preset("skipinit", depth=4)] * 32), EXPLODES, "loss", says=("1/√blocks",)
    )
    before = residual(in_a_row(layer_norm, kernels("he_normal"), relu, kernels("glorot_uniform")))
    yield _known("layer norm first", chain([before] * 24), never=("explodes", "BatchNorm"))
    after = residual(in_a_row(kernels("he_normal"), relu, kernels("glorot_uniform")), layer_norm)
    yield _known("layer norm last", chain([after] * 24), never=("explodes", "vanishes"))
    dropout = lambda x: layers.Dropout(0.3)(x)  # noqa: E731
    dropped = in_a_row(batchnorm, relu, kernels("he_normal"), dropout, batchnorm, relu, kernels("he_normal"))
    yield _known("branch and skip / √2", chain([lambda x: _no_bn(x) * 0.5**0.5] * 20), never=("skip from",))
    yield _known("Dropout in the branch", chain([residual(dropped)] * 12), never=("Dropout",))
    yield _known("average of skip and branch", chain([lambda x: _no_bn(x) * 0.5] * 20), VANISHES, never=("kernels",))
    for end, law in (("relu", None), (None, "x 1.41")):
        branch = in_a_row(of_width(dense("he_normal", "relu", 1), 64), of_width(dense("he_normal", end, 1), 64))
        yield _known(
            f"a branch that ends in {end}",
            chain([residual(branch)] * 20),
            EXPLODES,
            "loss",
            never=() if law else ("theory",),
            says=("1/√blocks",),
        )


def _gated_and_damaged() -> Iterator[Known]:
    for normalised in (True, False):
        for depth in (8, 24):
            yield _known(f"dense net {depth}, {normalised}", chain([growing(normalised)] * depth), never=("explodes",))
    for depth, bias in ((20, 0.0), (50, -2.0)):
        yield _known(
            f"highway {depth}, bias {bias}",
            chain([gated(bias)] * depth),
            VANISHES,
            says=("The gates let",),
            never=("lies on the skip",),
        )
    yield _known("highway nearly closed", chain([gated(-4.0)] * 12), never=("lies on the skip",))
    exploding = [preset("preact_plain")] * 16
    exploding[5] = lambda x: layers.Add()([_branch(x), layers.ReLU()(x)])
    yield _known(
        "one ReLU on one skip of 16",
        chain(exploding),
        EXPLODES,
        "loss",
        says=("In every block the branch adds",),
        never=("lies on the skip",),
    )
    cut = lambda x: layers.Add()([_branch(layers.BatchNorm()(x)), layers.Lambda(lambda t: t.detach())(x)])  # noqa: E731
    yield _known("all skips detached", chain([cut] * 12), VANISHES, says=("so no gradient flows over this skip",))
    twice = lambda x: layers.Add()([_branch(layers.BatchNorm()(x)), x, x])  # noqa: E731
    yield _known("all skips twice", chain([twice] * 12), EXPLODES, "loss", says=("is added 2 times",), never=("power",))


def _branch(x: Any) -> Any:
    return in_a_row(relu, kernels("he_normal"), relu, kernels("he_normal"))(x)


def _no_bn(x: Any) -> Any:
    return layers.Add()([_branch(x), x])


def _data() -> Iterator[Known]:
    six = [of_width(dense("he_normal"), 64)] * 4
    yield _known(
        "an input of zeros",
        fed(six, lambda rng: np.zeros((128, 64))),
        "no-gradient",
        says=("every value of input is 0; look at how the data is read",),
        never=("initialiser", "detach"),
    )
    yield _known("pixels", fed(six, lambda rng: rng.integers(0, 256, (128, 64)) * 1.0), "unscaled-input", "loss")
    yield _known("far from 0", fed(six, lambda rng: 100 + white(rng)), "unscaled-input", "loss")
    column = np.r_[5e4, np.ones(63)]
    yield _known("one column unscaled", fed(six, lambda rng: white(rng) * column), "unscaled-input", "loss")
    yield _known("one-hot rows", fed(six, lambda rng: np.eye(64)[rng.integers(0, 64, 128)]))
    yield _known("small values", fed(six, lambda rng: 1e-3 * white(rng)))
    yield _known("a target far from 0", fed(six, white, "mse"), "loss", says=("times that of an answer",))
    yield _known("values of 5", fed(six, lambda rng: 5 * white(rng)), says=("the loss is",), never=("in proportion",))
    yield _known("preact 8 x chance", chain([preset("preact")] * 24), never=("in proportion",))


def _parts() -> Iterator[Known]:
    he = of_width(dense("he_normal"), 64)
    for name, odd, factor in (
        ("saturated", of_width(dense(normal(3.0), "tanh"), 64), "x"),
        ("quiet", of_width(dense(normal(1e-3)), 64), "x 1/"),
    ):
        blocks = [he] * 4 + [odd] + [he] * 9
        yield _known(
            f"one {name} block",
            chain(blocks),
            "one-block",
            says=(f"through block4 |g| changes by {factor}",),
            never=("in every block",),
        )
    loud = residual(in_a_row(batchnorm, relu, kernels(normal(50.0))))
    yield _known(
        "one loud branch",
        chain([preset("preact")] * 4 + [loud] + [preset("preact")] * 9),
        "one-block",
        "loss",
        says=("Its branch puts out",),
        never=("to normalise it",),
    )
    bias = tr.initializers.Constant(-99.0)
    dead = residual(lambda x: layers.Dense(64, activation="relu", bias_initializer=bias)(x))
    yield _known(
        "one dead branch",
        chain([preset("he2015")] * 4 + [dead] + [preset("he2015")] * 5),
        "idle-part",
        says=("block4/dense: every unit is 0",),
        never=("flows well",),
    )
    plain = in_a_row(batchnorm, relu, kernels("he_normal"), batchnorm, relu, kernels("he_normal"))
    yield _known("one skip left out", chain([preset("preact")] * 4 + [plain] + [preset("preact")] * 9))
    yield _known(
        "zeros as head",
        _zero_head,
        "no-gradient",
        says=("the first step of training opens it",),
        never=("use another",),
    )


def _zero_head() -> Trace:
    tr.manual_seed(0)
    inputs = x = tr.Input(shape=(64,))
    for i in range(3):
        with tr.name_scope(f"block{i}"):
            x = dense("he_normal")(x, 64)
    model = tr.Model(inputs, layers.Dense(10, activation="softmax", kernel_initializer="zeros", name="head")(x))
    model.compile(loss="sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    return model.graph(rng.standard_normal((64, 64)), rng.integers(0, 10, 64)).trace(audit=False)


def _images() -> Iterator[Known]:
    yield _known(
        "images: plain glorot",
        images(in_a_row(convolution("glorot_uniform"), relu), 12),
        VANISHES,
        says=("use kernel_initializer='he_normal'",),
        never=("x 0.50",),
    )
    yield _known("images: plain he", images(in_a_row(convolution("he_normal"), relu), 12))
    for name, block in (("basic", presets.basic), ("preact_basic", presets.preact_basic)):
        yield _known(f"images: {name}", images(lambda x, block=block: block(x, 8), 8), never=("explodes",))
    without = residual(in_a_row(relu, convolution("he_normal"), relu, convolution("he_normal")))
    yield _known("images: residual, no bn", images(without, 16), EXPLODES, says=("put BatchNorm into it",))
    yield _known("images: bn before relu", chain([of_width(bn_relu, 64)] * 16), EXPLODES, says=("x 1.47",))
