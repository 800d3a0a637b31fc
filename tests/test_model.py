"""Model: compile, fit, evaluate, predict, callbacks, metrics, watching; against loops written out by hand."""

from __future__ import annotations

import copy
import html
import math

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, CaptureError, NonFiniteError, TraceError
from tinyres.ops.random import default_generator


def classifier(units=16, dropout=0.0, dtype="float32"):
    inputs = tr.Input(shape=(6,))
    with tr.name_scope("block0"):
        x = layers.Dense(units, activation="relu")(inputs)
        x = layers.BatchNormalization()(x)
        x = layers.Dropout(dropout)(x) if dropout else x
        x = layers.Add()([layers.Dense(units)(x), x])
    model = tr.Model(inputs, layers.Dense(3, activation="softmax")(x))
    return model if dtype == "float32" else model.astype(dtype)


def labelled(n=50, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5)


def compiled(optimizer="adam", seed=0, metrics=("accuracy",), **options):
    tr.manual_seed(seed)
    model = classifier(**options)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


def fit(model, *data, **options):
    return model.fit(*data, verbose=0, **options)


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


class Diary(tr.callbacks.Callback):
    def __init__(self):
        self.pages = []

    def on_train_begin(self):
        self.pages.append("begin")

    def on_train_end(self):
        self.pages.append("end")

    def on_epoch_begin(self, epoch, logs):
        self.pages.append(("epoch", epoch, dict(logs)))

    def on_epoch_end(self, epoch, logs):
        self.pages.append(("done", epoch, sorted(logs)))

    def on_batch_end(self, step, logs):
        self.pages.append((step, sorted(logs)))


def test_callbacks_are_called_in_order():
    x, y = labelled(40)
    diary = Diary()
    model = compiled()
    fit(model, x, y, epochs=3, initial_epoch=2, batch_size=20, callbacks=[diary], validation_split=0.5)
    assert diary.pages == [
        "begin",
        ("epoch", 2, {}),
        (0, ["accuracy", "loss"]),
        ("done", 2, ["accuracy", "loss", "val_accuracy", "val_loss"]),
        "end",
    ]
    assert diary.model is model and model.epoch == 3


def test_a_callback_can_stop_training_at_once():
    class Stop(tr.callbacks.Callback):
        def on_batch_end(self, step, logs):
            self.model.stop_training = step == 1

    x, y = labelled(50)
    model = compiled()
    history = fit(model, x, y, epochs=5, batch_size=10, callbacks=[Stop()])
    assert history.epoch == [0] and model.optimizer.steps == 2
    fit(model, x, y, epochs=1, batch_size=10)
    assert model.optimizer.steps == 7


def test_early_stopping_keeps_the_best_weights():
    x, y = labelled(50)
    model = compiled(tr.optim.Adam(lr=0.5))
    stopping = tr.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    history = fit(model, x, y, epochs=60, validation_split=0.5, callbacks=[stopping])
    losses = history.history["val_loss"]
    assert stopping.best == min(losses) == losses[stopping.best_epoch]
    assert len(losses) == stopping.stopped_epoch + 1 == stopping.best_epoch + 3 < 60
    assert model.evaluate(x[25:], y[25:], 32)[0] == stopping.best


def test_early_stopping_counts_epochs_without_gain():
    class Model:
        stop_training = False

    def stops_after(values, **options):
        stopping = tr.callbacks.EarlyStopping("loss", **options)
        stopping.model = Model()
        for epoch, value in enumerate(values):
            stopping.on_epoch_end(epoch, {"loss": value})
            if stopping.model.stop_training:
                return epoch
        return None

    assert stops_after([3, 2, 1]) is None
    assert stops_after([3, 2, 2, 1]) == 2
    assert stops_after([3, 2, 2, 1, 1, 1], patience=2) == 5
    assert stops_after([3, 2.9, 2.8], min_delta=0.5) == 1
    assert stops_after([1, 2, 1], mode="max") == 2
    assert tr.callbacks.EarlyStopping("val_accuracy").mode == "max"


def test_learning_rate_schedule_reaches_the_captured_step():
    x, y = labelled(40)
    model, twin = (compiled(tr.optim.SGD(lr=1.0)) for _ in range(2))
    schedule = tr.callbacks.LearningRateSchedule(lambda epoch: 0.1 / (epoch + 1))
    tr.manual_seed(0)
    fit(model, x, y, epochs=3, callbacks=[schedule])
    tr.manual_seed(0)
    for epoch in range(3):
        twin.optimizer.lr = 0.1 / (epoch + 1)
        fit(twin, x, y, epochs=epoch + 1, initial_epoch=epoch, capture=False)
    assert bits(model) == bits(twin)
    assert model.optimizer.lr == 0.1 / 3


