"""What `fit` tells while it runs: callbacks (early stopping and schedules among them), watching, progress."""

from __future__ import annotations

import pytest
from small_models import bits, compiled, fit, labelled

import tinyres as tr
from tinyres.errors import TraceError


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


def test_a_captured_train_step_takes_watching_on_and_off():
    x, y = labelled(32)
    model, twin = compiled(), compiled()
    step = tr.capture(model.train_step)
    seen = [step(x, y, watch=watch) for watch in (False, True, False, True)]
    fit(twin, x, y, epochs=4, batch_size=32, shuffle=False)
    assert bits(model) == bits(twin)
    assert [len(squares) for _, _, squares in seen] == [0, 1, 0, 1]
    assert seen[1][1][0] == ("dense", 0) and float(seen[1][2][0][0]) > 0


def test_gradients_that_were_not_watched_say_so():
    x, y = labelled(8)
    history = fit(compiled(), x, y)
    with pytest.raises(TraceError, match=r"\[history\] gradients were not watched; got a fit with watch=0; call fit"):
        history.gradients  # noqa: B018


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
