"""Callbacks by Keras' published rules, in the order that they are called, and going on from a file bit for bit."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from small_models import bits, compiled, fit, labelled

import tinyres as tr
from tinyres import callbacks
from tinyres.errors import ArgumentError, FileError, TinyresError


class Model:
    """As much of a model as callbacks look at."""

    def __init__(self):
        self.stop_training = False
        self.optimizer = tr.optim.SGD(lr=1.0)
        self.weights = 0

    def get_weights(self):
        return [np.array(self.weights)]

    def set_weights(self, weights):
        self.weights = int(weights[0])


def drive(callback, values, name="loss"):
    """The epoch after which training stopped, and the rates that each epoch ran at."""
    callback.set_model(Model())
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        rates.append(callback.model.optimizer.lr)
        callback.model.weights = epoch
        callback.on_epoch_end(epoch, {name: value})
        if callback.model.stop_training:
            break
    callback.on_train_end()
    return (epoch if callback.model.stop_training else None), rates


@pytest.mark.parametrize(
    "options, values, stops",
    [
        ({}, [3, 2, 1], None),
        ({"patience": 2}, [3, 2, 2, 1, 1, 1], 5),
        ({"min_delta": 0.5}, [3, 2.9, 2.8], 1),
        ({"min_delta": 0.5}, [3, 2.5, 2.5], 1),  # an improvement of exactly min_delta is none
        ({"patience": 1, "baseline": 1.0}, [3, 2], 0),
        ({"patience": 3, "baseline": 2.5}, [3, 2.9, 2, 2, 2, 2], 5),
        ({"patience": 1, "start_from_epoch": 3}, [1, 2, 3, 4, 5], 4),
        ({"patience": 1}, [float("nan"), 3, float("nan")], 0),
        ({"patience": 2}, [3, float("nan"), float("nan")], 2),
        ({"mode": "max", "patience": 1}, [1, 2, 1], 2),
    ],
    ids=str,
)
def test_early_stopping_by_the_rules_of_keras(options, values, stops):
    assert drive(callbacks.EarlyStopping("loss", **options), values)[0] == stops


def test_early_stopping_takes_its_arguments_in_the_order_of_keras(capsys):
    stopping = callbacks.EarlyStopping("val_acc", 0.1, 2, 1, "auto", 0.5, True, 3)
    assert (stopping.min_delta, stopping.patience, stopping.mode, stopping.baseline) == (0.1, 2, "max", 0.5)
    assert (stopping.restore_best_weights, stopping.start_from_epoch, stopping.verbose) == (True, 3, 1)
    stopping = callbacks.EarlyStopping("loss", verbose=1, patience=1, restore_best_weights=True)
    assert drive(stopping, [3, 1, 2])[0] == 2
    assert stopping.model.weights == 1, "those of the best epoch"
    assert capsys.readouterr().out == "epoch 3: early stopping\nthe weights are those of the best epoch, 2\n"


@pytest.mark.parametrize("name", ["acc", "val_acc", "accuracy", "val_binary_accuracy", "auc", "val_auc", "val_recall"])
def test_what_is_better_when_larger_is_known(name):
    assert callbacks.EarlyStopping(name).mode == callbacks.ReduceLROnPlateau(name).mode == "max"
    assert callbacks.EarlyStopping("val_loss").mode == callbacks.EarlyStopping("mae").mode == "min"


@pytest.mark.parametrize(
    "options, values, rates",
    [
        ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3, 3, 3], [1, 1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 1, "factor": 0.5, "cooldown": 2}, [3] * 8, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]),
        ({"patience": 1, "factor": 0.1, "min_lr": 0.05}, [3] * 5, [1, 1, 0.1, 0.05, 0.05]),
        ({"patience": 1, "factor": 0.5}, [3, 2, 1, 2, 0], [1, 1, 1, 1, 0.5]),
        ({"patience": 1, "factor": 0.5, "min_delta": 1.5}, [3, 2, 2], [1, 1, 0.5]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [1, 2, 3, 3], [1, 1, 1, 1]),
    ],
    ids=str,
)
def test_plateaus_by_the_rules_of_keras(options, values, rates):
    assert drive(callbacks.ReduceLROnPlateau("loss", **options), values)[1] == pytest.approx(rates)


class Diary(tr.callbacks.Callback):
    def __init__(self):
        self.pages = []


for hook in [name for name in vars(tr.callbacks.Callback) if name.startswith("on_") and "on_batch" not in name]:
    setattr(Diary, hook, lambda self, *args, hook=hook: self.pages.append((hook, *args[:-1], sorted(args[-1]))))


def test_every_hook_is_called_in_order():
    x, y = labelled(24)
    diary, model = Diary(), compiled()
    fit(model, x, y, epochs=1, batch_size=8, validation_split=1 / 3, callbacks=[diary])
    keys, both = ["accuracy", "loss"], ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert diary.pages == [
        ("on_train_begin", []),
        ("on_epoch_begin", 0, []),
        ("on_train_batch_begin", 0, []),
        ("on_train_batch_end", 0, keys),
        ("on_train_batch_begin", 1, []),
        ("on_train_batch_end", 1, keys),
        ("on_test_begin", []),
        ("on_test_batch_begin", 0, []),
        ("on_test_batch_end", 0, keys),
        ("on_test_end", keys),
        ("on_epoch_end", 0, both),
        ("on_train_end", both),
    ]
    assert diary.params["epochs"] == 1 and diary.params["steps"] == 2
    diary.pages.clear()
    model.evaluate(x, y, 12, callbacks=[diary])
    model.predict(x, 24, callbacks=[diary])
    assert [page[0] for page in diary.pages] == [
        "on_test_begin",
        *["on_test_batch_begin", "on_test_batch_end"] * 2,
        "on_test_end",
        "on_predict_begin",
        "on_predict_batch_begin",
        "on_predict_batch_end",
        "on_predict_end",
    ]


@pytest.mark.parametrize("by", ["hook", "schedule", "optimizer"])
def test_a_rate_that_is_set_holds_for_the_very_next_step_of_the_captured_loop(by):
    def rate(step):
        return 0.1 / (step + 1)

    class Set(tr.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.lr = rate(self.model.optimizer.steps)

    x, y = labelled(40)
    made = {
        "hook": lambda: (tr.optim.SGD(lr=1.0), [Set()]),
        "schedule": lambda: (tr.optim.SGD(lr=1.0), [callbacks.LearningRateSchedule(rate, by="step")]),
        "optimizer": lambda: (tr.optim.SGD(lr=tr.optim.schedules.InverseTimeDecay(0.1, 1, 1.0)), []),
    }
    model, twin = compiled(made[by]()[0]), compiled(tr.optim.SGD(lr=1.0))
    tr.manual_seed(0)
    fit(model, x, y, epochs=2, batch_size=10, callbacks=made[by]()[1])
    tr.manual_seed(0)
    fit(twin, x, y, epochs=2, batch_size=10, callbacks=[Set()], capture=False)
    assert bits(model) == bits(twin)


def test_learning_rate_scheduler(capsys):
    x, y = labelled(16)
    model = compiled(tr.optim.SGD(lr=1.0))
    history = fit(model, x, y, epochs=3, callbacks=[callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.5, 1)])
    assert history.history["learning_rate"] == [0.5, 0.25, 0.125]
    assert capsys.readouterr().out.splitlines()[1] == "epoch 2: learning rate 0.25"
    fit(model, x, y, callbacks=[callbacks.LearningRateScheduler(lambda epoch: 0.7)])
    assert model.optimizer.lr == 0.7


def test_checkpoints_are_named_by_epoch_and_logs(tmp_path, capsys):
    x, y = labelled(24)
    saving = callbacks.ModelCheckpoint(tmp_path / "new" / "m-{epoch:02d}-{val_loss:.2f}.npz", verbose=1)
    history = fit(compiled(), x, y, epochs=2, validation_split=0.25, callbacks=[saving]).history
    names = [f"m-{i + 1:02d}-{loss:.2f}.npz" for i, loss in enumerate(history["val_loss"])]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == names
    assert tr.load(tmp_path / "new" / names[1]).epoch == 2
    assert capsys.readouterr().out.splitlines()[0].endswith(names[0])


def test_only_the_best_is_kept_and_weights_alone(tmp_path):
    x, y = labelled(24)
    path = tmp_path / "best.npz"
    saving = callbacks.ModelCheckpoint(path, "accuracy", save_best_only=True, save_weights_only=True)
    model = compiled()
    saving.set_model(model)
    saving.on_train_begin()
    kept = {}
    for epoch, value in enumerate([0.5, 0.4, 0.9, 0.9]):
        fit(model, x, y)
        kept[epoch] = bits(model)
        saving.on_epoch_end(epoch, {"accuracy": value})
    other = compiled(seed=5)
    other.load_weights(path)
    assert bits(other) == kept[2] and saving.best == 0.9
    with pytest.raises(FileError, match=r"has weights only; build the model, then model.load_weights"):
        tr.load(path)


@pytest.mark.parametrize("freq", [3, 4])
def test_saved_every_few_steps_it_goes_on_bit_for_bit(tmp_path, freq):
    x, y = labelled(40)
    path = tmp_path / "m-{epoch}-{batch}.npz"
    saving = callbacks.ModelCheckpoint(path, save_freq=freq)
    whole = compiled(dropout=0.3)
    tr.manual_seed(0)
    expected = fit(whole, x, y, epochs=4, batch_size=8, callbacks=[saving]).history  # 5 steps per epoch
    files = sorted(p.name for p in tmp_path.iterdir())
    assert len(files) == 20 // freq
    loaded = tr.load(tmp_path / files[2])
    again = callbacks.ModelCheckpoint(tmp_path / "again-{epoch}-{batch}.npz", save_freq=freq)
    start = loaded.epoch
    found = fit(loaded, x, y, epochs=4, batch_size=8, initial_epoch=start, callbacks=[again]).history
    assert bits(loaded) == bits(whole) and found == {name: v[start:] for name, v in expected.items()}
    assert sorted(p.name for p in tmp_path.glob("again*")) == [f"again{name[1:]}" for name in files[3:]]


def listened(tmp_path, name):
    return [
        callbacks.EarlyStopping("val_loss", patience=6, restore_best_weights=True),
        callbacks.ModelCheckpoint(tmp_path / (name + "-{epoch}.npz")),
        callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, cooldown=1),
        callbacks.CSVLogger(tmp_path / f"{name}.csv"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_state_of_callbacks_goes_on_from_a_file_bit_for_bit(tmp_path, stop):
    x, y = labelled(40, seed=2)
    data = {"validation_data": labelled(20, seed=9), "batch_size": 8}
    whole = compiled(tr.optim.Adam(lr=0.01), dropout=0.3)
    tr.manual_seed(3)
    told = listened(tmp_path, "whole")
    expected = fit(whole, x, y, epochs=30, callbacks=told, **data).history
    epochs = len(expected["loss"])
    assert 6 < epochs and len(set(expected["learning_rate"])) > 2

    (tmp_path / "part.csv").write_bytes((tmp_path / "whole.csv").read_bytes())
    part = listened(tmp_path, "part")
    tr.manual_seed(99)
    loaded = tr.load(tmp_path / f"whole-{stop}.npz")
    found = fit(loaded, x, y, epochs=30, initial_epoch=stop, callbacks=part, **data).history
    assert found == {name: values[stop:] for name, values in expected.items()}
    assert bits(loaded) == bits(whole)
    assert part[0].best == told[0].best and part[0].best_epoch == told[0].best_epoch
    assert (tmp_path / "part.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_fit_that_starts_anew_starts_its_callbacks_anew():
    x, y = labelled(24)
    model = compiled()
    stopping = callbacks.EarlyStopping("loss", patience=3)
    fit(model, x, y, epochs=2, callbacks=[stopping])
    fit(model, x, y, epochs=1, callbacks=[stopping])
    assert stopping.best_epoch == 0


def test_a_table_has_all_digits_and_keeps_what_was_there_until_it_has_something_to_say(tmp_path):
    x, y = labelled(24)
    path = tmp_path / "log.csv"
    path.write_text("old")
    logger = callbacks.CSVLogger(path, separator=";")
    with pytest.raises(TinyresError):
        fit(compiled(), x, y[:3], callbacks=[logger])
    logger.on_train_begin()
    assert path.read_text() == "old"
    history = fit(compiled(), x, y, epochs=2, callbacks=[logger]).history
    rows = list(csv.DictReader(path.read_text().splitlines(), delimiter=";"))
    assert [float(row["loss"]) for row in rows] == history["loss"] and [row["epoch"] for row in rows] == ["0", "1"]
    more = callbacks.CSVLogger(path, separator=";", append=True)
    fit(compiled(), x, y, epochs=3, initial_epoch=1, callbacks=[more])
    assert [row["epoch"] for row in csv.DictReader(path.read_text().splitlines(), delimiter=";")] == ["0", "1", "2"]
    path.write_text("other;things\n1;2\n")
    with pytest.raises(FileError, match=r"\[CSVLogger\] append goes on with a table that it has written; .* is none"):
        fit(compiled(), x, y, callbacks=[more])


def test_events_as_lines_of_json(tmp_path):
    x, y = labelled(24)
    path = tmp_path / "log.jsonl"
    history = fit(compiled(), x, y, epochs=2, batch_size=8, watch=3, callbacks=[callbacks.JSONLines(path, every=2)])
    events = [json.loads(line) for line in path.read_text().splitlines()]
    one = ["EpochBegan", "StepDone", "Watched", "EpochEnded"]
    assert [e["event"] for e in events] == ["TrainingBegan", *one, *one, "TrainingEnded"]
    assert events[4]["logs"] == {name: values[0] for name, values in history.history.items()}
    assert events[3]["norms"] == dict(zip(history.gradients.names, history.gradients.norms[0]))
    assert events[-1] == {"event": "TrainingEnded", "failed": False}


ERRORS = [
    (
        lambda: callbacks.ModelCheckpoint("m.keras"),
        r"\[ModelCheckpoint\] model files end in .npz; got 'm.keras'; name it m.npz",
    ),
    (lambda: callbacks.ModelCheckpoint("m.npz", save_freq=0), r'save_freq is "epoch" or a number of steps >= 1; got 0'),
    (lambda: callbacks.ReduceLROnPlateau(factor=1.0), r"factor is a number between 0 and 1; got 1.0"),
    (lambda: callbacks.ReduceLROnPlateau(cooldown=-1), r"cooldown is an integer >= 0; got -1"),
    (lambda: callbacks.EarlyStopping(3), r"\[EarlyStopping\] monitor is a name in logs; got 3"),
    (lambda: callbacks.CSVLogger("a", separator="--"), r"\[CSVLogger\] separator is one character; got '--'"),
    (lambda: callbacks.JSONLines("a", every="2"), r"\[JSONLines\] every is an integer >= 0; got '2'"),
    (lambda: callbacks.LearningRateSchedule(abs, by="batch"), r'by is "epoch" or "step"; got \'batch\''),
    (lambda: callbacks.LearningRateScheduler(0.1), r"\[LearningRateScheduler\] a schedule is a function .*; got 0.1"),
    (lambda: callbacks.LambdaCallback(on_epoch=print), r"\[LambdaCallback\] the hooks are .*; got on_epoch; use one"),
]


@pytest.mark.parametrize(("act", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors(act, message):
    with pytest.raises(ArgumentError, match=message):
        act()


def test_two_that_set_the_rate_are_refused_and_names_that_are_not_there():
    x, y = labelled(24)
    model = compiled(tr.optim.SGD(lr=tr.optim.schedules.CosineDecay(0.1, 9)))
    with pytest.raises(ArgumentError, match=r"\[ReduceLROnPlateau\] one of them sets the learning rate; got an"):
        fit(model, x, y, callbacks=[callbacks.ReduceLROnPlateau("loss")])
    for name in ("{val_loss}", "{epoch.real.x}", "{epoch[0]}"):
        saving = callbacks.ModelCheckpoint(f"m-{name}.npz")
        with pytest.raises(
            ArgumentError, match=r"\[ModelCheckpoint\] filepath is filled in from epoch, loss, accuracy;"
        ):
            fit(compiled(), x, y, callbacks=[saving])


def test_paths_that_are_none_and_folders_that_cannot_be(tmp_path):
    for kind in (callbacks.ModelCheckpoint, callbacks.CSVLogger, callbacks.JSONLines):
        with pytest.raises(
            FileError, match=rf"\[{kind.__name__}\] a path is a string or a Path; got NoneType; give one"
        ):
            kind(None)
    (tmp_path / "file").touch()
    x, y = labelled(24)
    with pytest.raises(FileError, match=r"\[ModelCheckpoint\] models lie in a folder; .*file' cannot be made"):
        fit(compiled(), x, y, callbacks=[callbacks.ModelCheckpoint(tmp_path / "file" / "m.npz")])