def test_tracing_in_a_callback_changes_nothing():
    class Trace(tr.callbacks.Callback):
        norms = []

        def on_epoch_end(self, epoch, logs):
            trace = self.model.graph(x[:8], y[:8]).trace()
            self.norms.append(trace["block0/dense"].grad_norm)

        def on_batch_end(self, step, logs):
            self.model.graph(x[:8], y[:8]).trace()

    x, y = labelled(40)
    traced, plain = compiled(dropout=0.3), compiled(dropout=0.3)
    watcher = Trace()
    tr.manual_seed(0)
    fit(traced, x, y, epochs=2, callbacks=[watcher])
    tr.manual_seed(0)
    fit(plain, x, y, epochs=2)
    assert bits(traced) == bits(plain)
    assert len(watcher.norms) == 2 and all(norm > 0 for norm in watcher.norms)


@pytest.mark.parametrize("capture", [True, False])
def test_watch_records_the_gradient_of_every_layer(capture):
    x, y = labelled(32)
    watched, plain = compiled(), compiled()
    trace = watched.graph(x, y).trace()
    tr.manual_seed(0)
    history = fit(watched, x, y, epochs=6, batch_size=32, shuffle=False, watch=2, capture=capture)
    tr.manual_seed(0)
    fit(plain, x, y, epochs=6, batch_size=32, shuffle=False)
    gradients = history.gradients
    assert bits(watched) == bits(plain)
    assert gradients.steps.tolist() == [1, 3, 5]
    assert gradients.names == ["block0/dense", "block0/batch_normalization", "block0/dense_1", "block0/add", "dense"]
    assert gradients.norms.shape == (3, 5) and (gradients.norms > 0).all()
    assert gradients.rows()[0] == {"step": 1, "node": "block0/dense", "norm": gradients.norms[0, 0]}

    single = fit(compiled(), x, y, batch_size=32, shuffle=False, watch=1, capture=capture).gradients
    for name, norm in zip(single.names[:-1], single.norms[0]):
        assert norm == pytest.approx(trace[name].grad_norm, rel=1e-5)


def test_gradients_that_were_not_watched_say_so():
    x, y = labelled(8)
    history = fit(compiled(), x, y)
    with pytest.raises(TraceError, match=r"\[history\] gradients were not watched; got a fit with watch=0; call fit"):
        history.gradients  # noqa: B018


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


def test_progress_lines(capsys):
    x, y = labelled(32)
    compiled().fit(x, y, epochs=2, validation_split=0.25)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1/2  ") and second.startswith("epoch 2/2  ")
    assert all(name in second for name in (" s  loss ", "accuracy ", "val_loss ", "val_accuracy "))
    compiled().fit(x, y, verbose=0)
    assert capsys.readouterr().out == ""


def test_progress_bar(capsys):
    x, y = labelled(32)
    compiled().fit(x, y, epochs=2, verbose=1, live=True)
    out = capsys.readouterr().out
    assert "epoch 2/2" in out and "first/last" in out and "worst block: " in out and "\x1b" not in out


@pytest.mark.parametrize("no_color", [True, False])
def test_live_in_a_terminal(no_color, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    x, y = labelled(32)
    compiled().fit(x, y, epochs=2, verbose=1, live=True, watch=1)
    out = capsys.readouterr().out
    assert "gradient at step 0: block0/dense " in out, "the lines under the bar"
    assert out.count("worst block: block0, |g| x ") > 2 and "\x1b[2K" in out
    assert ("\x1b[33m" in out) is not no_color


def test_live_prints_two_lines_per_epoch(capsys):
    x, y = labelled(32)
    compiled().fit(x, y, epochs=2, verbose=0, live=True, batch_size=16)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2].strip().startswith("gradient at step 3: block0/dense ") and "first/last" in lines[2]
    assert lines[3].startswith("  worst block: block0, |g| x ") and lines[3].endswith(" from dense")


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
    assert shown.startswith("<pre>") and shown.endswith("</pre>")
    assert html.unescape(shown[5:-6]) + "\n" == capsys.readouterr().out
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
