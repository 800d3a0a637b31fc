"""Metrics: values by hand, weights, in fit captured and in Python, names, and what "accuracy" means for an output."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import bits, fit

import tinyres as tr
from tinyres import layers, metrics
from tinyres.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(1)
P = RNG.uniform(0, 1, (40, 3))
LABELS = RNG.integers(0, 3, 40)
ONE_HOT = np.eye(3)[LABELS]
BITS = RNG.integers(0, 2, (40, 3))
W = RNG.uniform(0, 2, 40)


def top(p, labels, k):
    return np.array([np.sum(row > row[label]) < k for row, label in zip(p, labels)], float)


# per-sample values in NumPy, arguments
MEANS = {
    metrics.BinaryAccuracy(): (BITS, np.mean((P > 0.5) == BITS, -1)),
    metrics.BinaryAccuracy(threshold=0.2): (BITS, np.mean((P > 0.2) == BITS, -1)),
    metrics.CategoricalAccuracy(): (ONE_HOT, (P.argmax(1) == LABELS).astype(float)),
    metrics.SparseCategoricalAccuracy(): (LABELS, (P.argmax(1) == LABELS).astype(float)),
    metrics.SparseTopKCategoricalAccuracy(k=2): (LABELS, top(P, LABELS, 2)),
    metrics.TopKCategoricalAccuracy(k=1): (ONE_HOT, top(P, LABELS, 1)),
    metrics.MeanSquaredError(): (ONE_HOT, np.mean((P - ONE_HOT) ** 2, -1)),
    metrics.MeanAbsoluteError(): (ONE_HOT, np.mean(abs(P - ONE_HOT), -1)),
    metrics.CosineSimilarity(): (
        P[::-1],
        np.sum(P * P[::-1], -1) / np.linalg.norm(P, axis=1) ** 1 / np.linalg.norm(P[::-1], axis=1),
    ),
    metrics.Accuracy(): (LABELS, (P.argmax(1) == LABELS).astype(float)),
}


@pytest.mark.parametrize("metric", MEANS, ids=repr)
def test_means_over_samples_with_and_without_weights(metric):
    target, rows = MEANS[metric]
    metric.reset_state()
    for part in (slice(0, 7), slice(7, 40)):
        metric.update_state(target[part], P[part])
    assert metric.result() == pytest.approx(rows.mean(), rel=1e-5)
    metric.reset_state()
    for part in (slice(0, 7), slice(7, 40)):
        metric.update_state(target[part], P[part], sample_weight=W[part])
    assert metric.result() == pytest.approx((W * rows).sum() / W.sum(), rel=1e-5)
    metric.reset_state()


def test_ties_count_and_nan_never_does():
    metric = metrics.SparseTopKCategoricalAccuracy(k=1)
    assert metric([0], [[0.5, 0.5]]) == 1.0
    metric.reset_state()
    assert metric([0], [[np.nan, 0.5]]) == 0.0


def test_root_mean_square_is_over_all_samples():
    metric = metrics.RootMeanSquaredError()
    metric.update_state([0.0, 0.0], [1.0, 1.0])
    metric.update_state([0.0], [5.0])
    assert metric.result() == pytest.approx(3.0)


def keras_auc(y, p, w, curve="ROC", count=200):
    """Keras' rule in NumPy."""
    thresholds = np.array([-1e-7, *[(i + 1) / (count - 1) for i in range(count - 2)], 1 + 1e-7])
    above = p[None] > thresholds[:, None]
    tp, fp = (above * (y * w)).sum(1), (above * ((1 - y) * w)).sum(1)
    if curve == "ROC":
        x, h = fp / fp[0], tp / tp[0]
        return np.sum((x[:-1] - x[1:]) * (h[:-1] + h[1:]) / 2)
    total = 0.0
    for i in range(count - 1):
        gain, taken = tp[i] - tp[i + 1], tp + fp
        if taken[i] - taken[i + 1] <= 0:
            continue
        slope = gain / (taken[i] - taken[i + 1])
        intercept = tp[i + 1] - slope * taken[i + 1]
        ratio = taken[i] / taken[i + 1] if taken[i] > 0 and taken[i + 1] > 0 else 1.0
        total += slope * (gain + intercept * np.log(ratio)) / tp[0]
    return total


