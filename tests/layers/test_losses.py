"""Losses by name and on logits: values against NumPy, and how a model and a loss are joined."""

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers, losses
from tinyres.errors import ArgumentError, ShapeError
from tinyres.model import Model

Z = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
LABELS = np.array([0, 2, 1, 1, 0])
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
CROSS_ENTROPY = -np.log(P[np.arange(5), LABELS]).mean()


def head(activation, units=3):
    inputs = layers.Input(shape=(3,))
    return Model(inputs, layers.Dense(units, activation=activation)(inputs))


@pytest.mark.parametrize(
    "function, prediction, target",
    [
        (losses.softmax_cross_entropy, Z, LABELS),
        (losses.sparse_categorical_cross_entropy, P, LABELS),
        (losses.categorical_cross_entropy, P, ONE_HOT),
        (losses.categorical_cross_entropy_with_logits, Z, ONE_HOT),
    ],
)
def test_four_ways_to_the_same_cross_entropy(function, prediction, target):
    value = function(tr.tensor(prediction), target)
    assert value.shape == () and value.item() == pytest.approx(CROSS_ENTROPY, rel=1e-5)


def test_binary_cross_entropy_on_probabilities_and_logits():
    t = np.array([[0.0], [1.0], [1.0]], np.float32)
    z = np.array([[0.3], [-2.0], [4.0]], np.float32)
    p = 1 / (1 + np.exp(-z))
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    assert losses.binary_cross_entropy(tr.tensor(p), t).item() == pytest.approx(expected, rel=1e-5)
    assert losses.binary_cross_entropy_with_logits(tr.tensor(z), t).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "name, activation, target, fused",
    [
        ("sparse_categorical_crossentropy", "softmax", tr.tensor(LABELS, dtype="int64"), True),
        ("categorical_crossentropy", "softmax", tr.tensor(ONE_HOT), True),
        ("categorical_crossentropy", "softmax", tr.tensor(ONE_HOT, dtype="int64"), True),
        ("binary_crossentropy", "sigmoid", tr.tensor(ONE_HOT), True),
        ("binary_crossentropy", "softmax", tr.tensor(ONE_HOT), False),
        ("mse", "softmax", tr.tensor(ONE_HOT), False),
        ("mse", None, tr.tensor(ONE_HOT), False),
    ],
)
def test_a_loss_takes_logits_where_the_model_ends_in_what_it_undoes(name, activation, target, fused):
    model = head(activation)
    loss, on_logits = losses.for_model(name, model)
    assert on_logits is fused
    prediction = model(Z, logits=True) if on_logits else model(Z)
    plain = losses.get(name)(model(Z), target)
    value = loss(prediction, target)
    assert value.item() == pytest.approx(plain.item(), rel=1e-5)
    assert (value.node.scope.path, value.node.scope.layer) == ("loss", name)
    value.backward()
    assert model.get_layer("dense").kernel.grad.numpy().any()


def test_a_function_is_a_loss_and_shows_its_name():
    def worst(prediction, target):
        return tr.max((prediction - target) ** 2)

    loss, on_logits = losses.for_model(worst, head("softmax"))
    assert not on_logits and loss.name == "worst"
    assert loss(tr.tensor(P), tr.tensor(ONE_HOT)).item() == pytest.approx(((P - ONE_HOT) ** 2).max(), rel=1e-5)


def test_confident_mistakes_keep_a_finite_loss_and_gradient():
    z = tr.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    loss = losses.softmax_cross_entropy(z, [2])
    loss.backward()
    assert loss.item() == pytest.approx(400.0)
    assert z.grad.numpy().tolist() == [[1.0, 0.0, -1.0]]
    assert np.isfinite(losses.get("sparse_categorical_crossentropy")(tr.tensor([[1.0, 0.0, 0.0]]), [2]).item())


@pytest.mark.parametrize("wrong", ["crossentropy", 3, None])
def test_unknown_losses_list_the_known_ones(wrong):
    with pytest.raises(ArgumentError, match=r"\[loss\] known names are sparse_categorical_crossentropy, .* got "):
        losses.get(wrong)


@pytest.mark.parametrize(
    "function, activation",
    [(losses.softmax_cross_entropy, "softmax"), (losses.binary_cross_entropy_with_logits, "sigmoid")],
)
def test_a_loss_of_logits_after_an_activation_is_refused(function, activation):
    with pytest.raises(ArgumentError, match=f"takes logits, and the model ends in a {activation}; .* leave the"):
        losses.for_model(function, head(activation))


@pytest.mark.parametrize(
    "name, needed", [("sparse_categorical_crossentropy", "softmax"), ("binary_crossentropy", "sigmoid")]
)
def test_a_loss_of_probabilities_after_a_linear_layer_is_refused(name, needed):
    with pytest.raises(ArgumentError, match=rf'\[{name}\] takes probabilities, and .* ends in dense.*"{needed}"'):
        losses.for_model(name, head(None))


def test_softmax_cross_entropy_of_a_softmax_is_refused():
    with pytest.raises(ArgumentError, match=r"\[softmax_cross_entropy\] takes logits"):
        losses.softmax_cross_entropy(head("softmax")(Z), LABELS)


def test_losses_never_broadcast():
    with pytest.raises(ShapeError, match=r"prediction \(5, 1\) and target \(5,\) differ; use y.reshape\(-1, 1\)"):
        losses.mse(tr.tensor(np.zeros((5, 1))), np.zeros(5))
    with pytest.raises(ShapeError, match=r'target \(5,\) differ; for integer labels use the loss "sparse_categorical'):
        losses.categorical_cross_entropy(tr.tensor(P), LABELS)


def test_a_loss_must_give_one_number_as_a_tensor():
    with pytest.raises(ShapeError, match=r"\[<lambda>\] a loss must be one number; got shape \(5, 3\)"):
        losses.get(lambda p, t: p - t)(tr.tensor(P), tr.tensor(ONE_HOT))
    with pytest.raises(ArgumentError, match=r"\[<lambda>\] a loss must return a Tensor; got float"):
        losses.get(lambda p, t: 1.0)(tr.tensor(P), tr.tensor(ONE_HOT))
