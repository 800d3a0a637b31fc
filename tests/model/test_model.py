"""Model: compile, fit, evaluate, predict, metrics; against loops written out by hand."""

from __future__ import annotations

import copy
import html
import math

import numpy as np
import pytest
from small_models import bits, classifier, compiled, fit, labelled

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, CaptureError, NonFiniteError
from tinyres.ops.random import default_generator


def test_fit_is_the_loop_written_out():
    x, y = labelled()
    model = compiled(optimizer=tr.optim.SGD(lr=0.1, momentum=0.9))
    history = fit(model, x, y, epochs=3, batch_size=16, shuffle=False)

    tr.manual_seed(0)
    twin = classifier()
    head = tr.Model(twin.inputs[0], twin.outputs[0])
    opt = tr.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(3):
        total = 0.0
        for start in range(0, len(x), 16):
            stop = min(start + 16, len(x))
            labels = tr.tensor(y[start:stop], dtype="int64")
            loss = tr.losses.softmax_cross_entropy(head.logits(tr.tensor(x[start:stop]), training=True), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * (stop - start)
        assert history.history["loss"][epoch] == pytest.approx(total / len(x), rel=1e-6)
    assert bits(model) == bits(head)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_captured_and_eager_training_are_the_same_bit_for_bit(optimizer):
    x, y = labelled()
    results = []
    for capture in (True, False):
        model = compiled(optimizer, dropout=0.2)
        history = fit(model, x, y, epochs=3, batch_size=16, capture=capture, validation_split=0.2)
        results.append((bits(model), history.history, default_generator().state.array.tolist()))
    assert results[0] == results[1]


def test_it_learns():
    x, y = labelled(400)
    model = compiled(tr.optim.Adam(lr=0.01))
    history = fit(model, x, y, epochs=20)
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]
    loss, accuracy = model.evaluate(x, y)
    assert accuracy > 0.9 and loss < 0.3
    assert np.mean(model.predict(x).argmax(axis=1) == y) == pytest.approx(accuracy, abs=1e-6)


def test_the_same_seed_gives_the_same_training_and_another_does_not():
    x, y = labelled()
    runs = [compiled(seed=seed) for seed in (1, 1, 2)]
    for seed, model in zip((1, 1, 2), runs):
        tr.manual_seed(seed)
        fit(model, x, y, epochs=2)
    assert bits(runs[0]) == bits(runs[1]) != bits(runs[2])


def test_shuffle_draws_a_new_order_in_each_epoch():
    x = np.arange(8.0).reshape(-1, 1)
    seen = []

    def spy(prediction, target):
        seen.append(target.numpy().ravel().tolist())
        return ((prediction - target) ** 2.0).mean()

    tr.manual_seed(0)
    model = tr.Sequential([tr.Input(shape=(1,)), layers.Dense(1)])
    model.compile("sgd", spy)
    fit(model, x, x, epochs=3, batch_size=8, capture=False)
    assert all(sorted(order) == list(range(8)) for order in seen)
    assert len({tuple(order) for order in seen}) == 3
    seen.clear()
    fit(model, x, x, epochs=1, batch_size=3, capture=False, shuffle=False)
    assert seen == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_evaluate_is_the_mean_over_samples_whatever_the_batch_size():
    x, y = labelled(53)
    model = compiled()
    p = model.predict(x).astype(np.float64)
    loss = -np.log(p[np.arange(53), y]).mean()
    for batch_size in (1, 7, 53, 100):
        measured = model.evaluate(x, y, batch_size=batch_size)
        assert measured == [pytest.approx(loss, rel=1e-5), pytest.approx(np.mean(p.argmax(1) == y), abs=1e-6)]


def test_evaluate_and_predict_leave_no_mark():
    x, y = labelled()
    model = compiled(dropout=0.5)
    before, state = bits(model), default_generator().state.array.tolist()
    model.evaluate(x, y)
    first = model.predict(x)
    np.testing.assert_allclose(model.predict(x, batch_size=7, capture=False), first, rtol=1e-6)
    assert bits(model) == before and default_generator().state.array.tolist() == state
    assert all(p.grad is None for p in model.parameters())