@pytest.mark.parametrize("curve", ["ROC", "PR"])
@pytest.mark.parametrize("count", [200, 11])
@pytest.mark.parametrize("weighted", [False, True])
def test_area_by_the_rule_of_keras(curve, count, weighted):
    y, p = RNG.integers(0, 2, 300).astype(float), RNG.uniform(0, 1, 300)
    w = RNG.uniform(0, 2, 300) if weighted else np.ones(300)
    metric = metrics.AUC(count, curve)
    for part in (slice(0, 100), slice(100, 300)):
        metric.update_state(y[part], p[part], w[part] if weighted else None)
    assert metric.result() == pytest.approx(keras_auc(y, p.astype(np.float32), w, curve, count), rel=1e-4)


def test_area_of_few_scores_is_the_share_of_pairs_in_order():
    y, p = np.array([0, 1, 1, 0, 1, 0.0]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    pairs = [np.sign(a - b) / 2 + 0.5 for a in p[y == 1] for b in p[y == 0]]
    assert metrics.AUC()(y, p) == pytest.approx(np.mean(pairs))
    assert metrics.AUC(from_logits=True)(y, np.log(p / (1 - p))) == pytest.approx(np.mean(pairs))
    low, mid, high = (metrics.AUC(4, summation_method=m)(y, p) for m in ("minoring", "interpolation", "majoring"))
    assert low < mid < high
    assert np.isnan(metrics.AUC()([1, 1], [0.2, 0.7])), "one class only"


def test_precision_and_recall():
    y, p = BITS[:, 0], P[:, 0]
    hits = np.sum((p > 0.3) & (y == 1))
    assert metrics.Precision(0.3)(y, p) == pytest.approx(hits / np.sum(p > 0.3))
    assert metrics.Recall(0.3)(y, p) == pytest.approx(hits / np.sum(y))
    assert metrics.Precision()([0, 1], [0.1, 0.2]) == 0.0 == metrics.Recall()([0, 0], [0.9, 0.9])


def sigmoid_model(units=3, activation="sigmoid", loss="binary_crossentropy", measured=("accuracy",)):
    tr.manual_seed(0)
    model = tr.Sequential([tr.Input(shape=(4,)), layers.Dense(units, activation=activation)])
    model.compile("adam", loss, metrics=list(measured))
    return model


def test_accuracy_of_sigmoid_outputs_counts_each_label():
    x = RNG.normal(size=(50, 4)).astype(np.float32)
    model = sigmoid_model()
    y = (model.predict(x) > 0.5).astype(np.int64)
    assert model.evaluate(x, y)[1] == 1.0
    y[0, 0] = 1 - y[0, 0]
    assert model.evaluate(x, y)[1] == pytest.approx(149 / 150)
    logits = sigmoid_model(activation=None, loss=tr.losses.BinaryCrossentropy(from_logits=True))
    logits.set_weights(model.get_weights())
    assert logits.evaluate(x, y)[1] == pytest.approx(149 / 150), "the threshold of logits is 0"


def test_accuracy_of_sigmoid_outputs_with_a_loss_of_labels_is_of_the_largest():
    x = RNG.normal(size=(50, 4)).astype(np.float32)
    model = sigmoid_model(loss="sparse_categorical_crossentropy")
    y = model.predict(x).argmax(axis=1)
    assert model.evaluate(x, y)[1] == 1.0
    y[0] = (y[0] + 1) % 3
    assert model.evaluate(x, y)[1] == pytest.approx(49 / 50)


def test_accuracy_of_softmax_outputs_is_of_the_largest():
    x = RNG.normal(size=(50, 4)).astype(np.float32)
    for loss, target in (("sparse_categorical_crossentropy", LABELS[:25]), ("categorical_crossentropy", ONE_HOT[:25])):
        model = sigmoid_model(activation="softmax", loss=loss)
        right = np.mean(model.predict(x[:25]).argmax(1) == LABELS[:25])
        assert model.evaluate(x[:25], target)[1] == pytest.approx(right)


MEASURED = [
    "accuracy",
    "AUC",
    "mse",
    "MeanAbsoluteError",
    metrics.BinaryAccuracy(threshold=0.3),
    metrics.Precision(name="p"),
    "recall",
    metrics.AUC(curve="PR", name="pr"),
    lambda p, t: (p - t).mean(),
]
NAMES = ["accuracy", "auc", "mse", "mean_absolute_error", "binary_accuracy", "p", "recall", "pr", "<lambda>"]


def test_in_fit_captured_and_in_python_the_same_bit_for_bit_and_as_alone():
    x, y = RNG.normal(size=(50, 4)).astype(np.float32), BITS[:, [0, 1, 2]].repeat(2, 0)[:50]
    histories, models = [], []
    for capture in (True, False):
        model = sigmoid_model(measured=MEASURED)
        tr.manual_seed(1)
        histories.append(fit(model, x, y, epochs=3, batch_size=16, validation_split=0.3, capture=capture).history)
        models.append(model)
    assert histories[0] == histories[1] and bits(models[0]) == bits(models[1])
    assert list(histories[0]) == [prefix + name for prefix in ("", "val_") for name in ["loss", *NAMES]]
    values = dict(zip(["loss", *NAMES], models[0].evaluate(x, y)))
    p = models[0].predict(x)
    assert values["auc"] == pytest.approx(metrics.AUC()(y, p), rel=1e-6)
    assert values["pr"] == pytest.approx(metrics.AUC(curve="PR")(y, p), rel=1e-6)
    assert values["p"] == pytest.approx(metrics.Precision()(y, p), rel=1e-6)
    assert values["mse"] == pytest.approx(np.mean((p - y) ** 2), rel=1e-5)
    assert values["<lambda>"] == pytest.approx(np.mean(p - y), rel=1e-4, abs=1e-6)


def test_sums_within_an_epoch_go_on_from_a_file(tmp_path):
    class Save(tr.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.epoch == 1 and batch == 1:
                self.model.save(tmp_path / "m.npz")

    x, y = RNG.normal(size=(40, 4)).astype(np.float32), BITS
    measured = ["accuracy", "AUC", metrics.BinaryAccuracy(threshold=0.3), metrics.TopKCategoricalAccuracy(k=2)]
    whole = sigmoid_model(measured=measured)
    tr.manual_seed(1)
    expected = fit(whole, x, y, epochs=3, batch_size=8, callbacks=[Save()]).history
    loaded = tr.load(tmp_path / "m.npz")
    found = fit(loaded, x, y, epochs=3, batch_size=8, initial_epoch=loaded.epoch).history
    assert found == {name: values[1:] for name, values in expected.items()} and bits(whole) == bits(loaded)


@pytest.mark.parametrize(
    "given, name",
    [
        ("acc", "acc"),
        ("accuracy", "accuracy"),
        ("BinaryAccuracy", "binary_accuracy"),
        ("SparseTopKCategoricalAccuracy", "sparse_top_k_categorical_accuracy"),
        ("AUC", "auc"),
        ("MSE", "MSE"),
        ("mean_squared_error", "mean_squared_error"),
        ("KLDivergence", "kl_divergence"),
        (metrics.mae, "mae"),
        (metrics.RootMeanSquaredError(name="r"), "r"),
        (metrics.Recall, "recall"),
        (tr.losses.Huber(delta=2.0), "huber"),
    ],
)
def test_names_of_all_spellings(given, name):
    assert metrics.resolve("compile", [given])[0][0] == name


def test_a_function_in_the_order_of_keras():
    def above(y_true, y_pred):
        return tr.mean(y_pred - 2.0 * y_true, axis=-1)

    model = sigmoid_model(measured=[above])
    x = RNG.normal(size=(8, 4))
    p = model.predict(x)
    assert model.evaluate(x, BITS[:8])[1] == pytest.approx(np.mean(p - 2 * BITS[:8]), rel=1e-5)


ERRORS = [
    (lambda: metrics.AUC(curve="L"), ArgumentError, r'\[AUC\] curve is "ROC" or "PR"; got \'L\'; choose'),
    (lambda: metrics.AUC(1), ArgumentError, r"\[AUC\] num_thresholds is an integer >= 2; got 1"),
    (lambda: metrics.AUC(summation_method="x"), ArgumentError, r"\[AUC\] summation_method is .*; got 'x'"),
    (lambda: metrics.Precision(top_k=3), ArgumentError, r"\[Precision\] all outputs are counted, .*; got top_k=3"),
    (
        lambda: metrics.TopKCategoricalAccuracy(0),
        ArgumentError,
        r"\[TopKCategoricalAccuracy\] k is an integer >= 1",
    ),
    (
        lambda: metrics.BinaryAccuracy(threshold="x"),
        ArgumentError,
        r"\[BinaryAccuracy\] threshold is a number; got",
    ),
    (
        lambda: metrics.AUC()([0, 1], [[0.1, 0.9], [0.5, 0.5]]),
        ShapeError,
        r"\[auc\] each output is a score for its own target .*; got outputs \(2, 2\) and targets \(2,\); one-hot",
    ),
    (
        lambda: metrics.SparseCategoricalAccuracy()([[0, 1, 0]], [[0.1, 0.9, 0.0]]),
        ShapeError,
        r"\[sparse_categorical_accuracy\] labels are one integer per row of the prediction \(1, 3\); got \(1, 3\)",
    ),
]


@pytest.mark.parametrize(("act", "error", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors(act, error, message):
    with pytest.raises(error, match=message):
        act()
