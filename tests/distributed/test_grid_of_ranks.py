"""The same SHA-256 of all weights after 100 steps on 1, 2 and 4 ranks: dense nets, convolutions, a Transformer."""

from __future__ import annotations

from pathlib import Path

import pytest
from on_ranks import needs_mpirun, on_ranks, output

TRAINING = """
import hashlib
import sys
import numpy as np
import tinyres as tr
from tinyres import layers

world, kind = tr.distributed.world(shards=4), sys.argv[1]
tr.manual_seed(0)
rng = np.random.default_rng(0)
if kind == "resnet-20":
    (x, y), _ = tr.data.load_fashion()
    x, y = np.asarray(x[:200], np.float32).reshape(-1, 28, 28, 1) / 255, y[:200]
    model, batch = tr.applications.resnet(20, input_shape=(28, 28, 1), width=4), 8
elif kind == "characters":
    ids = rng.integers(0, 20, (200, 13))
    x, y, batch = ids[:, :-1], ids[:, 1:], 8
    model = tr.applications.gpt(20, 12, 2, 2, 16, dropout=0.1)
else:
    (x, y), _ = tr.data.load_digits()
    x, y, batch = x[:800], y[:800], 32
    i = h = tr.Input(shape=(64,))
    h = layers.Dense(32)(h)
    for block in range(8):
        with tr.name_scope(f"block{block}"):
            h = getattr(layers.blocks, kind)(h, 32)
    model = tr.Model(i, layers.Dense(10, activation="softmax")(h))
model.compile(tr.optim.Adam(clip_norm=5.0), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, batch_size=batch, epochs=4, verbose=0, distributed=world)
steps = 4 * -(-len(x) // batch)
digest = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
assert world.comm.allgather(digest) == [digest] * world.size
if world.rank == 0:
    print(steps, digest, history.history)
"""


@needs_mpirun
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tutorial", "preact", "resnet-20", "characters"])
def test_any_number_of_ranks_has_the_same_weights(kind: str, tmp_path: Path) -> None:
    told = {ranks: output(on_ranks(ranks, TRAINING, tmp_path, kind, seconds=300)) for ranks in (1, 2, 4)}
    steps, digest, _ = told[1].split(maxsplit=2)
    assert int(steps) == 100 and len(digest) == 64
    assert told[1] == told[2] == told[4]
