"""evaluate and predict over ranks: each computes a part of the batches, and all get the whole answer, the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from on_ranks import here, needs_mpirun, on_ranks, output

import tinyres as tr
from tinyres.errors import ArgumentError

ASKING = """
import hashlib
import numpy as np
import tinyres as tr
from tinyres import layers

world = tr.distributed.world(shards=4)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((70, 6)).astype(np.float32), rng.integers(0, 3, 70)
tr.manual_seed(0)
i = tr.Input(shape=(6,))
model = tr.Model(i, [layers.Dense(3, activation="softmax", name="kind")(i), layers.Dense(2, name="place")(i)])
losses = {"kind": "sparse_categorical_crossentropy", "place": "mse"}
model.compile(loss=losses, metrics={"kind": ["accuracy"]})
ran, step = [], model.predict_step
model.predict_step = lambda x: ran.append(1) or step(x)

targets = {"kind": y, "place": x[:, :2]}
alone, asked = model.evaluate(x, targets, 16), model.evaluate(x, targets, 16, distributed=world)
np.testing.assert_allclose(asked, alone, rtol=1e-6)
kinds, places = model.predict(x, 16, capture=False, distributed=world)
assert len(ran) == len(range(world.rank, 5, world.size)), ran
assert np.array_equal(kinds, model.predict(x, 16)[0]) and places.shape == (70, 2)
loader = tr.data.Loader(x, [y, x[:, :2]], batch_size=16)
assert model.evaluate(loader, distributed=world) == asked

class Looking(tr.callbacks.Callback):  # what looks at each batch sees them all
    def on_test_batch_end(self, batch, logs):
        told.append(batch)
told = []
model.evaluate(x, targets, 16, callbacks=[Looking()], distributed=world)
assert told == [0, 1, 2, 3, 4]

if world.size > 1:
    def refused(ask, what):
        try:
            ask()
            raise SystemExit("it was not refused")
        except tr.errors.TinyresError as error:
            assert f"got the {what}" in str(error), error

    refused(lambda: model.predict(x[: 70 - world.rank], distributed=world), "number of samples: 70 on rank 0 and 69")
    refused(lambda: model.evaluate(x + world.rank, targets, distributed=world), "checksum of the samples")
    model.set_weights([w + world.rank for w in model.get_weights()])
    refused(lambda: model.predict(x, distributed=world), "checksum of the weights")
if world.rank == 0:
    print(hashlib.sha256(repr(asked).encode() + kinds.tobytes()).hexdigest())
"""


@needs_mpirun
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_any_number_of_ranks_answers_as_one(ranks: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here(ASKING)
    alone = capsys.readouterr().out
    assert len(alone) == 65 and output(on_ranks(ranks, ASKING, tmp_path)) == alone


def test_what_is_no_world_is_refused() -> None:
    model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(ArgumentError, match=r"\[predict\] distributed is a world of ranks; got 2; give"):
        model.predict(np.zeros((4, 2)), distributed=2)
    with pytest.raises(ArgumentError, match=r"\[evaluate\] distributed is a world of ranks; got True; give"):
        model.evaluate(np.zeros((4, 2)), np.zeros((4, 1)), distributed=True)
