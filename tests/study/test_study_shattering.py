"""The shattering meter against brute force, closed forms and the published order of the nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.blocks import PRESETS
from tinyres.study.nets import stack
from tinyres.study.shattering import autocorrelation, calibrated, pair_correlations

X = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
Y = np.arange(12) % 4
SPARSE = "sparse_categorical_crossentropy"


def test_autocorrelation_of_known_sequences() -> None:
    t = np.arange(400)
    wave = np.cos(2 * np.pi * t / 40)[None, :, None]
    assert autocorrelation(wave) == pytest.approx(np.cos(2 * np.pi / 40), abs=0.01)
    assert autocorrelation((-1.0) ** t[None, :, None]) == pytest.approx(-1.0, abs=1e-6)
    noise = np.random.default_rng(0).normal(size=(8, 400, 1))
    assert autocorrelation(noise) == pytest.approx(0.0, abs=0.05)
    assert autocorrelation(np.full((2, 400, 3), 5.0)) == 1.0
    assert autocorrelation(np.zeros((2, 400, 3))) == 1.0


def line_net(block: Any, blocks: int) -> tr.Model:
    tr.manual_seed(0)
    x = tr.Input(shape=(1,))
    h = layers.Dense(32, kernel_initializer="he_normal", bias_initializer=tr.initializers.RandomNormal(stddev=1.0))(x)
    for i in range(blocks):
        with tr.name_scope(f"block{i}"):
            h = block(h, 32)
    return tr.Model(x, layers.Dense(1)(h))


@pytest.mark.slow
def test_gradients_shatter_in_deep_plain_nets_and_less_in_residual_ones() -> None:
    residual = line_net(PRESETS["preact"], 10)
    kept = tr.shattering(residual, readouts=4)
    lost = tr.shattering(residual.without_skips(), readouts=4)
    assert kept[0].lag1 > 0.9 and lost[0].lag1 > 0.7
    assert kept["block9"].lag1 > 0.35
    assert abs(lost["block9"].lag1) < 0.2
    assert [row["depth"] for row in kept.rows()] == list(range(1, 11))


def test_a_net_without_nonlinearity_does_not_shatter() -> None:
    x = h = tr.Input(shape=(1,))
    for _ in range(5):
        h = layers.Dense(8)(h)
    result = tr.shattering(tr.Model(x, h), points=32)
    assert [row["name"] for row in result.rows()] == ["dense", "dense_1", "dense_2", "dense_3", "dense_4"]
    assert [r.lag1 for r in result] == [1.0] * 5


def test_the_gradients_read_are_those_of_the_frozen_model() -> None:
    """One depth and one readout by central differences."""
    model = line_net(PRESETS["tutorial"], 1)
    line = np.linspace(-1, 1, 24)[:, None]
    (found,) = tr.shattering(model, line, readouts=1, seed=3)
    rng = tr.Generator(3).numpy()
    weights = rng.standard_normal((1, 32))[0]
    exact = calibrated(model, line).astype("float64")
    h = tr.Model(exact.inputs[0], exact.calls[-2].outputs)
    slopes = (h.predict(line + 1e-6) - h.predict(line - 1e-6)) @ weights / 2e-6
    assert found.lag1 == pytest.approx(autocorrelation(slopes[None, :, None]), abs=2e-3)


def per_sample(model: tr.Model, x: np.ndarray, y: np.ndarray, loss: str) -> dict[str, np.ndarray]:
    """(n, parameters) gradients of every Dense layer, one backward per sample."""
    found: dict[str, list[np.ndarray]] = {}
    measure = model.loss_of(loss)
    for i in range(len(x)):
        target = tr.tensor(y[i : i + 1], dtype=y.dtype)
        _, value = measure(model, tr.tensor(x[i : i + 1], dtype=model.float_dtype), target, False)
        dense = {path: layer for path, layer in model.named_layers().items() if isinstance(layer, layers.Dense)}
        weights = [[w for w in layer.weights if w.requires_grad] for layer in dense.values()]
        gradients = iter(tr.grad(value, [w for group in weights for w in group]))
        for path, group in zip(dense, weights):
            found.setdefault(path, []).append(np.concatenate([next(gradients).numpy().ravel() for _ in group]))
    return {path: np.array(rows) for path, rows in found.items()}


def cosine_and_coherence(rows: np.ndarray) -> tuple[float, float]:
    gram = rows @ rows.T
    norms = np.sqrt(np.diag(gram))
    cosines = gram / np.outer(norms, norms)
    n = len(rows)
    return (cosines.sum() - n) / (n * (n - 1)), gram.sum() / (n * np.trace(gram))


def shared_layer() -> tr.Model:
    x = tr.Input(shape=(6,))
    dense = layers.Dense(6, activation="relu")
    return tr.Model(x, layers.Dense(4, activation="softmax")(dense(dense(x))))


def sequences() -> tr.Model:
    x = tr.Input(shape=(6,))
    h = layers.Dense(5, activation="relu")(layers.Reshape((3, 2))(x))
    return tr.Model(x, layers.Dense(4, activation="softmax", use_bias=False)(layers.Flatten()(h)))


def tutorial() -> tr.Model:
    return stack(PRESETS["tutorial"], 2, 8, 6, 4)


def preact() -> tr.Model:
    return stack(PRESETS["preact"], 2, 8, 6, 4)


@pytest.mark.parametrize("make", [tutorial, preact, shared_layer, sequences])
def test_the_gram_identity_gives_what_one_backward_per_sample_gives(make: Any) -> None:
    model = make()
    model(X, training=True)  # moving statistics that are neither 0 nor 1
    brute = per_sample(model.astype("float64"), X.astype(np.float64), Y, SPARSE)
    measured = tr.gradient_agreement(model, X, Y, loss=SPARSE, statistics="moving")
    assert [r.name.partition("@")[0] for r in measured][:-1] == list(brute)
    for record, rows in zip(measured, brute.values()):
        assert (record.cosine, record.coherence) == pytest.approx(cosine_and_coherence(rows), abs=1e-4)
    total = cosine_and_coherence(np.concatenate(list(brute.values()), axis=1))
    assert (measured.total.cosine, measured.total.coherence) == pytest.approx(total, abs=1e-4)


def test_statistics_of_the_batch_are_frozen_layer_by_layer() -> None:
    model = stack(PRESETS["he2015"], 3, 8, 6, 4)
    frozen = calibrated(model, X)
    with tr.no_grad():
        np.testing.assert_allclose(
            frozen(X, training=False).numpy(), model(X, training=True).numpy(), rtol=1e-4, atol=1e-5
        )
    momenta = {layer.momentum for layer in frozen.layers if isinstance(layer, layers.BatchNorm)}
    assert momenta == {0.99}


def test_the_model_is_not_touched() -> None:
    model = stack(PRESETS["preact"], 2, 8, 6, 4)
    before = [w.copy() for w in model.get_weights()]
    tr.shattering(model, points=16, readouts=1)
    tr.gradient_agreement(model, X, Y, loss=SPARSE)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    assert all(p.grad is None for p in model.parameters())


def test_opposite_samples_disagree() -> None:
    model = tr.Sequential([tr.Input(shape=(2,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    measured = tr.gradient_agreement(model, np.ones((2, 2)), np.array([[1.0], [-1.0]]), loss="mse")
    assert (measured.total.cosine, measured.total.coherence) == pytest.approx((-1.0, 0.0), abs=1e-6)
    silent = tr.gradient_agreement(model, np.zeros((2, 2)), np.zeros((2, 1)), loss="mse")
    assert (silent.total.cosine, silent.total.coherence) == (None, None)
    assert "all                                               -           -" in str(silent)


def test_tables_are_80_columns_wide() -> None:
    model = stack(PRESETS["preact"], 2, 8, 6, 4)
    for table in (tr.shattering(model, points=16, readouts=1), tr.gradient_agreement(model, X, Y, loss=SPARSE)):
        assert max(map(len, str(table).splitlines())) <= 80


def test_wrong_arguments_are_refused() -> None:
    model = stack(PRESETS["plain"], 1, 8, 6, 4)
    with pytest.raises(ArgumentError, match='statistics are "batch" or "moving"; got \'mine\''):
        tr.shattering(model, statistics="mine")
    with pytest.raises(ShapeError, match="3 points or more; got \\(2, 6\\)"):
        tr.shattering(model, X[:2])
    with pytest.raises(ShapeError, match="2 to 4096 samples; got 1"):
        tr.gradient_agreement(model, X[:1], Y[:1], loss=SPARSE)
    with pytest.raises(ArgumentError, match="a gradient starts from a loss; got none"):
        tr.gradient_agreement(model, X, Y)
    with pytest.raises(ArgumentError, match="got Sequential without one"):
        tr.shattering(tr.Sequential([layers.Dense(1)]))
    model.trainable = False
    with pytest.raises(tr.errors.TinyresError, match="gradient_agreement"):
        tr.gradient_agreement(model, X, Y, loss=SPARSE)


def plain_he(blocks: int) -> tr.Model:
    tr.manual_seed(0)
    return stack(lambda x, units: PRESETS["plain"](x, units, kernel_initializer="he_normal"), blocks, 64, 32, 10)


@pytest.mark.slow
def test_the_default_line_leads_past_the_origin() -> None:
    shallow, deep = (tr.shattering(plain_he(blocks), readouts=2)[-1] for blocks in (2, 20))
    assert shallow.lag1 > 0.95 > deep.lag1 + 0.03  # on a line through the origin both read 0.99
    line = np.linspace(-2, 2, 256)[:, None] * np.random.default_rng(0).normal(size=32)
    assert tr.shattering(plain_he(20), line, readouts=2)[-1].lag1 > 0.98


def test_half_is_a_distance_in_x_whatever_the_grid() -> None:
    coarse, fine = (tr.shattering(line_net(PRESETS["preact"], 4), points=n, readouts=2)[-1] for n in (256, 1024))
    assert fine.lag1 > coarse.lag1 + 0.02
    assert coarse.half is not None and fine.half == pytest.approx(coarse.half, rel=0.25)
    assert "points, 0.0157 apart in x" in str(tr.shattering(line_net(PRESETS["preact"], 1), readouts=1))


def test_pairs_are_correlated_as_their_gradients_are() -> None:
    x = tr.Input(shape=(6,))
    model = tr.Model(x, layers.Dense(1, use_bias=False)(layers.Dense(8, activation="relu")(x)))
    found = pair_correlations(model, X, readouts=1, statistics="moving")
    (first, head), mask = model.get_weights()[::2], X @ model.get_weights()[0] > 0
    gradients = (mask * head[:, 0]) @ first.T  # of the last layer, whose readout is one number times it
    gram = gradients @ gradients.T
    pairs = (gram.sum() - np.trace(gram)) / (np.trace(gram) * (len(X) - 1))
    assert list(found) == ["dense", "dense_1"]
    assert found["dense_1"] == pytest.approx(pairs, abs=1e-5)
