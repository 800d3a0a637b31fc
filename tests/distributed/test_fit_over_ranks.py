"""fit(distributed=): the training of the whole batch, however it is cut, and the same bits on any number of ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from on_ranks import here, needs_mpirun, on_ranks, output

import tinyres as tr
from tinyres import layers
from tinyres.backends.buffers import Buffer

ROWS = 70  # batches of 32: the last has 6, fewer than shards


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((ROWS, 6)).astype(np.float32)
    return x, rng.integers(0, 3, ROWS)


def net(penalty: float = 0.0) -> tr.Model:
    tr.manual_seed(0)
    x = tr.Input(shape=(6,))
    decayed = tr.regularizers.L2(penalty) if penalty else None
    h = layers.Dense(8, activation="tanh", kernel_regularizer=decayed)(x)
    return tr.Model(x, layers.Dense(3, activation="softmax")(h))


LABELS = tr.losses.SparseCategoricalCrossentropy
CASES: dict[str, tuple[Any, dict[str, Any], float]] = {
    "plain": ("sparse_categorical_crossentropy", {}, 0.0),
    "penalties": ("sparse_categorical_crossentropy", {}, 0.1),
    "sample_weight": ("sparse_categorical_crossentropy", {"sample_weight": np.linspace(0.1, 3.0, ROWS)}, 0.0),
    "class_weight": ("sparse_categorical_crossentropy", {"class_weight": {0: 3.0, 2: 0.5}}, 0.0),
    "ignored labels": (LABELS(ignore_class=1), {}, 0.1),
    "ignored and weighted": (LABELS(ignore_class=1), {"sample_weight": np.linspace(0.1, 3.0, ROWS)}, 0.0),
    "a sum": (LABELS(reduction="sum"), {}, 0.0),
}


def trained(case: str, **options: Any) -> tuple[list[np.ndarray], dict[str, list[float]]]:
    loss, given, penalty = CASES[case]
    model = net(penalty)
    model.compile(optimizer=tr.optim.SGD(lr=0.02), loss=loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    x, y = data()
    history = model.fit(x, y, epochs=2, verbose=0, validation_data=(x[:40], y[:40]), **given, **options)
    return model.get_weights(), history.history


@pytest.mark.parametrize("case", list(CASES))
def test_shards_are_the_batch_to_rounding(case: str) -> None:
    whole, told = trained(case)
    shards, told_of_shards = trained(case, distributed=tr.distributed.world(shards=8))
    for a, b in zip(whole, shards):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    assert told.keys() == told_of_shards.keys()
    for name, values in told.items():
        np.testing.assert_allclose(values, told_of_shards[name], rtol=1e-5, err_msg=name)


def test_so_are_several_outputs_each_with_its_own_ignored_label() -> None:
    def run(**options: Any) -> tuple[list[np.ndarray], dict[str, list[float]]]:
        tr.manual_seed(0)
        x = tr.Input(shape=(6,))
        h = layers.Dense(8, activation="tanh")(x)
        ends = [layers.Dense(3, activation="softmax", name=n)(h) for n in ("a", "b")]
        model = tr.Model(x, [*ends, layers.Dense(1, name="c")(h)])
        model.compile(
            optimizer=tr.optim.SGD(lr=0.02),
            loss={"a": LABELS(ignore_class=0), "b": LABELS(ignore_class=2), "c": "mse"},
            loss_weights={"a": 1.0, "b": 0.3, "c": 2.0},
            metrics={"a": ["accuracy"], "c": ["mae"]},
        )
        values, labels = data()
        targets = {"a": labels, "b": labels[::-1].copy(), "c": values[:, :1]}
        return model.get_weights(), model.fit(values, targets, epochs=2, verbose=0, **options).history

    whole, told = run()
    shards, told_of_shards = run(distributed=tr.distributed.world(shards=8))
    for a, b in zip(whole, shards):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    for name, values in told.items():
        np.testing.assert_allclose(values, told_of_shards[name], rtol=1e-5, err_msg=name)


def test_watched_norms_are_those_of_the_whole_batch() -> None:
    def norms(**options: Any) -> tr.GradientNorms:
        model = net()
        model.compile(optimizer=tr.optim.SGD(lr=0.02), loss="sparse_categorical_crossentropy")
        return model.fit(*data(), verbose=0, watch=1, **options).gradients

    whole, shards = norms(), norms(distributed=tr.distributed.world(shards=4))
    assert whole.names == shards.names and whole.steps.tolist() == shards.steps.tolist()
    np.testing.assert_allclose(whole.norms, shards.norms, rtol=1e-5)


def test_a_loader_and_a_generator_give_batches_as_arrays_do() -> None:
    x, y = data()
    world = tr.distributed.world(shards=4)

    def run(given: Any, *rest: Any, **options: Any) -> list[bytes]:
        model = net()
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        model.fit(given, *rest, epochs=2, verbose=0, distributed=world, **options)
        return [w.tobytes() for w in model.get_weights()]

    whole = run(x, y, shuffle=False)
    assert run(tr.data.Loader(x, y, batch_size=32, shuffle=False)) == whole

    class Batches:
        def __iter__(self) -> Any:
            return ((x[i : i + 32], y[i : i + 32]) for i in range(0, ROWS, 32))

    assert run(Batches()) == whole


def test_captured_and_in_python_are_the_same_bits_and_the_program_shows_the_sum() -> None:
    world = tr.distributed.world(shards=4)

    def run(capture: bool) -> tr.Model:
        tr.manual_seed(0)
        x = tr.Input(shape=(6,))
        h = layers.Dropout(0.2)(layers.blocks.tutorial(layers.Dense(8)(x), 8))
        model = tr.Model(x, layers.Dense(3, activation="softmax")(h))
        model.compile(optimizer=tr.optim.Adam(clip_norm=1.0), loss="sparse_categorical_crossentropy")
        model.fit(*data(), epochs=2, verbose=0, capture=capture, distributed=world)
        return model

    captured, eager = run(True), run(False)
    assert [w.tobytes() for w in captured.get_weights()] == [w.tobytes() for w in eager.get_weights()]
    program = str(world.step(captured, True).update.program)
    assert "sum_over_shards" in program and "adam" in program and "clip_scale" in program
    assert "batchnorm_grad" in str(world.step(captured, True).gradients.program)


def test_what_is_frozen_stays_as_it_is_and_what_is_trained_may_change() -> None:
    tr.manual_seed(0)
    x = tr.Input(shape=(6,))
    h = layers.BatchNorm(name="norm")(layers.Dense(8, name="first")(x))
    model = tr.Model(x, layers.Dense(3, activation="softmax")(h))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    first, norm = model.layers[1], model.layers[2]
    first.trainable = norm.trainable = False
    before = [w.numpy() for w in (*first.weights, *norm.weights)]

    class Unfreeze(tr.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            same = [np.array_equal(w.numpy(), b) for w, b in zip((*first.weights, *norm.weights), before)]
            assert all(same) if epoch == 0 else not any(same), same
            first.trainable = norm.trainable = True

    world = tr.distributed.world(shards=3)  # thirds do not sum to 1 in float32
    model.fit(*data(), epochs=2, verbose=0, callbacks=[Unfreeze()], distributed=world)


@pytest.mark.parametrize("capture", [True, False])
def test_a_loss_that_is_not_finite_changes_nothing_and_names_the_op(capture: bool) -> None:
    tr.manual_seed(0)
    x = tr.Input(shape=(6,))
    h = layers.Dropout(0.1)(layers.BatchNorm()(layers.Dense(8)(x)))
    model = tr.Model(x, layers.Dense(1)(h))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    values, _ = data()
    values[33] = 1e30  # in the second batch
    world = tr.distributed.world(shards=4)
    seen: list[Any] = []

    class Keep(tr.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen[:] = [model.get_weights(), [g.state.array.tolist() for g in model.generators()]]

    with pytest.raises(tr.errors.NonFiniteError, match="the loss is not finite at epoch 0, step 1; .*first to give"):
        model.fit(
            values, values[:, :1], shuffle=False, verbose=0, capture=capture, callbacks=[Keep()], distributed=world
        )
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), seen[0]))
    assert [g.state.array.tolist() for g in model.generators()] == seen[1]


def test_shards_draw_numbers_of_their_own() -> None:
    tr.manual_seed(0)
    x = tr.Input(shape=(4,))
    model = tr.Model(x, layers.Dense(4, kernel_initializer=lambda shape: np.eye(*shape))(layers.Dropout(0.5)(x)))
    masks: list[np.ndarray] = []

    def keep(prediction: tr.Tensor, target: tr.Tensor) -> tr.Tensor:
        masks.append(prediction.numpy())
        return tr.losses.mse(prediction, target)

    model.compile(optimizer="sgd", loss=keep)
    ones = np.ones((32, 4), np.float32)
    model.fit(ones, ones, epochs=1, verbose=0, capture=False, distributed=tr.distributed.world(shards=2))
    assert len(masks) == 2 and not np.array_equal(*masks)


@pytest.mark.parametrize(
    ("world", "words"),
    [(4, "distributed is a world of ranks; got 4"), ("world", "give tr.distributed.world")],
)
def test_what_is_no_world_is_refused(world: Any, words: str) -> None:
    model = net()
    model.compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(tr.errors.ArgumentError, match=words):
        model.fit(*data(), distributed=world)


def test_a_step_of_ones_own_is_refused() -> None:
    class Own(tr.Model):
        def train_step(self, x: Any, y: Any, sample_weight: Any = None, watch: bool = False) -> Any:
            return super().train_step(x, y, sample_weight, watch)

    x = tr.Input(shape=(6,))
    model = Own(x, layers.Dense(3, activation="softmax")(x))
    model.compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(tr.errors.ArgumentError, match="got a Own with one of its own; write the loop with world.rows"):
        model.fit(*data(), distributed=tr.distributed.world(shards=2))


def test_memory_of_rows_is_used_again() -> None:
    model = net()
    model.compile(loss="sparse_categorical_crossentropy")
    world = tr.distributed.world(shards=8)
    model.fit(*data(), epochs=3, verbose=0, distributed=world)
    free = world.step(model, True)._shards._free
    assert 1 <= len(free) <= 4, "as many rows as the tree is high"
    assert isinstance(world.step(model, True)._shards._row, Buffer)


TRAINING = """
import hashlib
import numpy as np
import tinyres as tr
from tinyres import layers

