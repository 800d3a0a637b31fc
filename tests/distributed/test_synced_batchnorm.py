"""BatchNormalization(sync=True): the statistics of the whole batch, though ranks share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from on_ranks import needs_mpirun, on_ranks, output

import tinyres as tr
from tinyres import layers

TRAINING = """
import numpy as np
import tinyres as tr
from tinyres import layers

def trained(distributed, capture=True):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((45, 6)).astype(np.float32)
    x[1::2] *= 5.0
    tr.manual_seed(0)
    i = tr.Input(shape=(6,))
    h = layers.BatchNorm(momentum=0.9, sync=True)(layers.Dense(8)(i))
    h = layers.BatchNorm(sync=True, scale=False)(layers.Dense(8)(layers.ReLU()(h)))
    model = tr.Model(i, layers.Dense(3, activation="softmax")(h))
    model.compile(tr.optim.SGD(lr=0.05), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    y = rng.integers(0, 3, 45)
    options = dict(batch_size=20, epochs=2, verbose=0, watch=1, capture=capture, distributed=distributed)
    return model, model.fit(x, y, **options)

def compared(world, capture=True):
    whole, first = trained(None)
    parts, second = trained(world, capture)
    for a, b in zip(whole.get_weights(), parts.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6)
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-5)
    assert first.gradients.names == second.gradients.names
    np.testing.assert_allclose(first.gradients.norms, second.gradients.norms, rtol=1e-3, atol=1e-6)
    return [w.tobytes() for w in parts.get_weights()]
"""
ON_TWO = (
    TRAINING
    + """
world = tr.distributed.world()
captured = compared(world)
assert captured == compared(world, capture=False)
assert world.comm.allgather(captured) == [captured] * 2

model = tr.Sequential([tr.Input(shape=(4,)), layers.Dense(4), layers.BatchNorm(sync=True), layers.Dense(1)])
model.compile(loss="mse")
x = np.ones((16, 4), np.float32)
y = x[:, :1].copy()
y[12] = 3e38  # of the second rank's rows alone
for capture in (True, False):
    try:
        model.fit(x, y, batch_size=16, shuffle=False, verbose=0, capture=capture, distributed=world)
    except tr.errors.NonFiniteError as error:
        assert "on every rank" in str(error) or "the loss is not finite" in str(error)
        print("refused", flush=True)
print("over", flush=True)
"""
)


@pytest.mark.parametrize("capture", [True, False])
def test_of_one_rank_it_is_the_batch(capture: bool) -> None:
    names: dict[str, Any] = {}
    exec(TRAINING, names)
    names["compared"](tr.distributed.world(shards=1), capture)


@needs_mpirun
@pytest.mark.slow
def test_two_ranks_train_as_one_process_does_to_rounding(tmp_path: Path) -> None:
    assert sorted(output(on_ranks(2, ON_TWO, tmp_path)).split()) == ["over"] * 2 + ["refused"] * 4


def test_more_shards_than_ranks_are_refused() -> None:
    model = tr.Sequential([tr.Input(shape=(2,)), layers.Dense(2), layers.BatchNorm(sync=True), layers.Dense(1)])
    model.compile(loss="mse")
    x = np.ones((8, 2), np.float32)
    with pytest.raises(tr.errors.ArgumentError, match="so a rank takes one; got 4 shards on 1 ranks; .* shards=1"):
        model.fit(x, x[:, :1], distributed=tr.distributed.world(shards=4))


def test_it_is_in_the_file(tmp_path: Path) -> None:
    model = tr.Sequential([tr.Input(shape=(2,)), layers.BatchNorm(sync=True)])
    model.save(tmp_path / "model.npz")
    assert tr.load(tmp_path / "model.npz").layers[0].sync is True
