"""Every loss of Keras' list: values by formula, gradients of both orders, weights, options, names, PyTorch's values."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers, losses
from tinyres.errors import ArgumentError, ShapeError
from tinyres.ops import losses as values

RNG = np.random.default_rng(3)
P = RNG.uniform(0.1, 0.9, (6, 4))
T = RNG.uniform(0.1, 0.9, (6, 4))
ONE_HOT = np.eye(4)[[0, 3, 1, 1, 2, 0]]
SIGNS = np.where(RNG.normal(size=(6, 4)) > 0, 1.0, -1.0)
LABELS = np.array([0, 3, 1, 1, 2, 0])


def normalised(x):
    return x / x.sum(axis=-1, keepdims=True)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# name, per-row values in NumPy, targets
FORMULAS = {
    "mse": (lambda p, t: np.mean((p - t) ** 2, -1), T),
    "mae": (lambda p, t: np.mean(np.abs(p - t), -1), T),
    "mape": (lambda p, t: np.mean(100 * np.abs(p - t) / t, -1), T),
    "msle": (lambda p, t: np.mean((np.log1p(p) - np.log1p(t)) ** 2, -1), T),
    "huber": (lambda p, t: np.mean(np.where(abs(p - t) < 1, (p - t) ** 2 / 2, abs(p - t) - 0.5), -1), T + 0.8),
    "squared_output": (lambda p, t: np.mean(p**2, -1), T),
    "log_cosh": (lambda p, t: np.mean(np.log(np.cosh(p - t)), -1), T),
    "hinge": (lambda p, t: np.mean(np.maximum(0, 1 - t * p), -1), SIGNS),
    "squared_hinge": (lambda p, t: np.mean(np.maximum(0, 1 - t * p) ** 2, -1), SIGNS),
    "categorical_hinge": (
        lambda p, t: np.maximum(0, np.max((1 - t) * p, -1) - np.sum(t * p, -1) + 1),
        ONE_HOT,
    ),
    "kl_divergence": (lambda p, t: np.sum(t * np.log(t / p), -1), T),
    "poisson": (lambda p, t: np.mean(p - t * np.log(p + 1e-7), -1), T),
    "cosine_similarity": (lambda p, t: -np.sum(unit(p) * unit(t), -1), T),
    "binary_crossentropy": (lambda p, t: -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p), -1), T),
    "categorical_crossentropy": (lambda p, t: -np.sum(t * np.log(normalised(p)), -1), ONE_HOT),
    "sparse_categorical_crossentropy": (lambda p, t: -np.log(normalised(p)[np.arange(6), t]), LABELS),
}


def test_every_loss_has_a_formula_here():
    assert {*FORMULAS, "dice"} == set(losses.LOSSES)  # dice is no mean over rows: tests/training/test_segmentation.py


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_is_its_formula_and_weights_count_samples(name):
    formula, target = FORMULAS[name]
    rows = formula(P, target)
    p = tr.tensor(P, dtype="float64")
    t = tr.tensor(target, dtype="int64" if target is LABELS else "float64")
    made = losses.LOSSES[name]
    assert losses.get(name)(p, t).item() == pytest.approx(rows.mean(), rel=1e-6)
    assert getattr(losses, name)(p, t).item() == pytest.approx(rows.mean(), rel=1e-6)
    assert made()(t, p).item() == pytest.approx(rows.mean(), rel=1e-6)
    assert made(reduction="sum")(t, p).item() == pytest.approx(rows.sum(), rel=1e-6)
    np.testing.assert_allclose(made(reduction=None)(t, p).numpy(), rows, rtol=1e-6)
    weight = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 1.0])
    weighted = losses.get(name)(p, t, tr.tensor(weight, dtype="float64"))
    assert weighted.item() == pytest.approx((weight * rows).mean(), rel=1e-6)
    assert made()(t, p, sample_weight=weight).item() == pytest.approx((weight * rows).mean(), rel=1e-6)
    assert losses.get(name)(p, t, tr.tensor(np.ones(6), dtype="float64")).item() == pytest.approx(rows.mean())


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_of_both_orders(name):
    target = FORMULAS[name][1]
    t = tr.tensor(target, dtype="int64" if target is LABELS else "float64")
    objective = losses.get(name)
    p = tr.tensor(P, dtype="float64", requires_grad=True)
    assert tr.gradcheck(lambda p: objective(p, t), [p])
    assert tr.gradcheck(lambda p: tr.grad(objective(p, t), [p], create_graph=True)[0], [p])


def test_a_batch_of_zeros_and_ones_is_read_as_signs():
    p, t = tr.tensor([[0.5, -2.0]]), np.array([[1.0, 0.0]])
    assert losses.hinge(p, t).item() == pytest.approx((0.5 + 0.0) / 2)
    assert losses.hinge(p, 2 * t - 1).item() == losses.hinge(p, t).item()
    assert losses.squared_hinge(p, t).item() == pytest.approx(0.125)
    assert losses.hinge(p, np.array([[1, 0]])).item() == pytest.approx(0.25), "integers"


def test_extreme_errors_stay_finite():
    far = tr.tensor([[200.0, -200.0]])
    assert losses.log_cosh(far, [[0.0, 0.0]]).item() == pytest.approx(200 - np.log(2))
    assert losses.huber(far, [[0.0, 0.0]], delta=2.0).item() == pytest.approx(2 * (200 - 1))
    assert losses.cosine_similarity(tr.tensor([[0.0, 0.0]]), [[1.0, 0.0]]).item() == 0.0


def test_labels_of_sequences():
    z = RNG.normal(size=(2, 3, 4))
    labels = np.array([[0, 1, 2], [3, 3, 0]])
    logits = z - np.log(np.exp(z).sum(-1, keepdims=True))
    rows = -np.take_along_axis(logits, labels[..., None], -1)[..., 0]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    assert loss(labels, z).item() == pytest.approx(rows.mean(), rel=1e-5)
    assert loss(labels, z, sample_weight=[2.0, 0.0]).item() == pytest.approx((rows * [[2], [0]]).mean(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothing(smoothing):
    soft = ONE_HOT * (1 - smoothing) + smoothing / 4
    expected = FORMULAS["categorical_crossentropy"][0](P, soft).mean()
    loss = losses.CategoricalCrossentropy(label_smoothing=smoothing)
    assert loss(ONE_HOT, P).item() == pytest.approx(expected, rel=1e-5)
    logits = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    assert logits(ONE_HOT, np.log(P)).item() == pytest.approx(expected, rel=1e-5)
    soft = ONE_HOT * (1 - smoothing) + smoothing / 2
    expected = FORMULAS["binary_crossentropy"][0](P, soft).mean()
    assert losses.BinaryCrossentropy(label_smoothing=smoothing)(ONE_HOT, P).item() == pytest.approx(expected, rel=1e-5)
    z = np.log(P / (1 - P))
    logits = losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    assert logits(ONE_HOT, z).item() == pytest.approx(expected, rel=1e-5)


def test_smoothing_goes_with_the_logits_of_a_model():
    x = tr.Input(shape=(3,))
    model = tr.Model(x, layers.Dense(4, activation="softmax")(x))
    loss, on_logits = losses.for_model(losses.CategoricalCrossentropy(label_smoothing=0.2), model)
    data = RNG.normal(size=(6, 3))
    expected = losses.CategoricalCrossentropy(label_smoothing=0.2)(ONE_HOT, model(data)).item()
    assert on_logits
    assert loss(model(data, logits=True), tr.tensor(ONE_HOT)).item() == pytest.approx(expected, rel=1e-5)


def test_same_as_pytorch():
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    z, t = RNG.normal(size=(6, 4)) * 3, RNG.normal(size=(6, 4))
    tz, tt = torch.tensor(z), torch.tensor(t)
    labels = torch.tensor(LABELS)
    pairs = [
        (losses.huber(tr.tensor(z, dtype="float64"), t, 1.5), f.huber_loss(tz, tt, delta=1.5)),
        (losses.mae(tr.tensor(z, dtype="float64"), t), f.l1_loss(tz, tt)),
        (
            losses.CategoricalCrossentropy(True, label_smoothing=0.1)(ONE_HOT, tr.tensor(z, dtype="float64")),
            f.cross_entropy(tz, labels, label_smoothing=0.1),
        ),
        (
            losses.SparseCategoricalCrossentropy(True, reduction="sum")(LABELS, tr.tensor(z, dtype="float64")),
            f.cross_entropy(tz, labels, reduction="sum"),
        ),
        (-losses.cosine_similarity(tr.tensor(z, dtype="float64"), t), f.cosine_similarity(tz, tt).mean()),
        (
            losses.BinaryCrossentropy(True)(P, tr.tensor(z, dtype="float64")),
            f.binary_cross_entropy_with_logits(tz, torch.tensor(P)),
        ),
    ]
    for ours, theirs in pairs:
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-10)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("MeanSquaredError", "mse"),
        ("mean_squared_error", "mse"),
        ("MSE", "mse"),
        ("MAE", "mae"),
        ("mean_absolute_percentage_error", "mape"),
        ("Huber", "huber"),
        ("KLDivergence", "kl_divergence"),
        ("kullback_leibler_divergence", "kl_divergence"),
        ("kld", "kl_divergence"),
        ("LogCosh", "log_cosh"),
        ("logcosh", "log_cosh"),
        ("BinaryCrossentropy", "binary_crossentropy"),
        ("binary_cross_entropy", "binary_crossentropy"),
        ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
        ("CosineSimilarity", "cosine_similarity"),
        (losses.mean_absolute_error, "mae"),
        (losses.Hinge, "hinge"),
        (losses.Huber(name="robust"), "robust"),
    ],
)
def test_names_of_all_spellings(name, expected):
    assert losses.get(name).name == expected


def test_a_loss_of_ones_own():
    class Cubed(losses.Loss):
        def call(self, y_true, y_pred):
            return tr.mean(tr.abs(y_pred - y_true) ** 3, axis=-1)

    def cubed(y_true, y_pred):
        return Cubed().call(y_true, y_pred)

    def asymmetric(y_true, y_pred):
        return (2.0 * y_true - y_pred).mean()

    p, t = tr.tensor(P), tr.tensor(T)
    rows = (np.abs(P - T) ** 3).mean(-1)
    assert losses.get(Cubed())(p, t).item() == pytest.approx(rows.mean(), rel=1e-5)
    assert losses.get(cubed)(p, t, tr.tensor(np.arange(6.0))).item() == pytest.approx(
        (rows * np.arange(6)).mean(), rel=1e-5
    )
    assert losses.get(asymmetric)(p, t).item() == pytest.approx((2 * T - P).mean(), rel=1e-5), "the order of the names"
    own = losses.get(lambda p, t: ((p - t) ** 2).mean())
    flat = own(tr.tensor(P[:, :1]), tr.tensor(T[:, 0]))
    assert flat.item() == pytest.approx(((P[:, 0] - T[:, 0]) ** 2).mean(), rel=1e-5), "(n,) for (n, 1) is no n x n"
    with pytest.raises(ShapeError, match=r"\[<lambda>\] weights need a loss with one value per sample; got one number"):
        own(p, t, tr.tensor(np.ones(6)))


ERRORS = [
    (lambda: losses.Huber(0), ArgumentError, r"\[Huber\] delta is a finite number > 0; got 0; choose"),
    (lambda: losses.Hinge(reduction="all"), ArgumentError, r"\[Hinge\] reduction is one of .*; got 'all'; choose"),
    (
        lambda: losses.BinaryCrossentropy(label_smoothing=2),
        ArgumentError,
        r"\[BinaryCrossentropy\] label_smoothing is a fraction, 0 <= s <= 1; got 2",
    ),
    (lambda: losses.CategoricalCrossentropy(axis=1), ArgumentError, r"classes stand in the last axis; got axis=1"),
    (
        lambda: losses.SparseCategoricalCrossentropy(ignore_class="pad"),
        ArgumentError,
        r"ignore_class is a label, an integer; got 'pad'",
    ),
    (lambda: losses.get(losses.Hinge(reduction=None)), ArgumentError, r"\[hinge\] training needs one number; got redu"),
    (
        lambda: losses.mse([1.0], tr.tensor([1.0], requires_grad=True)),
        ArgumentError,
        r"\[mse\] the prediction comes first, then the target; got \(1,\) without a gradient and \(1,\) with one",
    ),
    (
        lambda: losses.SparseCategoricalCrossentropy(True)([[0.0, 1.0]], [[0.0, 1.0]]),
        Exception,
        r"labels must be integers|labels are one integer per row",
    ),
    (
        lambda: losses.get("mse")(tr.tensor(P), tr.tensor(T), tr.tensor(np.ones(5))),
        ShapeError,
        r"\[loss\] a weight belongs to each sample, \(6,\); got weights \(5,\) for values \(6, 4\)",
    ),
    (lambda: values.divergence(tr.tensor([1.0]), [1.0]), ShapeError, r"\[kl_divergence\] prediction \(1,\) and target"),
    (
        lambda: losses.SparseCategoricalCrossentropy()([9], tr.tensor([[0.5, 0.5]]), sample_weight=[1.0]),
        ArgumentError,
        r"labels must lie in 0\.\.1 for 2 classes; got 9\.\.9",
    ),
]


@pytest.mark.parametrize(("act", "error", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors(act, error, message):
    with pytest.raises(error, match=message):
        act()


def test_a_softmax_over_one_unit_is_refused():
    model = tr.Sequential([tr.Input(shape=(3,)), layers.Dense(1, activation="softmax")])
    with pytest.raises(ArgumentError, match=r"a softmax over one unit is always 1, .* use activation=.sigmoid."):
        model.compile(loss="binary_crossentropy")


def test_options_survive_a_file():
    for loss in ("mae", losses.Huber(delta=2.0), losses.BinaryCrossentropy(label_smoothing=0.25, from_logits=True)):
        again = losses.decode(losses.encode(loss))
        assert repr(again) == repr(loss)
    assert losses.encode(lambda p, t: p) is None


def test_a_model_keeps_the_options_of_its_loss_in_its_file(tmp_path):
    x, y = RNG.normal(size=(8, 3)), RNG.normal(size=(8, 1))
    model = tr.Sequential([tr.Input(shape=(3,)), layers.Dense(1)])
    model.compile(loss=losses.Huber(delta=0.1))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.npz")
    loaded = tr.load(tmp_path / "model.npz")
    assert repr(loaded.loss) == repr(model.loss) and loaded.evaluate(x, y) == model.evaluate(x, y)
