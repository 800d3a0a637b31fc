"""Several inputs and outputs: lists and dicts, a loss, a weight and metrics for each; by Keras' rules and names."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_models import bits, fit

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError

RNG = np.random.default_rng(0)
LEFT, RIGHT = RNG.normal(size=(53, 3)).astype(np.float32), RNG.normal(size=(53, 2)).astype(np.float32)
LABELS = (LEFT[:, 0] > 0).astype(np.int64) + (LEFT[:, 1] > 0.5)
VALUES = (LEFT[:, :1] - RIGHT[:, 1:]).astype(np.float32)

LOSSES = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
WEIGHTS = {"kind": 1.0, "size": 0.25}
METRICS = {"kind": ["accuracy"], "size": ["mae"]}


def two_headed(seed=0):
    tr.manual_seed(seed)
    left, right = tr.Input(shape=(3,), name="left"), tr.Input(shape=(2,), name="right")
    x = layers.Dense(8, activation="relu")(layers.Concatenate()([left, right]))
    x = layers.Dropout(0.1)(layers.BatchNormalization()(x))
    return tr.Model(
        [left, right], [layers.Dense(3, activation="softmax", name="kind")(x), layers.Dense(1, name="size")(x)]
    )


def compiled(optimizer="adam", **options):
    model = two_headed()
    model.compile(optimizer, **{"loss": LOSSES, "loss_weights": WEIGHTS, "metrics": METRICS, **options})
    return model


def as_list(given):
    return [given["kind"], given["size"]]


X = {"left": LEFT, "right": RIGHT}
Y = {"kind": LABELS, "size": VALUES}
KEYS = ["loss", "kind_loss", "size_loss", "kind_accuracy", "size_mae"]


def test_history_has_keras_names():
    history = fit(compiled(), X, Y, epochs=2, validation_split=0.2)
    assert list(history.history) == [*KEYS, *[f"val_{key}" for key in KEYS]]
    assert all(len(values) == 2 for values in history.history.values())


def test_values_are_those_of_the_outputs():
    model = compiled()
    kind, size = model.predict(X)
    expected = [
        -np.log(kind[np.arange(53), LABELS]).mean(),
        np.square(size - VALUES).mean(),
        np.mean(kind.argmax(axis=1) == LABELS),
        np.abs(size - VALUES).mean(),
    ]
    for batch_size in (7, 53, 100):
        total, *parts = model.evaluate(X, Y, batch_size=batch_size)
        np.testing.assert_allclose(parts, expected, rtol=1e-5)
        assert total == pytest.approx(expected[0] + 0.25 * expected[1], rel=1e-5)
    assert list(model.evaluate(X, Y, return_dict=True)) == KEYS


@pytest.mark.slow
def test_lists_tuples_and_dicts_are_one_training():
    runs = []
    for x, y, options in [
        (X, Y, {}),
        ([LEFT, RIGHT], as_list(Y), {}),
        ((LEFT, RIGHT), tuple(as_list(Y)), {}),
        ({"right": RIGHT, "left": LEFT}, {"size": VALUES, "kind": LABELS}, {}),
        (X, Y, {"loss": as_list(LOSSES), "loss_weights": as_list(WEIGHTS), "metrics": as_list(METRICS)}),
        (X, Y, {"metrics": ["accuracy", ["mae"]]}),
        (X, Y, {"metrics": {"size": "mae", "kind": "accuracy"}}),
    ]:
        model = compiled(**options)
        tr.manual_seed(1)
        history = fit(model, x, y, epochs=2, batch_size=16)
        runs.append((bits(model), history.history))
    assert all(run == runs[0] for run in runs)


@pytest.mark.parametrize("weighted", [False, True])
def test_captured_and_eager_are_the_same_bit_for_bit(weighted):
    weights = {"kind": np.linspace(0, 2, 53), "size": np.linspace(1, 0, 53)} if weighted else None
    runs = []
    for capture in (True, False):
        model = compiled()
        tr.manual_seed(1)
        options = {"sample_weight": weights, "validation_split": 0.2}
        history = fit(model, X, Y, epochs=3, batch_size=16, capture=capture, **options)
        runs.append((bits(model), history.history))
    assert runs[0] == runs[1]


def test_it_is_the_loop_written_out():
    model, twin = two_headed(), two_headed()
    model.compile(tr.optim.SGD(lr=0.1), LOSSES, loss_weights=WEIGHTS)
    tr.manual_seed(1)
    fit(model, X, Y, epochs=2, batch_size=16, shuffle=False)
    opt = tr.optim.SGD(twin.parameters(), lr=0.1)
    tr.manual_seed(1)
    for _ in range(2):
        for start in range(0, 53, 16):
            rows = slice(start, start + 16)
            kind, size = twin([tr.tensor(LEFT[rows]), tr.tensor(RIGHT[rows])], training=True, logits=(0,))
            loss = tr.losses.softmax_cross_entropy(kind, tr.tensor(LABELS[rows], dtype="int64"))
            loss = loss + tr.losses.mse(size, tr.tensor(VALUES[rows])) * 0.25
            opt.zero_grad()
            loss.backward()
            opt.step()
    assert bits(model) == bits(twin)


def test_one_loss_alone_is_that_of_every_output():
    a = tr.Input(shape=(3,))
    runs = []
    for loss in ("mse", ["mse", "mse"], {"a": "mse", "b": "mse"}):
        tr.manual_seed(0)
        model = tr.Model(a, [layers.Dense(1, name="a")(a), layers.Dense(1, name="b")(a)])
        model.compile("sgd", loss)
        runs.append(model.evaluate(LEFT, [VALUES, VALUES]))
    assert runs[0] == runs[1] == runs[2] and runs[0][0] == pytest.approx(runs[0][1] + runs[0][2], rel=1e-6)


def test_an_output_without_a_loss_is_not_trained():
    model = compiled(loss={"size": "mse"}, loss_weights=None, metrics=None)
    head = model.get_layer("kind").kernel.numpy()
    history = fit(model, X, {"size": VALUES}, epochs=2)
    assert list(history.history) == ["loss", "size_loss"]
    assert history.history["loss"] == history.history["size_loss"]
    assert np.array_equal(model.get_layer("kind").kernel.numpy(), head)
    again = fit(model, X, [None, VALUES])
    assert list(again.history) == ["loss", "size_loss"]


def test_a_metric_of_an_output_without_a_loss():
    model = compiled(loss={"size": "mse"}, loss_weights=None, metrics={"kind": ["accuracy"]})
    assert list(model.evaluate(X, Y, return_dict=True)) == ["loss", "size_loss", "kind_accuracy"]
    kind, _ = model.predict(X)
    assert model.evaluate(X, Y)[2] == pytest.approx(np.mean(kind.argmax(axis=1) == LABELS), abs=1e-6)


def test_names_that_are_the_same_become_paths():
    x = tr.Input(shape=(3,))
    with tr.name_scope("left"):
        a = layers.Dense(1)(x)
    with tr.name_scope("right"):
        b = layers.Dense(1)(x)
    model = tr.Model(x, [a, b, b])
    model.compile("sgd", "mse")
    names = ["left/dense", "right/dense", "right/dense_1"]
    assert model.output_names == names
    assert list(model.evaluate(LEFT, [VALUES] * 3, return_dict=True)) == ["loss", *[f"{n}_loss" for n in names]]


def test_a_head_that_is_read_again_keeps_its_probabilities():
    """Its loss cannot be computed on logits, for the other output needs what comes after them."""
    x = tr.Input(shape=(3,))
    kind = layers.Dense(3, activation="softmax", name="kind")(x)
    model = tr.Model(x, [kind, layers.Dense(1, name="size")(kind)])
    model.compile("sgd", LOSSES)
    assert model.final_activations == [None, None]
    p, size = model.predict(LEFT)
    values = model.evaluate(LEFT, Y)
    assert values[1] == pytest.approx(-np.log(p[np.arange(53), LABELS]).mean(), rel=1e-5)
    assert values[2] == pytest.approx(np.square(size - VALUES).mean(), rel=1e-5)


def test_the_graph_of_several_outputs():
    model = compiled()
    before = bits(model)
    trace = model.graph(X, Y, training=False).trace(audit="full")
    assert trace.audit().ok and bits(model) == before
    assert trace.loss == pytest.approx(model.evaluate(X, Y)[0], rel=1e-5)
    assert trace["kind"].grad_norm > 0 and trace["size"].grad_norm > 0
    weights = np.zeros(53)
    assert model.graph(X, Y, sample_weight=weights).trace().loss == 0.0
    assert model.graph(X, Y, loss={"size": "mse"}).trace().loss > 0


@pytest.mark.parametrize("capture", [True, False])
def test_watching_several_outputs(capture):
    gradients = fit(compiled(), X, Y, watch=1, capture=capture).gradients
    assert gradients.names[-2:] == ["kind", "size"] or set(gradients.names) >= {"kind", "size", "dense"}
    assert not any("loss" in name for name in gradients.names) and np.isfinite(gradients.norms).all()


def test_a_subclassed_model_with_two_outputs():
    class Twins(tr.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = layers.Dense(1), layers.Dense(2)

        def call(self, x):
            return self.one(x), self.two(x)

    model = Twins()
    model.compile("sgd", ["mse", "mse"], metrics=[["mae"], []])
    history = fit(model, LEFT, [VALUES, RIGHT], epochs=2)
    assert list(history.history) == ["loss", "output_1_loss", "output_2_loss", "output_1_mae"]
    assert [p.shape for p in model.predict(LEFT)] == [(53, 1), (53, 2)]


def test_a_file_keeps_what_each_output_is_trained_on(tmp_path):
    model = compiled()
    tr.manual_seed(1)
    fit(model, X, Y, batch_size=16)
    model.save(tmp_path / "m.npz")
    history = fit(model, X, Y, batch_size=16, epochs=2, initial_epoch=1)
    loaded = tr.load(tmp_path / "m.npz")
    again = fit(loaded, X, Y, batch_size=16, epochs=2, initial_epoch=1)
    assert bits(loaded) == bits(model) and again.history == history.history
    assert (loaded.loss, loaded.loss_weights, loaded.metrics) == (LOSSES, WEIGHTS, METRICS)


def test_training_resumes_within_an_epoch_of_several_outputs(tmp_path):
    class Save(tr.callbacks.Callback):
        def on_batch_end(self, step, logs):
            if step == 1:
                self.model.save(tmp_path / "m.npz")

    model = compiled()
    tr.manual_seed(1)
    history = fit(model, X, Y, batch_size=16, callbacks=[Save()])
    loaded = tr.load(tmp_path / "m.npz")
    again = fit(loaded, X, Y, batch_size=16)
    assert bits(loaded) == bits(model) and again.history == history.history


COMPILE_ERRORS = [
    ({"loss": {"kinds": "mse"}}, "[compile] a dict for loss has names of outputs, ['kind', 'size']; got 'kinds'"),
    ({"loss": ["mse"]}, "[compile] a list for loss has an entry for each output, ['kind', 'size']; got 1; give None"),
    ({"loss": {}}, "[compile] an output must have a loss; got none for any of ['kind', 'size']; give one"),
    ({"loss_weights": [1.0]}, "[compile] a list for loss_weights has an entry for each output, ['kind', 'size'];"),
    ({"loss_weights": {"size": "much"}}, "[compile] a loss weight is a finite number; got 'much'; choose another"),
    ({"loss_weights": [1.0, float("nan")]}, "[compile] a loss weight is a finite number; got nan; choose another"),
    ({"metrics": ["mae"]}, "[compile] a list for metrics has an entry for each output, ['kind', 'size']; got 1; give"),
    ({"metrics": {"kind": ["f1"]}}, "[compile] a metric is one of"),
]


@pytest.mark.parametrize("case", range(len(COMPILE_ERRORS)))
def test_compile_errors(case):
    options, message = COMPILE_ERRORS[case]
    model = compiled()
    before = model.loss, model.optimizer, model.metrics
    with pytest.raises(ArgumentError, match=re.escape(message)):
        model.compile("sgd", **{"loss": LOSSES, **options})
    assert (model.loss, model.optimizer, model.metrics) == before
