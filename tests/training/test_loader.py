"""tr.data.Loader: its batches, its state, memory-mapped arrays, and training on it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_models import bits, compiled, fit, labelled

import tinyres as tr
from tinyres.errors import ArgumentError, TinyresError
from tinyres.ops.random import default_generator

X, Y = labelled(50)


def loader(**options):
    return tr.data.Loader(X, Y, **{"batch_size": 16, "seed": 3, **options})


def test_each_epoch_has_all_samples_in_a_new_order():
    made = tr.data.Loader(np.arange(10), batch_size=4, seed=1)
    epochs = [np.concatenate(list(made)).tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again = tr.data.Loader(np.arange(10), batch_size=4, seed=1)
    assert [np.concatenate(list(again)).tolist() for _ in range(3)] == epochs
    other = tr.data.Loader(np.arange(10), batch_size=4, seed=2)
    assert np.concatenate(list(other)).tolist() != epochs[0]


def test_the_parts_of_a_batch_belong_together():
    for x, y, w in tr.data.Loader({"a": X, "b": [X[:, 0]][0]}, [Y, X[:, :1]], np.arange(50.0), batch_size=7):
        rows = w.astype(int)
        assert np.array_equal(x["a"], X[rows]) and np.array_equal(x["b"], X[rows, 0])
        assert np.array_equal(y[0], Y[rows]) and np.array_equal(y[1], X[rows, :1])


def test_lengths():
    assert [len(loader(batch_size=size)) for size in (1, 16, 50, 60)] == [50, 4, 1, 1]
    assert [len(loader(batch_size=size, drop_last=True)) for size in (1, 16, 25, 50)] == [50, 3, 2, 1]
    assert [len(y) for _, y in loader()] == [16, 16, 16, 2]
    assert [len(y) for _, y in loader(drop_last=True)] == [16, 16, 16]
    assert [y.tolist() for _, y in loader(shuffle=False, drop_last=True).in_order()][-1] == Y[48:].tolist()


def test_it_goes_on_where_it_was_left():
    whole = list(loader())
    made = loader()
    steps = iter(made)
    first = [next(steps), next(steps)]
    state = made.state()
    assert state == {"seed": 3, "epoch": 0, "batch": 2}
    other = loader(seed=9)
    other.restore(state)
    for rest in (list(made), list(other)):
        for (x, y), (a, b) in zip(first + rest, whole):
            assert np.array_equal(x, a) and np.array_equal(y, b)
    assert made.state() == other.state() == {"seed": 3, "epoch": 1, "batch": 0}


def test_only_the_rows_of_a_batch_are_read(tmp_path):
    X.astype(np.float32).tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", np.float32, "r", shape=X.shape)
    read = []

    class Spy(np.memmap):
        def __getitem__(self, rows):
            read.append(len(range(*rows.indices(50))) if isinstance(rows, slice) else len(rows))
            return super().__getitem__(rows)

    for x, _ in tr.data.Loader(mapped.view(Spy), Y, batch_size=16, seed=3):
        assert type(x) is np.ndarray and x.flags.writeable
    assert read == [16, 16, 16, 2]


def test_a_memory_mapped_training_is_that_of_the_array(tmp_path):
    X.tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", np.float32, "r", shape=X.shape)
    runs = []
    for x in (X, mapped):
        model = compiled()
        fit(model, tr.data.Loader(x, Y, batch_size=16, seed=3), epochs=2)
        runs.append(bits(model))
    assert runs[0] == runs[1]


def test_unshuffled_it_is_the_training_on_arrays():
    runs = []
    for data in ((X, Y), (loader(shuffle=False),)):
        model = compiled(dropout=0.2)
        tr.manual_seed(1)
        history = fit(model, *data, epochs=3, batch_size=16, shuffle=False, validation_data=(X, Y))
        runs.append((bits(model), history.history))
    assert runs[0] == runs[1]


def test_captured_and_eager_are_the_same_bit_for_bit():
    weights = np.linspace(0, 2, 50)
    runs = []
    for capture in (True, False):
        model = compiled(dropout=0.2)
        tr.manual_seed(1)
        data = tr.data.Loader(X, Y, weights, batch_size=16, seed=3)
        history = fit(model, data, epochs=3, capture=capture, validation_data=loader())
        runs.append((bits(model), history.history, data.state()))
    assert runs[0] == runs[1] and runs[0][2] == {"seed": 3, "epoch": 3, "batch": 0}


def test_evaluate_and_predict_go_over_all_samples_in_order_and_do_not_move_it():
    model, made = compiled(), loader(drop_last=True)
    next(iter(made))
    state = made.state()
    assert model.evaluate(made) == model.evaluate(X, Y, batch_size=16)
    assert np.array_equal(model.predict(made), model.predict(X, batch_size=16))
    assert model.predict(tr.data.Loader(X, batch_size=50)).shape == (50, 3)
    assert made.state() == state
    weights = np.linspace(0, 2, 50)
    weighted = tr.data.Loader(X, Y, weights, batch_size=16)
    assert model.evaluate(weighted) == model.evaluate(X, Y, batch_size=16, sample_weight=weights)


def test_class_weight_and_steps_per_epoch():
    runs = []
    for data, options in [
        ((loader(),), {"steps_per_epoch": 2}),
        ((loader(),), {"steps_per_epoch": 2, "capture": False}),
    ]:
        model = compiled()
        fit(model, *data, epochs=2, class_weight={0: 2.0}, **options)
        assert model.optimizer.steps == 4 and data[0].state() == {"seed": 3, "epoch": 2, "batch": 0}
        runs.append(bits(model))
    assert runs[0] == runs[1]


class Save(tr.callbacks.Callback):
    """Saves after step `at` of the training, counted from 0; or after each epoch."""

    def __init__(self, path, at):
        self.path, self.at, self.steps, self.logs = path, at, 0, []

    def on_batch_end(self, step, logs):
        if self.steps == self.at:
            self.model.save(self.path)
        self.steps += 1

    def on_epoch_end(self, epoch, logs):
        self.logs.append(logs)
        if self.at == ("epoch", epoch):
            self.model.save(self.path)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 6, 7, ("epoch", 0), ("epoch", 1)])
def test_training_resumes_bit_for_bit(at, drop_last, tmp_path):
    save = Save(tmp_path / "m.npz", at)
    expected, data = compiled(dropout=0.2), loader(drop_last=drop_last)
    next(iter(data))  # it need not stand at the beginning
    data.restore({"seed": 3, "epoch": 5, "batch": 0})
    fit(expected, data, epochs=4, callbacks=[save], validation_split=0.0)
    drawn = default_generator().state.array.tolist()
    tr.manual_seed(99)
    tr.load(tmp_path / "m.npz").save(tmp_path / "again.npz")
    loaded = tr.load(tmp_path / "again.npz")
    fresh = loader(drop_last=drop_last, seed=77)
    history = fit(loaded, fresh, epochs=4, initial_epoch=loaded.epoch)
    assert bits(loaded) == bits(expected) and fresh.state() == data.state()
    assert loaded.epoch == 4 and loaded.optimizer.steps == expected.optimizer.steps
    assert default_generator().state.array.tolist() == drawn
    for name, values in history.history.items():
        assert values == [logs[name] for logs in save.logs[-len(values) :]]


@pytest.mark.parametrize("at", [0, 2, 5])
@pytest.mark.parametrize("through_a_file", [True, False])
def test_an_interrupted_fit_goes_on(at, through_a_file, tmp_path):
    class Interrupt(tr.callbacks.Callback):
        steps = 0

        def on_batch_end(self, step, logs):
            self.steps += 1
            if self.steps == at + 1:
                raise KeyboardInterrupt

    expected = compiled(dropout=0.2)
    fit(expected, loader(), epochs=3)
    tr.manual_seed(0)
    model, data = compiled(dropout=0.2), loader()
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, epochs=3, callbacks=[Interrupt()])
    assert data.state() == {"seed": 3, "epoch": (at + 1) // 4, "batch": (at + 1) % 4}
    if through_a_file:
        model.save(tmp_path / "m.npz")
        model, data = tr.load(tmp_path / "m.npz"), loader()
    fit(model, data, epochs=3, initial_epoch=model.epoch)
    assert bits(model) == bits(expected) and model.epoch == 3


ERRORS = [
    (lambda: tr.data.Loader(X, Y[:40]), "[Loader] all arrays must have the same number of samples, at least one; got"),
    (lambda: tr.data.Loader(X[:0], Y[:0]), "[Loader] all arrays must have the same number of samples, at least one"),
    (lambda: tr.data.Loader(X, Y, batch_size=0), "[Loader] batch_size is an integer >= 1; got 0; choose another"),
    (lambda: tr.data.Loader(X, Y, seed=-1), "[Loader] seed is an integer >= 0; got -1; choose another"),
    (lambda: tr.data.Loader(X, Y, seed=True), "[Loader] seed is an integer >= 0; got True; choose another"),
    (lambda: tr.data.Loader(X, Y, batch_size=60, drop_last=True), "[Loader] drop_last leaves out the only batch; got"),
    (lambda: tr.data.Loader(3.0), "[Loader] an array needs an axis for the samples; got float; give a list"),
    (lambda: tr.data.Loader([[1], [2, 3]]), "[Loader] samples must be arrays; got a ragged or unreadable list; make"),
    (lambda: tr.data.Loader(None), "[Loader] samples are x, (x, y) or (x, y, sample_weight); got them without x or y"),
    (lambda: loader().restore({"epoch": 1}), "[Loader] a state is what loader.state() gave; got {'epoch': 1}; give"),
    (lambda: loader().restore({"seed": 0, "epoch": 0, "batch": 4}), "[Loader] the state must be of a Loader of the"),
    (lambda: fit(compiled(), loader(), Y), "[fit] a Loader yields (x, y) or (x, y, sample_weight) itself; got y too;"),
    (lambda: fit(compiled(), loader(), validation_split=0.5), "[fit] validation_split cuts arrays; got a Loader; give"),
    (lambda: fit(compiled(), loader(), steps_per_epoch=9), "[fit] steps_per_epoch is at most the number of batches, 4"),
    (lambda: fit(compiled(), loader(), steps_per_epoch=0), "[fit] a number of steps is an integer >= 1; got 0"),
    (lambda: fit(compiled(), tr.data.Loader(X)), "[fit] a batch is (x, y) or (x, y, sample_weight); got ndarray;"),
    (lambda: fit(compiled(), tr.data.Loader(X[:, :5], Y)), "[fit] input takes x of shape (samples, 6); got (32, 5)"),
    (lambda: fit(compiled(), tr.data.Loader(X, Y + 1)), "[fit] labels lie in 0..2, one for each output of the model"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors(case):
    act, message = ERRORS[case]
    with pytest.raises(TinyresError, match=re.escape(message)):
        act()


def test_a_bad_batch_stops_before_its_step():
    y = Y.copy()
    y[40] = 7
    model = compiled()
    with pytest.raises(ArgumentError, match=r"\[fit\] labels lie in 0..2"):
        fit(model, tr.data.Loader(X, y, batch_size=16, shuffle=False))
    assert model.optimizer.steps == 2


def test_repr():
    assert repr(loader()) == "<Loader of 50 samples, 4 batches of 16, at epoch 0>"