def test_predict_of_several_outputs_and_inputs():
    a, b = tr.Input(shape=(2,), name="a"), tr.Input(shape=(3,), name="b")
    model = tr.Model([a, b], [layers.Concatenate()([a, b]), layers.ReLU()(a)])
    left, right = np.ones((5, 2)), np.zeros((5, 3))
    joined, relu = model.predict([left, right], batch_size=2)
    assert joined.tolist() == np.concatenate([left, right], axis=1).tolist() and relu.tolist() == left.tolist()
    again, _ = model.predict({"b": right, "a": left})
    assert again.tolist() == joined.tolist()


def test_several_inputs_train():
    a, b = tr.Input(shape=(2,), name="a"), tr.Input(shape=(3,), name="b")
    model = tr.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))
    model.compile(tr.optim.SGD(lr=0.1), "mse")
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(64, 2)), rng.normal(size=(64, 3))
    y = left[:, :1] - right[:, 1:2]
    history = fit(model, [left, right], y, epochs=30)
    assert history.history["loss"][-1] < 1e-3


def test_sequential_is_built_by_the_first_data():
    tr.manual_seed(0)
    late = tr.Sequential([layers.Dense(4, activation="relu"), layers.Dense(1)])
    late.compile("sgd", "mse")
    x, y = np.ones((8, 5)), np.ones((8, 1))
    assert not late.built
    fit(late, x, y)
    tr.manual_seed(0)
    early = tr.Sequential([tr.Input(shape=(5,)), layers.Dense(4, activation="relu"), layers.Dense(1)])
    early.compile("sgd", "mse")
    fit(early, x, y)
    assert bits(late) == bits(early)
    assert [type(layer).__name__ for layer in late.layers] == ["Dense", "Dense"]


def test_a_subclassed_model_trains():
    class Residual(tr.Model):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(3, activation="tanh")
            self.out = layers.Dense(1)

        def call(self, x, training=False):
            return self.out(x + self.inner(x))

    model = Residual()
    model.compile(tr.optim.Adam(lr=0.05), "mse", metrics=["mae"])
    x = np.random.default_rng(0).normal(size=(40, 3))
    history = fit(model, x, x.sum(axis=1, keepdims=True), epochs=40)
    assert history.history["mae"][-1] < 0.3 * history.history["mae"][0]
    assert model.predict(x).shape == (40, 1)


def test_float64_models_compute_in_float64():
    x, y = labelled()
    model = classifier(dtype="float64")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit(model, x, y)
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float64")}
    assert model.predict(x).dtype == np.float64


@pytest.mark.parametrize(
    ("loss", "activation", "y"),
    [
        ("categorical_crossentropy", "softmax", np.eye(3)[[0, 1, 2, 0]]),
        ("categorical_crossentropy", "softmax", np.eye(3, dtype=int)[[0, 1, 2, 0]]),
        ("sparse_categorical_crossentropy", "softmax", [0, 1, 2, 0]),
        ("sparse_categorical_crossentropy", "softmax", [[0.0], [1.0], [2.0], [0.0]]),
        (tr.losses.softmax_cross_entropy, None, np.array([0, 1, 2, 0], np.uint8)),
        ("binary_crossentropy", "sigmoid", np.eye(3, dtype=bool)[[0, 1, 2, 0]]),
        ("mse", None, np.eye(3, dtype=int)[[0, 1, 2, 0]]),
        (tr.losses.mse, None, np.eye(3, dtype=int)[[0, 1, 2, 0]]),
        (lambda prediction, target: ((prediction - target) ** 2.0).mean(), None, np.eye(3)[[0, 1, 2, 0]]),
    ],
)
def test_losses_take_their_targets_as_people_have_them(loss, activation, y):
    tr.manual_seed(0)
    x = np.array([[1.0, 0], [0, 1], [1, 1], [1, 0]])
    model = tr.Sequential([tr.Input(shape=(2,)), layers.Dense(3, activation=activation)])
    model.compile(tr.optim.Adam(lr=0.1), loss)
    history = fit(model, x, y, epochs=60)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]


