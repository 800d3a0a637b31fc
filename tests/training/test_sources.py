"""Where fit, evaluate and predict take their data from: generators, iterables, DataFrames, Tensors, lists."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_models import bits, compiled, fit, labelled

import tinyres as tr
from tinyres.errors import ArgumentError, DTypeError, TinyresError

X, Y = labelled(48)
W = np.linspace(0, 2, 48)


def batches(weighted=False, size=16, rounds=1, y=Y):
    for _ in range(rounds):
        for start in range(0, 48, size):
            rows = slice(start, start + size)
            yield (X[rows], y[rows], W[rows]) if weighted else (X[rows], y[rows])


class Batches:
    """Batches that can be iterated over again."""

    def __iter__(self):
        return batches()


class Counted(Batches):
    def __len__(self):
        return 3


def trained(*data, **options):
    model = compiled(dropout=0.2)
    tr.manual_seed(1)
    history = fit(model, *data, epochs=3, **options)
    return bits(model), history.history


@pytest.mark.slow
@pytest.mark.parametrize("capture", [True, False])
def test_what_yields_batches_trains_as_the_arrays_do(capture):
    expected = trained(X, Y, batch_size=16, shuffle=False)
    for data, options in [
        (batches(rounds=3), {"steps_per_epoch": 3}),
        (Batches(), {}),
        (Batches(), {"steps_per_epoch": 3}),
        (Counted(), {}),
        (map(list, batches(rounds=3)), {"steps_per_epoch": 3}),
    ]:
        assert trained(data, capture=capture, **options) == expected
    weighted = trained(X, Y, batch_size=16, shuffle=False, sample_weight=W)
    assert trained(batches(weighted=True, rounds=3), steps_per_epoch=3, capture=capture) == weighted
    classes = trained(X, Y, batch_size=16, shuffle=False, class_weight={1: 2.0})
    assert trained(Batches(), class_weight={1: 2.0}, capture=capture) == classes


def test_an_epoch_of_steps_goes_on_in_what_is_longer():
    seen = []

    class Steps(tr.callbacks.Callback):
        def on_batch_end(self, step, logs):
            seen.append(step)

    model = compiled()
    fit(model, batches(rounds=3), steps_per_epoch=4, epochs=2, callbacks=[Steps()])
    assert seen == [0, 1, 2, 3] * 2 and model.epoch == 2
    other = compiled()
    fit(other, Batches(), steps_per_epoch=4, epochs=2)
    assert bits(other) == bits(model)


def test_one_epoch_needs_no_number_of_steps():
    model = compiled()
    history = fit(model, batches())
    assert model.optimizer.steps == 3 and model.epoch == 1 and len(history.history["loss"]) == 1


def test_batches_may_have_any_sizes():
    cuts = [0, 5, 21, 22, 48]
    rows = [slice(a, b) for a, b in zip(cuts, cuts[1:])]
    runs = []
    for capture in (True, False):
        model = compiled()
        history = fit(model, ((X[r], Y[r]) for r in rows), capture=capture)
        runs.append((bits(model), history.history))
    assert runs[0] == runs[1]


def test_evaluate_predict_and_validation():
    model = compiled()
    expected = model.evaluate(X, Y, batch_size=16)
    assert model.evaluate(batches()) == model.evaluate(Batches()) == model.evaluate(Batches(), steps=3) == expected
    assert model.evaluate(batches(rounds=9), steps=3) == expected
    assert model.evaluate(batches(weighted=True)) == model.evaluate(X, Y, batch_size=16, sample_weight=W)
    for given in (batches(), Batches(), (x for x, _ in batches()), ((x,) for x, _ in batches()), map(list, batches())):
        assert np.array_equal(model.predict(given), model.predict(X, batch_size=16))
    assert model.predict(batches(rounds=9), steps=2).shape == (32, 3)
    assert model.predict(X, batch_size=16, steps=2).shape == (32, 3)
    loader = tr.data.Loader(X, Y, batch_size=16)
    for data, options in [(Batches(), {}), (batches(rounds=4), {"validation_steps": 3}), (loader, {})]:
        history = fit(compiled(), X, Y, batch_size=16, epochs=2, shuffle=False, validation_data=data, **options)
        arrays = fit(compiled(), X, Y, batch_size=16, epochs=2, shuffle=False, validation_data=(X, Y))
        assert history.history == arrays.history


def test_live_and_watch_without_a_known_number_of_steps(capsys):
    history = fit(compiled(), Batches(), epochs=2, watch=2, live=True)
    assert history.gradients.steps.tolist() == [1, 3, 5]
    assert "worst block" in capsys.readouterr().out
    compiled().fit(Batches(), epochs=1, verbose=1)
    assert "epoch 1/1" in capsys.readouterr().out


ERRORS = [
    (lambda m: fit(m, batches(), epochs=2), "[fit] a generator has no second epoch; got one for 2 epochs; say how"),
    (lambda m: fit(m, iter([])), "[fit] there must be at least one batch; got a list_iterator without; fill it"),
    (lambda m: m.evaluate(iter([])), "[evaluate] there must be at least one batch; got a list_iterator without"),
    (lambda m: m.predict(iter([])), "[predict] there must be at least one batch; got a generator without any; give it"),
    (lambda m: fit(m, batches(), Y), "[fit] a generator yields (x, y) or (x, y, sample_weight) itself; got y too;"),
    (lambda m: m.evaluate(batches(), sample_weight=W), "[evaluate] a generator yields (x, y) or (x, y, sample_weight)"),
    (lambda m: fit(m, iter([X])), "[fit] a batch is (x, y) or (x, y, sample_weight); got ndarray; yield a tuple"),
    (lambda m: fit(m, iter([(X,)])), "[fit] a batch is (x, y) or (x, y, sample_weight); got 1 parts; yield a tuple"),
    (lambda m: fit(m, iter([(X, Y + 3)])), "[fit] labels lie in 0..2, one for each output of the model; got"),
    (lambda m: fit(m, batches(), validation_split=0.2), "[fit] validation_split cuts arrays; got a generator; give"),
    (lambda m: fit(m, X, Y, validation_data=(X,)), "[fit] validation_data is a pair (x, y); got tuple; write"),
    (
        lambda m: fit(m, X, Y, epochs=3, validation_data=batches()),
        "[fit: validation_data] a generator has no second epoch; got one for 3 epochs; say how many steps",
    ),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors_come_before_anything_changes(case):
    act, message = ERRORS[case]
    model = compiled()
    before = bits(model)
    with pytest.raises(TinyresError, match=re.escape(message)):
        act(model)
    assert bits(model) == before and model.optimizer.steps == 0


def test_a_generator_that_ends_too_early():
    model = compiled()
    message = r"\[fit\] an epoch has 5 steps; got 3 from a generator before it ended; let it yield for ever, or say"
    with pytest.raises(ArgumentError, match=message):
        fit(model, batches(), steps_per_epoch=5)
    assert model.optimizer.steps == 3


def test_a_generator_cannot_resume_within_an_epoch(tmp_path):
    class Save(tr.callbacks.Callback):
        def on_batch_end(self, step, logs):
            if step == 1:
                self.model.save(tmp_path / "m.npz")

    fit(compiled(), batches(), callbacks=[Save()])
    loaded = tr.load(tmp_path / "m.npz")
    before = bits(loaded)
    message = r"\[fit\] the model was saved within an epoch, and a generator cannot be taken back there; got one for"
    with pytest.raises(ArgumentError, match=message):
        fit(loaded, batches())
    assert bits(loaded) == before
    loaded.position = None
    fit(loaded, batches())
    assert loaded.epoch == 1 and loaded.optimizer.steps == 5


def test_a_generator_resumes_at_the_end_of_an_epoch(tmp_path):
    model = compiled(dropout=0.2)
    fit(model, batches())
    model.save(tmp_path / "m.npz")
    fit(model, batches(), epochs=2, initial_epoch=1)
    loaded = tr.load(tmp_path / "m.npz")
    fit(loaded, batches(), epochs=2, initial_epoch=1)
    assert bits(loaded) == bits(model)


def test_tensors_and_lists():
    expected = trained(X, Y, batch_size=16)
    assert trained(tr.tensor(X), tr.tensor(Y, dtype="int64"), batch_size=16) == expected
    assert trained(X.tolist(), Y.tolist(), batch_size=16) == expected
    assert trained(X, Y[:, None].astype(np.float64), batch_size=16) == expected


def test_steps_per_epoch_of_arrays():
    model = compiled()
    fit(model, X, Y, batch_size=8, epochs=2, steps_per_epoch=4)
    assert model.optimizer.steps == 8
    with pytest.raises(ArgumentError, match=r"\[fit\] steps_per_epoch is at most the number of batches, 6; got 7"):
        fit(model, X, Y, batch_size=8, steps_per_epoch=7)


class Frame:
    """As much of a DataFrame as is asked for."""

    def __init__(self, columns):
        self._columns = columns
        self.columns, self.dtypes = list(columns), [c.dtype for c in columns.values()]

    def __array__(self, dtype=None, copy=None):
        return np.stack(list(self._columns.values()), axis=1)

    def to_numpy(self, dtype=None, na_value=None):
        return np.stack([c.astype(dtype) for c in self._columns.values()], axis=1)


def test_a_frame_of_several_kinds_of_numbers():
    columns = {f"f{i}": X[:, i] for i in range(4)} | {"flag": X[:, 4] > 0, "count": np.arange(48, dtype=np.int8)}
    array = np.stack([c.astype(np.float64) for c in columns.values()], axis=1)
    model = compiled()
    assert np.array_equal(model.predict(Frame(columns)), model.predict(array))
    columns["f0"] = np.array(["red", "blue"] * 24, object)
    message = r"\[predict\] x must be numbers; got a DataFrame with other column\(s\), 'f0'; encode them with pd.get_d"
    with pytest.raises(DTypeError, match=message):
        model.predict(Frame(columns))


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({f"f{i}": X[:, i] for i in range(6)})
    expected = trained(X, Y, batch_size=16)
    assert trained(frame, pd.Series(Y), batch_size=16) == expected
    ones = trained(X, Y, batch_size=16, sample_weight=np.ones(48))
    assert trained(frame, pd.DataFrame({"y": Y}), batch_size=16, sample_weight=pd.Series(np.ones(48))) == ones
    mixed = frame.assign(f4=frame.f4 > 0, f5=pd.array([1, None] * 24, dtype="Int64"))
    with pytest.raises(TinyresError, match="not finite"):
        fit(compiled(), mixed, Y)
    assert compiled().predict(mixed.assign(f5=1)).shape == (48, 3)
    for column in (["red", "blue"] * 24, pd.Categorical(["red", "blue"] * 24), pd.date_range("2020", periods=48)):
        with pytest.raises(DTypeError, match=r"got a DataFrame with other column\(s\), 'f2'; encode them with pd"):
            fit(compiled(), frame.assign(f2=column), Y)
    with pytest.raises(DTypeError, match=r"\[fit\] y must be numbers; got strings"):
        fit(compiled(), frame, pd.Series(["a", "b"] * 24))