world = tr.distributed.world(shards=4)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((70, 6)).astype(np.float32), rng.integers(0, 3, 70)
tr.manual_seed(world.rank)  # all get rank 0's weights, order and numbers
i = tr.Input(shape=(6,))
h = layers.Dropout(0.2)(layers.blocks.tutorial(layers.Dense(8)(i), 8))
model = tr.Model(i, layers.Dense(3, activation="softmax")(h))
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

class Stop(tr.callbacks.Callback):  # only the last rank says so
    def on_train_batch_end(self, batch, logs):
        if world.rank == world.size - 1 and self.model.epoch == 1 and batch == 1:
            self.model.stop_training = True
    def on_epoch_end(self, epoch, logs):
        print("epoch", epoch, "over")

callbacks = [Stop(), tr.callbacks.CSVLogger(f"of_rank_{world.rank}.csv")]
how = dict(batch_size=16, validation_data=(x[:40], y[:40]), verbose=0, watch=2, callbacks=callbacks)
history = model.fit(x, y, epochs=5, distributed=world, **how)
told = repr((history.history, history.gradients.norms.tolist(), model.epoch, model.position.step))
digest = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights()) + told.encode()).hexdigest()
assert world.comm.allgather(digest) == [digest] * world.size
if world.rank == 0:
    print(model.epoch, model.position.step, digest)
"""


@needs_mpirun
def test_two_ranks_have_the_bits_of_one_and_the_first_alone_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    here(TRAINING)
    alone = capsys.readouterr().out
    assert alone.startswith("epoch 0 over\nepoch 1 over\n1 2 ")
    (tmp_path / "of_rank_0.csv").unlink()
    assert output(on_ranks(2, TRAINING, tmp_path)) == alone
    assert [path.name for path in tmp_path.glob("*.csv")] == ["of_rank_0.csv"]
