"""What TensorBoard, MLflow and Weights & Biases are told of a training, read from the files that they write."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError
from tinyres.training.loggers import Logger

X = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
Y = np.arange(16) % 3


def compiled(blocks=3):
    tr.manual_seed(0)
    x = inputs = tr.Input(shape=(4,))
    for i in range(blocks):
        with tr.name_scope(f"block{i}"):
            x = layers.blocks.residual(x, 4)
    model = tr.Model(inputs, layers.Dense(3, activation="softmax")(x))
    model.compile(tr.optim.Adam(lr=0.01), "sparse_categorical_crossentropy", ["accuracy"])
    return model


class Told(Logger):
    """Keeps what it is told."""

    def open(self):
        self.epochs, self.charts = {}, []

    def numbers(self, epoch, values):
        self.epochs[epoch] = dict(values)

    def chart(self, epoch):
        self.charts.append((epoch, self.norms.norms.copy()))


class Kept(Told):
    """Is open or not, and how it was closed."""

    def open(self):
        super().open()
        self.closed = None

    def close(self, failed=False):
        self.closed = failed


class Stopping(tr.callbacks.Callback):
    def __init__(self, error):
        self.error = error

    def on_epoch_end(self, epoch, logs):
        raise self.error


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_a_logger_is_closed_where_a_training_fails(error):
    kept = Kept()
    with pytest.raises(type(error)):
        compiled().fit(X, Y, verbose=0, callbacks=[kept, Stopping(error)])
    assert kept.closed is True
    fit(kept, epochs=1)
    assert kept.closed is False


def test_one_process_of_several_writes():
    assert all(kind.writes for kind in (tr.callbacks.TensorBoard, tr.callbacks.MLflow, tr.callbacks.WandB))


NAMES = ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
LEDGER = ["ledger/first_over_last", "ledger/over_skips"]


def fit(logger, epochs=4, model=None, **options):
    model = model or compiled()
    model.fit(X, Y, epochs=epochs, verbose=0, validation_data=(X, Y), callbacks=[logger], **options)
    return model


def test_what_is_told_is_what_the_history_and_a_trace_say():
    told = Told(ledger=(X, Y), every=2)
    model = fit(told)
    history = model.history.history
    for epoch, values in told.epochs.items():
        assert list(values) == NAMES + (LEDGER if epoch % 2 == 0 else [])
        assert [values[name] for name in NAMES[:4]] == [history[name][epoch] for name in NAMES[:4]]
    assert [epoch for epoch, _ in told.charts] == [0, 2]
    assert told.norms.names == ["block0", "block1", "block2"] and told.charts[-1][1].shape == (2, 3)
    fit(told, epochs=1, model=model)  # another training begins another chart
    trace = model.graph(X, Y).trace()
    assert told.norms.norms.tolist() == [[block.grad_norm for block in trace.blocks]]
    assert told.epochs[0]["ledger/over_skips"] == pytest.approx(np.mean([block.skip for block in trace.blocks]))


def test_a_logger_leaves_no_mark_on_the_training():
    assert np.array_equal(fit(Told(ledger=(X, Y))).get_weights()[0], fit(Told()).get_weights()[0])


def test_the_learning_rate_is_that_of_the_epoch_and_no_ledger_is_told_unasked():
    told = Told()
    model = compiled()
    halved = tr.callbacks.LearningRateSchedule(lambda epoch: 0.01 * 0.5**epoch)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[halved, told])
    assert [values["learning_rate"] for values in told.epochs.values()] == pytest.approx([0.01, 0.005, 0.0025])
    assert told.charts == [] and all(len(values) == 3 for values in told.epochs.values())


@pytest.mark.parametrize(
    "options, said", [({"ledger": X}, "give ledger="), ({"every": 0}, "every is a number of epochs")]
)
def test_options_that_are_refused(options, said):
    with pytest.raises(ArgumentError, match=said):
        Told(**options)


def events_of(folder):
    """Every event in TensorBoard's files: a length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            yield Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length


@pytest.mark.slow
def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    pytest.importorskip("matplotlib")
    model = fit(tr.callbacks.TensorBoard(tmp_path / "logs", ledger=(X, Y)), epochs=3)
    scalars, pictures = {}, {}
    for event in events_of(tmp_path / "logs"):
        for value in event.summary.value:
            kept = pictures if value.HasField("image") else scalars
            kept.setdefault(value.tag, {})[event.step] = value
    assert sorted(scalars) == sorted([*NAMES, *LEDGER])
    assert [v.simple_value for v in scalars["loss"].values()] == pytest.approx(model.history.history["loss"])
    assert list(scalars["loss"]) == [0, 1, 2]
    assert list(pictures) == ["ledger"] and list(pictures["ledger"]) == [0, 1, 2]  # one chart, however many blocks
    assert pictures["ledger"][2].image.encoded_image_string.startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    try:
        mlflow.set_experiment("nets")
        model = fit(tr.callbacks.MLflow("first", ledger=(X, Y)), epochs=3)
        assert mlflow.active_run() is None
        with mlflow.start_run() as mine:
            fit(tr.callbacks.MLflow(), epochs=1)
            assert mlflow.active_run() is not None
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("nets").experiment_id
        runs = {run.info.run_id: run for run in client.search_runs([experiment])}
        assert len(runs) == 2
        (other,) = set(runs) - {mine.info.run_id}
        assert runs[other].info.run_name == "first" and runs[other].data.params == {"optimizer": "Adam", "epochs": "3"}
        losses = client.get_metric_history(other, "loss")
        assert [m.step for m in losses] == [0, 1, 2]
        assert [m.value for m in losses] == pytest.approx(model.history.history["loss"])
        assert sorted(runs[other].data.metrics) == sorted([*NAMES, *LEDGER])
        assert [artifact.path for artifact in client.list_artifacts(other)] == ["ledger.png"]
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    kept = []
    run = wandb.init(project="nets", mode="offline", dir=tmp_path)
    log = run.log
    run.log = lambda values, **options: (kept.append(values), log(values, **options))
    try:
        model = fit(tr.callbacks.WandB(ledger=(X, Y)), epochs=2)
        assert wandb.run is run  # it was there before
    finally:
        run.finish()
    numbers = [values for values in kept if "loss" in values]
    assert [values["loss"] for values in numbers] == model.history.history["loss"]
    charts = [values["ledger"] for values in kept if "ledger" in values]
    assert len(charts) == 2
    assert {row[1] for row in charts[-1].table.data} == {"block0", "block1", "block2"}
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    fit(tr.callbacks.WandB("nets", "mine", options={"mode": "offline", "dir": str(tmp_path)}), epochs=1)
    assert wandb.run is None and len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


def test_they_go_by_keras_module_too():
    assert json.dumps(sorted({"MLflow", "TensorBoard", "WandB"} & set(dir(tr.keras.callbacks)))) == (
        '["MLflow", "TensorBoard", "WandB"]'
    )
