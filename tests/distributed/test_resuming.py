"""A file of one number of ranks goes on with any other, bit for bit, also from within an epoch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from on_ranks import here, needs_mpirun, on_ranks, output

TRAINING = """
import hashlib, os
import numpy as np
import tinyres as tr
from tinyres import layers

world = tr.distributed.world(shards=4)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((70, 6)).astype(np.float32), rng.integers(0, 3, 70)
if os.environ.get("GO_ON") == "yes":
    model = tr.load("kept.npz")
else:
    tr.manual_seed(3)
    i = tr.Input(shape=(6,))
    h = layers.Dropout(0.2)(layers.blocks.preact(layers.Dense(8)(i), 8))
    model = tr.Model(i, layers.Dense(3, activation="softmax")(h))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
plateau = tr.callbacks.ReduceLROnPlateau(monitor="loss", patience=0, min_delta=10.0)
callbacks = [plateau, tr.callbacks.ModelCheckpoint("step_{batch}.npz", save_freq=3)]
epochs = int(os.environ.get("EPOCHS", 3))
history = model.fit(
    x, y, batch_size=16, epochs=epochs, initial_epoch=model.epoch, verbose=0, callbacks=callbacks, distributed=world
)
arrays = [*model.get_weights(), *model.optimizer.state({id(w): n for n, w in model.named_weights().items()}).values()]
digest = hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()
if world.rank == 0:
    print(digest, history.history["loss"][-1], model.optimizer.lr)
"""


@needs_mpirun
@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(4, 1), (2, 4), (1, 2)])
def test_a_file_goes_on_with_another_number_of_ranks(
    first: int, then: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    here(TRAINING)
    whole = capsys.readouterr().out
    for left in tmp_path.glob("step_*.npz"):
        left.unlink()
    output(on_ranks(first, TRAINING, tmp_path, EPOCHS="2"))
    newest = max(tmp_path.glob("step_*.npz"), key=os.path.getmtime)
    shutil.copy(newest, tmp_path / "kept.npz")
    assert output(on_ranks(then, TRAINING, tmp_path, GO_ON="yes")) == whole