def test_binary_accuracy_is_told_apart_at_one_half():
    model = tr.Sequential([tr.Input(shape=(1,)), layers.Activation("sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy", "mae"])
    x, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [1.0], [1.0]])
    p = 1 / (1 + np.exp(-x))
    loss, accuracy, mae = model.evaluate(x, y)
    assert accuracy == 0.75
    assert mae == pytest.approx(np.abs(p - y).mean(), rel=1e-6)
    assert loss == pytest.approx(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), rel=1e-6)


def test_metrics_of_ones_own():
    def bias(prediction, target):
        return (prediction - target).mean()

    model = tr.Sequential([tr.Input(shape=(1,)), layers.Activation("linear")])
    model.compile("sgd", "mse", metrics=[bias, "mae"])
    assert model.evaluate([[1.0], [3.0]], [[0.0], [0.0]]) == [5.0, 2.0, 2.0]


@pytest.mark.parametrize("rows", [1, 3])
def test_accuracy_of_one_hot_and_labels_agree(rows):
    rng = np.random.default_rng(0)
    p, labels = rng.normal(size=(rows, 4)), rng.integers(0, 4, rows)
    expected = np.mean(p.argmax(1) == labels)
    one_hot = tr.metrics.accuracy(tr.tensor(p), tr.tensor(np.eye(4)[labels]))
    integers = tr.metrics.accuracy(tr.tensor(p), tr.tensor(labels, dtype="int64"))
    assert one_hot.item() == integers.item() == pytest.approx(expected)


def test_validation_split_is_the_last_part_and_is_not_trained_on():
    x, y = labelled(50)
    model, twin = compiled(), compiled()
    tr.manual_seed(3)
    history = fit(model, x, y, validation_split=0.2, epochs=2)
    tr.manual_seed(3)
    other = fit(twin, x[:40], y[:40], validation_data=(x[40:], y[40:]), epochs=2)
    assert bits(model) == bits(twin) and history.history == other.history
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert [history.history["val_loss"][-1], history.history["val_accuracy"][-1]] == model.evaluate(x[40:], y[40:], 32)


def test_freezing_between_fits_is_honoured():
    x, y = labelled(32)
    model = compiled("sgd")
    fit(model, x, y)
    first = model.get_layer("block0/dense")
    first.trainable = False
    before = first.kernel.numpy()
    last = model.get_layer("dense").kernel.numpy()
    fit(model, x, y)
    assert np.array_equal(first.kernel.numpy(), before)
    assert not np.array_equal(model.get_layer("dense").kernel.numpy(), last)
    first.trainable = True
    fit(model, x, y)
    assert not np.array_equal(first.kernel.numpy(), before)


@pytest.mark.parametrize("capture", [True, False])
def test_a_loss_that_is_not_finite_stops_before_its_step(capture):
    x, y = labelled(48)
    x[40] = np.nan
    model, twin = compiled(dropout=0.1), compiled(dropout=0.1)
    message = r"\[fit\] the loss is not finite at epoch 0, step 2; block0/dense/\w+ is the first to give .* NaN"
    tr.manual_seed(0)
    with pytest.raises(NonFiniteError, match=message):
        fit(model, x, y, batch_size=16, shuffle=False, capture=capture)
    drawn = default_generator().state.array.tolist()
    tr.manual_seed(0)
    fit(twin, x[:32], y[:32], batch_size=16, shuffle=False)
    assert bits(model) == bits(twin)
    assert default_generator().state.array.tolist() == drawn
    assert model.optimizer.steps == 2
    state = model.optimizer.state({id(p): str(i) for i, p in enumerate(model.optimizer.params)})
    assert all(np.isfinite(array).all() for key, array in state.items() if key != "hyper")


