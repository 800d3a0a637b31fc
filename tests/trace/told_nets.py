"""Nets of known build: what must be said of each, and what must not; from closed forms, and from what training does.

A Known net gives a trace on white input. `rules` is exactly what the verdict's sentences are about; `says` must stand
in the verdict's text, `never` must not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinyres as tr
from tinyres import layers
from tinyres.layers import blocks as presets
from tinyres.trace import Trace

Block = Callable[[Any, int], Any]


@dataclass(frozen=True)
class Known:
    """A net and what is known of it. either: several sets of rules that are right, where chance decides."""

    name: str
    trace: Callable[[], Trace]
    rules: frozenset[str]
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    either: tuple[frozenset[str], ...] = ()


def net(
    block: Block,
    depth: int,
    width: int = 64,
    batch: int = 128,
    seed: int = 0,
    training: bool = True,
    scale: float = 1.0,
    steps: int = 0,
    scoped: bool = True,
    features: int | None = None,
    regression: bool = False,
) -> Callable[[], Trace]:
    """A trace of `depth` blocks on white input of this scale, after `steps` steps of training."""

    def traced() -> Trace:
        tr.manual_seed(seed)
        rng = np.random.default_rng(seed)
        inputs = x = tr.Input(shape=(features or width,))
        if features is not None and features != width:
            x = layers.Dense(width, activation="relu", kernel_initializer="he_normal", name="stem")(x)
        for i in range(depth):
            if scoped:
                with tr.name_scope(f"block{i}"):
                    x = block(x, width)
            else:
                x = block(x, width)
        head = layers.Dense(1 if regression else 10, activation=None if regression else "softmax", name="head")
        model = tr.Model(inputs, head(x))
        model.compile(tr.optim.SGD(lr=1e-4), loss="mse" if regression else "sparse_categorical_crossentropy")
        data = scale * rng.standard_normal((batch, features or width))
        target = rng.standard_normal((batch, 1)) if regression else rng.integers(0, 10, batch)
        if steps:
            model.fit(data, target, batch_size=batch, epochs=steps, verbose=0)
        return model.graph(data, target, training=training).trace(audit=False)

    return traced


def dense(initializer: Any, activation: str | None = "relu", count: int = 2) -> Block:
    """Dense layers in a row."""

    def block(x: Any, units: int) -> Any:
        for _ in range(count):
            x = layers.Dense(units, activation=activation, kernel_initializer=initializer)(x)
        return x

    return block


def normal(std: float) -> Any:
    """Kernels of this standard deviation."""
    return tr.initializers.RandomNormal(stddev=std)


def with_initializer(preset: Any, initializer: str) -> Block:
    """A preset with another initialiser."""
    return lambda x, units: preset(x, units, kernel_initializer=initializer)


def skipinit(depth: int) -> Block:
    """The preset at its depth."""
    return lambda x, units: presets.skipinit(x, units, depth)


def bn_relu(x: Any, units: int) -> Any:
    """Dense, BatchNorm, ReLU, twice, without a skip."""
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNorm()(layers.Dense(units)(x)))
    return x


def bottleneck(x: Any, units: int) -> Any:
    """He et al. 2015: down to a quarter, and back up."""
    h = x
    for width in (units // 4, units // 4):
        h = layers.ReLU()(layers.BatchNorm()(layers.Dense(width, kernel_initializer="he_normal")(h)))
    h = layers.BatchNorm()(layers.Dense(units, kernel_initializer="he_normal")(h))
    return layers.ReLU()(layers.Add()([h, x]))


def dropout(x: Any, units: int) -> Any:
    """Two Dense with ReLU, and Dropout 0.5."""
    return layers.Dropout(0.5)(dense("glorot_uniform")(x, units))


def half_skip(x: Any, units: int) -> Any:
    """preact whose skip is halved."""
    shortcut = x * 0.5
    for _ in range(2):
        x = layers.Dense(units, kernel_initializer="he_normal")(layers.ReLU()(layers.BatchNorm()(x)))
    return layers.Add()([x, shortcut])


def highway(x: Any, units: int) -> Any:
    """Srivastava et al. 2015, the gate biased toward carrying."""
    gate = layers.Dense(units, activation="sigmoid", bias_initializer=tr.initializers.Constant(-2.0))(x)
    return layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x) * gate + x * (1.0 - gate)


def one_unlike(block: Block, at: int, factor: float) -> Block:
    """The block, but for call number `at`, whose output is scaled."""
    calls = iter(range(10_000))

    def counted(x: Any, units: int) -> Any:
        y = block(x, units)
        return y * factor if next(calls) == at else y

    return counted


def bn_first(x: Any, units: int) -> Any:
    """BatchNorm, then what is all right."""
    return dense("he_normal")(layers.BatchNorm()(x), units)


def dying(at: int) -> Block:
    """Dense with ReLU; those of call number `at` have a bias that no input overcomes."""
    calls = iter(range(10_000))

    def block(x: Any, units: int) -> Any:
        bias = tr.initializers.Constant(-1000.0 if next(calls) == at else 0.0)
        return layers.Dense(units, activation="relu", kernel_initializer="he_normal", bias_initializer=bias)(x)

    return block


EXPLODES, VANISHES, POLYNOMIAL = "explodes", "vanishes", "polynomial"


def known_nets() -> Iterator[Known]:
    """All of them."""
    yield from _plain()
    yield from _linear_and_squashing()
    yield from _normalised()
    yield from _residual()
    yield from _planted()


def _known(name: str, trace: Callable[[], Trace], *rules: str, **words: Any) -> Known:
    return Known(name, trace, frozenset(rules), **words)


def _plain() -> Iterator[Known]:
    long = lambda depth: ("long-chain",) if 2 * depth >= 30 else ()  # noqa: E731
    for depth in (8, 16, 32, 64):
        for width in (32, 64, 128):
            yield _known(
                f"plain glorot {depth} x {width}", net(dense("glorot_uniform"), depth, width), VANISHES, *long(depth),
                says=("theory for Glorot and ReLU: x 0.50", "halves"), never=("harmless", "saturates"),
            )  # fmt: skip
    for initializer, name in (("lecun_normal", "LeCun"), ("orthogonal", "orthogonal"), ("glorot_normal", "Glorot")):
        for depth in (8, 20):
            yield _known(
                f"plain {initializer} {depth}", net(dense(initializer), depth), VANISHES, *long(depth),
                says=(f"theory for {name} and ReLU: x 0.50",),
            )  # fmt: skip
    for depth in (4, 8, 12):
        for initializer in ("he_normal", "he_uniform"):
            yield _known(f"plain {initializer} {depth}", net(dense(initializer), depth))
    for depth in (16, 32):
        yield _known(
            f"plain he {depth}", net(dense("he_normal"), depth), "long-chain", never=("he_normal", "flows well")
        )
    for depth in (12, 24):
        yield _known(
            f"plain dropout {depth}", net(dropout, depth, 128), VANISHES, *long(depth),
            says=("theory for Glorot, ReLU and Dropout 0.5: x 0.71",),
        )  # fmt: skip
    yield _known(
        "plain dropout in inference", net(dropout, 12, 128, training=False), VANISHES,
        says=("theory for Glorot and ReLU: x 0.50",),
    )  # fmt: skip
    for batch in (1, 4, 16):
        yield _known(
            f"plain glorot batch {batch}", net(dense("glorot_uniform"), 8, batch=batch), VANISHES, never=("theory",)
        )
    yield _known("plain glorot batch 1024", net(dense("glorot_uniform"), 8, batch=1024), VANISHES, says=("theory",))
    yield _known("plain glorot trained", net(dense("glorot_uniform"), 8, steps=3), VANISHES, never=("theory", "Glorot"))
    yield _known("one plain block", net(dense("glorot_uniform"), 1))
    yield _known("two plain blocks", net(dense("glorot_uniform"), 2))
    yield _known(
        "plain glorot 200", net(dense("glorot_uniform"), 200), "no-gradient", says=("smallest number of float32",)
    )
    for std, name in ((0.03, "0."), (0.05, "0.")):
        yield _known(
            f"plain std {std}", net(dense(normal(std)), 8), VANISHES,
            says=(f"The kernels are {name}", "he_normal"), never=("theory",),
        )  # fmt: skip
    yield _known(
        "plain std 0.4", net(dense(normal(0.4)), 8), EXPLODES, "loss",
        says=("times the size that keeps it: use kernel_initializer='he_normal'",), never=("theory", "BatchNorm"),
    )  # fmt: skip


def _linear_and_squashing() -> Iterator[Known]:
    for initializer in ("glorot_uniform", "lecun_normal", "orthogonal"):
        for depth in (8, 24):
            yield _known(f"linear {initializer} {depth}", net(dense(initializer, None), depth))
    for depth in (8, 16):
        yield _known(
            f"linear he {depth}", net(dense("he_normal", None), depth), EXPLODES, "loss",
            says=("theory for He without an activation: x 2.00", "lecun_normal"), never=("he_normal",),
        )  # fmt: skip
    yield _known(
        "linear std 0.05", net(dense(normal(0.05), None), 8), VANISHES,
        says=("lecun_normal",), never=("he_normal", "ReLU"),
    )  # fmt: skip
    for depth in (4, 8):
        yield _known(f"tanh glorot {depth}", net(dense("glorot_uniform", "tanh"), depth))
    for depth in (8, 16):
        yield _known(
            f"tanh std 0.02, {depth}", net(dense(normal(0.02), "tanh"), depth), VANISHES,
            says=("The kernels are",), never=("saturates", "theory", "he_normal"),
        )  # fmt: skip
    for depth in (6, 12):
        yield _known(
            f"sigmoid {depth}", net(dense("glorot_uniform", "sigmoid"), depth), VANISHES,
            says=("Each sigmoid lets at most 25% of it through",), never=("theory",),
        )  # fmt: skip
    yield _known(
        "linear with dead inputs", _dead_inputs, never=("ReLU", "theory for Glorot and ReLU"),
    )  # fmt: skip


def _dead_inputs() -> Trace:
    """12 blocks of two linear Dense, 40 of 128 input rows zero: once told to be Glorot and ReLU."""
    tr.manual_seed(0)
    rng = np.random.default_rng(0)
    inputs = x = tr.Input(shape=(64,))
    for i in range(12):
        with tr.name_scope(f"block{i}"):
            x = dense("glorot_uniform", None)(x, 64)
    model = tr.Model(inputs, layers.Dense(10, activation="softmax")(x))
    data = rng.standard_normal((128, 64))
    data[:40] = 0
    model.compile(loss="sparse_categorical_crossentropy")
    return model.graph(data, rng.integers(0, 10, 128)).trace(audit=False)


def _normalised() -> Iterator[Known]:
    for depth in (12, 16, 32):
        yield _known(
            f"bn before relu {depth}", net(bn_relu, depth), EXPLODES,
            says=("theory for BatchNorm before ReLU: x 1.47", "add a skip around each block"), never=("polynomial",),
        )  # fmt: skip
        yield _known(
            f"relu before bn {depth}", net(presets.plain_batchnorm, depth), EXPLODES,
            says=("add a skip around each block",), never=("theory",),
        )  # fmt: skip
    for batch in (2, 4, 8, 16):
        yield _known(
            f"bn before relu batch {batch}", net(bn_relu, 12, batch=batch), EXPLODES,
            says=("add a skip around each block", f"over a batch of {batch} the more" if batch < 16 else "in every"),
            never=("theory", "batch of 16"),
        )  # fmt: skip
    yield _known("bn batch 1", net(bn_relu, 6, batch=1), "idle-kernels", says=("BatchNorm over a batch of 1",))
    yield _known("bn in inference", net(bn_relu, 16, training=False), VANISHES, never=("theory",))


def _residual() -> Iterator[Known]:
    right = {"tutorial": presets.tutorial, "he2015": presets.he2015, "preact": presets.preact, "bottleneck": bottleneck}
    for name, block in right.items():
        for depth in (2, 4, 6, 8, 10, 12):
            for seed in (0, 1):
                yield _known(
                    f"{name} {depth}, seed {seed}", net(block, depth, seed=seed), never=("explodes", "vanishes"),
                    either=(frozenset({POLYNOMIAL}),) if name in ("bottleneck", "tutorial") else (),
                )  # fmt: skip
    for depth in (16, 32):
        yield _known(f"he2015 {depth}", net(presets.he2015, depth), never=("explodes",))
        yield _known(f"preact {depth}", net(presets.preact, depth), never=("explodes",))
    for name, depth in (("tutorial", 32), ("tutorial", 48), ("bottleneck", 32)):
        yield _known(
            f"{name} {depth}", net(right[name], depth), POLYNOMIAL, says=("like a power of the depth", "preact"),
            never=("explodes", "harmless"),
        )  # fmt: skip
    for depth in (1, 2, 4, 8, 16, 32, 64):
        yield _known(f"rezero {depth}", net(presets.rezero, depth))
        yield _known(f"skipinit {depth}", net(skipinit(depth), depth))
    for depth in (4, 8):
        yield _known(f"residual {depth}", net(presets.residual, depth))
    yield _known("residual 32", net(presets.residual, 32), EXPLODES, "loss", says=("skipinit",), never=("theory",))
    for depth in (16, 24):
        yield _known(
            f"residual no bn {depth}", net(presets.preact_plain, depth), EXPLODES, "loss",
            says=("theory for He and ReLU, skips and no BatchNorm: x 1.41", "1/√blocks"), never=("polynomial",),
        )  # fmt: skip
    yield _known("residual no bn 2", net(presets.preact_plain, 2))
    yield _known("residual no bn trained", net(presets.preact_plain, 16, steps=2), EXPLODES, "loss", never=("theory",))
    for depth in (16, 32):
        yield _known(
            f"half skip {depth}", net(half_skip, depth), EXPLODES,
            says=("a scale lies on the skip",), never=("polynomial", "theory"),
        )  # fmt: skip
    for depth in (8, 24):
        yield _known(
            f"highway {depth}", net(highway, depth), never=("explodes", "a scale"), either=(frozenset({VANISHES}),)
        )
    for width in (16, 256):
        yield _known(f"he2015 width {width}", net(presets.he2015, 8, width))
        yield _known(f"preact width {width}", net(presets.preact, 8, width))
    yield _known("he2015 trained", net(presets.he2015, 8, steps=5), never=("explodes", "theory"))
    yield _known("preact regression", net(presets.preact, 8, regression=True), either=(frozenset({"loss"}),))


def _planted() -> Iterator[Known]:
    for factor, word in ((1e-3, "x 1/1,"), (1e3, "x 1,")):
        yield _known(
            f"one block scaled {factor:g}", net(one_unlike(dense("he_normal"), 5, factor), 12), "one-block",
            says=("one block stands out: through block5 |g| changes by", word), never=("in every block",),
            either=(frozenset({"one-block", "loss"}),),
        )  # fmt: skip
    yield _known(
        "inputs x 1,000", net(presets.residual, 4, scale=1000.0), "unscaled-input", "loss",
        says=("of size 1,000", "standard deviation 1"), never=("flows well",),
    )  # fmt: skip
    yield _known(
        "inputs x 1,000 on the skip", net(presets.preact, 4, scale=1000.0), "unscaled-input", "loss", never=("flows",)
    )
    yield _known("inputs x 1,000 into BatchNorm", net(bn_first, 1, scale=1000.0))
    yield _known(
        "NaN in the data", net(dense("he_normal"), 4, scale=float("nan")), "not-finite", says=("this is data",)
    )
    yield _known(
        "infinite values", net(dense(normal(0.5)), 8, scale=1e36), "not-finite", says=("have grown too large",)
    )
    yield _known(
        "dead relu", net(dying(3), 6), "no-gradient",
        says=("every unit of block3/dense", "is 0 for the whole batch"),
    )  # fmt: skip
    yield _known("zero factor", net(one_unlike(dense("he_normal"), 2, 0.0), 6), "no-gradient")
