"""Cross-entropy of tokens: labels of any shape, some of which do not count, and smoothing; against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers, losses

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(4, 6, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, (4, 6))
PADDED = np.where(RNG.random((4, 6)) < 0.4, -100, LABELS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("labels", [LABELS, PADDED, np.where(LABELS == 2, -100, LABELS)], ids=["all", "padded", "some"])
def test_the_loss_and_its_gradients_are_pytorchs(labels: np.ndarray, smoothing: float) -> None:
    torch = pytest.importorskip("torch")
    x = tr.tensor(Z, requires_grad=True, dtype="float64")
    theirs = torch.tensor(Z.astype(np.float64), requires_grad=True)
    ours = losses.softmax_cross_entropy(x, labels, ignore_index=-100, label_smoothing=smoothing)
    wanted = torch.nn.functional.cross_entropy(
        theirs.reshape(-1, 5), torch.tensor(labels).reshape(-1), ignore_index=-100, label_smoothing=smoothing
    )
    assert ours.item() == pytest.approx(wanted.item(), rel=1e-12)
    (first,) = tr.grad(ours, [x], create_graph=True)
    (of_theirs,) = torch.autograd.grad(wanted, [theirs], create_graph=True)
    (second,) = tr.grad((first * first).sum(), [x])
    (second_of_theirs,) = torch.autograd.grad((of_theirs * of_theirs).sum(), [theirs])
    np.testing.assert_allclose(first.numpy(), of_theirs.detach().numpy(), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(second.numpy(), second_of_theirs.numpy(), rtol=1e-9, atol=1e-14)


def test_where_nothing_counts_the_loss_and_its_gradient_are_0() -> None:
    x = tr.tensor(Z, requires_grad=True)
    loss = losses.softmax_cross_entropy(x, np.full((4, 6), -1), ignore_index=-1)
    loss.backward()
    assert loss.item() == 0.0
    assert x.grad is not None and not x.grad.numpy().any()


def test_an_ignored_class_may_be_one_of_the_classes() -> None:
    counted = LABELS != 3
    log_p = np.log(np.exp(Z.astype(np.float64)) / np.exp(Z.astype(np.float64)).sum(-1, keepdims=True))
    each = -np.take_along_axis(log_p, LABELS[..., None], -1)[..., 0]
    value = losses.softmax_cross_entropy(tr.tensor(Z), LABELS, ignore_index=3)
    assert value.item() == pytest.approx(each[counted].mean(), rel=1e-5)


@pytest.mark.parametrize("from_logits", [False, True])
def test_reductions_and_weights_are_over_what_counts(from_logits: bool) -> None:
    p = np.exp(Z.astype(np.float64)) / np.exp(Z.astype(np.float64)).sum(-1, keepdims=True)
    counted = PADDED != -100
    each = np.where(counted, -np.log(np.take_along_axis(p, np.maximum(PADDED, 0)[..., None], -1)[..., 0]), 0)
    given = Z if from_logits else p

    def made(reduction: str | None) -> losses.Loss:
        return losses.SparseCategoricalCrossentropy(from_logits, ignore_class=-100, reduction=reduction)

    np.testing.assert_allclose(made(None)(PADDED, given).numpy(), each, rtol=1e-4, atol=1e-6)
    assert made("sum_over_batch_size")(PADDED, given).item() == pytest.approx(each.sum() / counted.sum(), rel=1e-5)
    assert made("sum")(PADDED, given).item() == pytest.approx(each.sum(), rel=1e-5)
    for weight in (RNG.uniform(0, 2, 4), RNG.uniform(0, 2, (4, 6))):
        weighted = (each * weight.reshape(4, -1)).sum()
        got = made("sum_over_batch_size")(PADDED, given, sample_weight=weight).item()
        assert got == pytest.approx(weighted / counted.sum(), rel=1e-4)
        assert made("sum")(PADDED, given, sample_weight=weight).item() == pytest.approx(weighted, rel=1e-4)


def tokens(ignore_class: int | None, smoothing: float = 0.0, activation: str | None = "softmax") -> tr.Model:
    tr.manual_seed(0)
    inputs = tr.Input(shape=(6, 5))
    model = tr.Model(inputs, layers.Dense(5, activation=activation)(inputs))
    loss = losses.SparseCategoricalCrossentropy(
        from_logits=activation is None, ignore_class=ignore_class, label_smoothing=smoothing
    )
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("activation", ["softmax", None])
def test_fit_and_evaluate_leave_out_what_is_ignored(activation: str | None) -> None:
    model = tokens(-100, activation=activation)
    p = model.predict(Z).astype(np.float64)
    if activation is None:
        p = np.exp(p) / np.exp(p).sum(-1, keepdims=True)
    counted = PADDED != -100
    wanted = -np.log(np.take_along_axis(p, np.maximum(PADDED, 0)[..., None], -1)[..., 0])[counted].mean()
    loss, accuracy = model.evaluate(Z, PADDED, verbose=0)
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(-1) == PADDED)[counted].mean(), rel=1e-6)
    weights = []
    for capture in (True, False):
        model = tokens(-100, 0.1, activation)
        model.fit(Z, PADDED, epochs=3, batch_size=2, verbose=0, capture=capture)
        weights.append([w.tobytes() for w in model.get_weights()])
    assert weights[0] == weights[1]


def test_a_label_out_of_range_that_is_not_the_ignored_one_is_refused() -> None:
    with pytest.raises(tr.errors.ArgumentError, match=r"labels lie in 0..4, .* got -1 to -1"):
        tokens(-100).fit(Z, np.where(PADDED == -100, -100, -1), verbose=0)


def test_a_model_with_such_a_loss_is_saved(tmp_path: object) -> None:
    model = tokens(-100, 0.1)
    model.save(f"{tmp_path}/m.npz")
    loaded = tr.load(f"{tmp_path}/m.npz")
    assert loaded.evaluate(Z, PADDED, verbose=0) == model.evaluate(Z, PADDED, verbose=0)
    assert (loaded.loss.ignore_class, loaded.loss.label_smoothing) == (-100, 0.1)
