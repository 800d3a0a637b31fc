"""Every remedy that a verdict names is applied here, and the net then trains where it did not before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from told_nets import bn_relu, dense, normal, skipinit

import tinyres as tr
from tinyres.layers import blocks as presets
from tinyres.study.nets import stack

pytestmark = pytest.mark.slow
(X, Y), _ = tr.data.load_digits()
X = ((X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1)).astype(np.float32)


def error(block: Any, blocks: int, lr: float = 0.02, momentum: float = 0.9, epochs: int = 6) -> tuple[str, float]:
    """The remedies of the first look, and the training error after some epochs (1 where it diverges)."""
    tr.manual_seed(0)
    model = stack(block, blocks, 32, 64, 10)
    model.compile(tr.optim.SGD(lr=lr, momentum=momentum), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    remedies = " ".join(s.remedy for s in model.graph(X[:128], Y[:128]).trace(audit=False).verdict())
    try:
        model.fit(X, Y, batch_size=50, epochs=epochs, verbose=0)
    except tr.errors.NonFiniteError:
        return remedies, 1.0
    model.recalibrate_batchnorm(X)
    return remedies, 1 - model.evaluate(X, Y)[1]


def best(block: Any, blocks: int, rates: tuple[float, ...] = (0.002, 0.02)) -> float:
    return min(error(block, blocks, lr)[1] for lr in rates)


def test_small_kernels_of_a_short_net_take_he_normal() -> None:
    remedies, before = error(dense(normal(0.05)), 5)
    assert remedies.endswith("use kernel_initializer='he_normal'.")
    assert before > 0.8 and best(dense("he_normal"), 5) < 0.1


def test_a_deep_plain_net_takes_normalised_or_scaled_skips_and_not_he_normal_alone() -> None:
    remedies, before = error(dense("glorot_uniform"), 16)
    assert "he_normal' keeps the size; to train at this depth" in remedies
    assert "layers.blocks.he2015" in remedies and "skipinit" in remedies
    assert before > 0.8
    assert best(dense("he_normal"), 16) > 0.2  # the size alone does not mend it
    assert best(presets.he2015, 16) < 0.1 and best(skipinit(16), 16) < 0.05


def test_a_sigmoid_net_takes_the_same() -> None:
    remedies, before = error(dense("glorot_uniform", "sigmoid"), 8)
    assert "use ReLU with kernel_initializer='he_normal', and add skips" in remedies
    assert before > 0.8 and best(presets.he2015, 8) < 0.1 and best(skipinit(8), 8) < 0.05


def test_large_kernels_take_he_normal() -> None:
    remedies, before = error(dense(normal(0.8)), 5)
    assert remedies.startswith("The kernels are") and "use kernel_initializer='he_normal'" in remedies
    assert before > 0.5 and best(dense("he_normal"), 5) < 0.1


def test_a_linear_net_with_large_kernels_takes_lecun_normal() -> None:
    remedies, before = error(dense("he_normal", None), 10)
    assert "lecun_normal" in remedies and before > 0.5
    assert best(dense("lecun_normal", None), 10) < 0.1


def test_batchnorm_without_skips_takes_skips() -> None:
    remedies, before = error(bn_relu, 16, epochs=12)
    assert "add a skip around each block (layers.blocks.he2015)" in remedies
    assert before > 0.3 and error(presets.he2015, 16, epochs=12)[1] < 0.05


def test_skips_without_normalisation_take_a_scale_a_start_at_0_or_batchnorm() -> None:
    remedies, before = error(presets.preact_plain, 24)
    assert "scale the branch by 1/√blocks" in remedies and "rezero" in remedies and "preact" in remedies
    assert before == 1.0  # it diverges
    assert best(skipinit(24), 24) < 0.05 and best(presets.rezero, 24) < 0.2 and best(presets.preact, 24) < 0.05


@pytest.mark.parametrize(("scale", "told"), [(1.0, False), (3.0, False), (30.0, True)])
def test_a_first_loss_far_above_chance_trains_worse(scale: float, told: bool) -> None:
    for seed in range(2):
        tr.manual_seed(seed)
        model = stack(dense("he_normal"), 2, 32, 64, 10)
        head = model.layers[-1].kernel
        head.assign(head.numpy() * scale)
        sgd = tr.optim.SGD(lr=0.01, momentum=0.9)
        model.compile(sgd, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        assert [s.rule for s in model.graph(X[:128], Y[:128]).trace(audit=False).verdict()] == ["loss"] * told
        model.fit(X[:1000], Y[:1000], batch_size=50, epochs=3, verbose=0)
        error = 1 - model.evaluate(X[:1000], Y[:1000])[1]
        assert error > 0.5 if told else error < 0.25