def test_a_loss_that_reads_values_runs_without_capture():
    seen = []

    def loss(prediction, target):
        value = ((prediction - target) ** 2.0).mean()
        seen.append(float(value))
        return value

    model = tr.Sequential([tr.Input(shape=(1,)), layers.Dense(1)])
    model.compile("sgd", loss)
    history = fit(model, np.ones((4, 1)), np.ones((4, 1)), epochs=2, capture=False)
    assert seen == pytest.approx(history.history["loss"], rel=1e-6)
    with pytest.raises(CaptureError, match="item"):
        fit(model, np.ones((4, 1)), np.ones((4, 1)))


def test_graph_of_a_model():
    x, y = labelled(16)
    model = compiled()
    before = bits(model)
    graph = model.graph(x, y)
    trace = graph.trace()
    assert trace.audit().ok
    assert bits(model) == before and all(p.grad is None for p in model.parameters())
    fit(model, x, y)
    assert graph.trace().loss < trace.loss
    assert model.graph(x, y, training=False).trace().loss == pytest.approx(model.evaluate(x, y)[0], rel=1e-5)
    bare = classifier()
    assert bare.graph(x, y, loss="sparse_categorical_crossentropy").trace().loss > 0
    with pytest.raises(ArgumentError, match=r"\[graph\] a gradient starts from a loss; got none"):
        bare.graph(x, y)


def test_a_model_in_a_notebook_is_its_summary(capsys):
    inputs = tr.Input(shape=(3,))
    model = tr.Model(inputs, layers.Dense(2, name="<wide>")(inputs))
    model.summary()
    shown = model._repr_html_()
    assert shown.startswith("<pre style=") and shown.endswith("</pre>")
    assert html.unescape(shown.partition(">")[2][:-6]) + "\n" == capsys.readouterr().out
    assert "&lt;wide&gt;" in shown and "8 parameters" in shown
    assert "not built yet" in tr.Sequential([layers.Dense(1)])._repr_html_()


def test_a_copy_trains_apart():
    x, y = labelled(32)
    model = compiled()
    twin = copy.deepcopy(model)
    twin.compile("sgd", "sparse_categorical_crossentropy")
    before = bits(model)
    fit(twin, x, y)
    assert bits(model) == before != bits(twin)


def test_compiling_again_with_the_same_optimizer_keeps_its_state():
    x, y = labelled(32)
    model = compiled("adam")
    fit(model, x, y, batch_size=8)
    model.compile(model.optimizer, "sparse_categorical_crossentropy")
    assert model.optimizer.steps == 4


def test_history_repr_and_epochs():
    x, y = labelled(8)
    history = fit(compiled(), x, y, epochs=4, initial_epoch=2)
    assert history.epoch == [2, 3]
    assert repr(history).startswith("History(2 epochs: loss ")
    assert all(isinstance(v, float) and math.isfinite(v) for values in history.history.values() for v in values)


def test_no_epochs_is_no_training():
    x, y = labelled(8)
    model = compiled()
    before = bits(model)
    assert fit(model, x, y, epochs=0).epoch == []
    assert bits(model) == before


def test_a_copy_of_a_trained_subclassed_model():
    class Net(tr.Model):
        def __init__(self):
            super().__init__()
            self.out = layers.Dense(1)

        def call(self, x):
            return self.out(x)

    model = Net()
    model.compile("sgd", "mse")
    x = np.ones((8, 2))
    fit(model, x, x[:, :1], epochs=2, batch_size=4)
    twin = copy.deepcopy(model)
    assert bits(twin) == bits(model) and twin.optimizer is None and model.optimizer.steps == 4
    twin.compile("sgd", "mse")
    before = bits(model)
    fit(twin, x, x[:, :1])
    assert bits(model) == before != bits(twin)


def test_training_adds_no_weights():
    x, y = labelled(16)
    model = compiled()
    names, parameters = list(model.named_weights()), list(model.named_parameters())
    fit(model, x, y, watch=1, validation_split=0.5)
    model.predict(x)
    assert list(model.named_weights()) == names and list(model.named_parameters()) == parameters
