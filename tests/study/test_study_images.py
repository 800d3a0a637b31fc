"""Meters, lesions and twins of nets of images: the same calls as for dense nets, against brute force."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, ShapeError

SPARSE = "sparse_categorical_crossentropy"


def resnet(version: int = 1, depth: int = 20) -> tr.Model:
    tr.manual_seed(0)
    model = tr.applications.resnet(depth, 4, (8, 8, 3), version, 4)
    model.compile(optimizer="adam", loss=SPARSE)
    return model


def images(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 8, 8, 3)).astype(np.float32), np.arange(n) % 4


LAYERS: dict[str, Callable[[], layers.Layer]] = {
    "conv": lambda: layers.Conv2D(4, 3, 2, "same", activation="relu"),
    "grouped": lambda: layers.Conv2D(6, 3, groups=3, use_bias=False),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "separable": lambda: layers.SeparableConv2D(4, 3),
    "transposed": lambda: layers.Conv2DTranspose(2, 3, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_samples_agree_as_one_by_one(name: str) -> None:
    tr.manual_seed(0)
    inputs = tr.Input((8, 8, 3))
    x = layers.Flatten()(LAYERS[name]()(inputs))
    model = tr.Model(inputs, layers.Dense(4, activation="softmax")(x))
    pictures, labels = images(6)
    measured = tr.gradient_agreement(model, pictures, labels, loss=SPARSE)
    weights = model.layers[1].weights
    single = []
    for i in range(6):
        value = -tr.log(model(pictures[i : i + 1])[0, labels[i]])
        single.append([g.numpy().ravel().astype(np.float64) for g in tr.grad(value, weights)])
    groups = {"separable": [[0], [1, 2]], "transposed": [[0]]}.get(name, [list(range(len(weights)))])
    for record, group in zip(measured, groups):
        g = np.stack([np.concatenate([row[k] for k in group]) for row in single])
        unit = g / np.linalg.norm(g, axis=1, keepdims=True)
        assert record.cosine == pytest.approx(((unit @ unit.T).sum() - 6) / 30, abs=1e-4)
        assert record.coherence == pytest.approx((g.sum(0) ** 2).sum() / (6 * (g**2).sum()), rel=1e-3)
    names = [record.name for record in measured]
    assert len(set(names)) == len(names) == len(groups) + 2  # and the Dense, and all


@pytest.mark.slow
def test_all_kernels_of_a_residual_net_agree_or_not() -> None:
    measured = tr.gradient_agreement(resnet(), *images(8))
    kernels = [w for w in resnet().trainable_weights if w.name.endswith("kernel")]
    assert len(measured) == len(kernels) + 1
    assert all(record.cosine is not None and -1 <= record.cosine <= 1 for record in measured)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyres.study.agreement._MOST_BYTES", 1 << 16)
    with pytest.raises(ArgumentError, match="got 64 of 2304 weights at stage2/block2/conv2d_1, "):
        tr.gradient_agreement(resnet(), *images(64))


@pytest.mark.slow
def test_gradients_shatter_along_lines_of_images() -> None:
    model = resnet(2, 56)
    kept = tr.shattering(model, points=64, readouts=2)
    lost = tr.shattering(model.without_skips(), points=64, readouts=2)
    assert len(kept) == 28 and kept[0].name == "stem"
    assert kept[0].lag1 > 0.7
    assert kept["stage2/block8"].lag1 > lost["stage2/block8"].lag1
    line = np.linspace(images(1)[0][0], images(2)[0][1], 16)
    assert len(tr.shattering(model, line, readouts=1)) == 28
    with pytest.raises(ShapeError, match=r"x is \(points, 8, 8, 3\), 3 points or more; got \(16, 192\)"):
        tr.shattering(model, line.reshape(16, -1))


@pytest.mark.slow
def test_lesions_cut_blocks_and_skips_of_images() -> None:
    model, (x, y) = resnet(), images(16)
    found = tr.lesion(model, x, y)
    assert {cut.name for cut in found} == {f"stage{i}/block{j}" for i in range(3) for j in range(3)}
    assert all(np.isfinite(cut.loss) for cut in found)
    assert {cut.name for cut in tr.lesion(model, x, y, what="skip")} == {cut.name for cut in found}


def test_the_twin_without_skips_has_the_same_names_and_no_projections() -> None:
    model, (x, y) = resnet(), images(16)
    twin = model.without_skips()
    plain, residual = twin.graph(x, y, loss=SPARSE).trace(), model.graph(x, y).trace()
    assert [b.name for b in plain.blocks] == [b.name for b in residual.blocks]
    assert all(b.fork is None for b in plain.blocks)
    told = str(tr.compare(plain=plain, residual=residual))
    assert "stage2/block2" in told and "per block" in told


@pytest.mark.slow
def test_a_watched_training_is_that_without_and_names_every_layer() -> None:
    x, y = images(32)
    losses = []
    for watch in (0, 2):
        model = resnet()
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, watch=watch)
        losses.append(history.history["loss"])
    assert losses[0] == losses[1]
    assert "stage1/block0/conv2d" in history.gradients.names and len(history.gradients.steps) == 4
    assert np.isfinite(history.gradients.norms).all() and (history.gradients.norms > 0).all()
