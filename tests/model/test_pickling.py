"""What crosses from one process to another, or is copied: rebuilt from values, never from an address, or refused."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.backends.buffers import ABSENT, Buffer, Window
from tinyres.errors import ArgumentError, CaptureError, GradientError, TraceError
from tinyres.kernels.dtypes import FLOAT32
from tinyres.ops.random import Generator

Copying = Callable[[Any], Any]


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


COPYINGS = pytest.mark.parametrize("copying", [_pickled, copy.deepcopy, copy.copy])
X = np.linspace(-1.0, 1.0, 32, dtype="float32").reshape(8, 4)
Y = np.arange(8) % 3


class Gate(tr.layers.Layer):
    def call(self, x: Any) -> Any:
        return x * tr.sigmoid(x)


def _model(compiled: bool = True) -> tr.Model:
    tr.manual_seed(0)
    inputs = tr.Input(shape=(4,))
    x = tr.layers.Dropout(0.25)(Gate()(tr.layers.Dense(5, activation="relu", name="first")(inputs)))
    model = tr.Model(inputs, tr.layers.Dense(3, activation="softmax")(tr.layers.BatchNorm()(x)))
    if compiled:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(X, Y, batch_size=4, epochs=1, verbose=0)
    return model


# Values


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_a_pickled_tensor_has_the_values_and_memory_of_its_own(dtype: str) -> None:
    x = tr.tensor([[0, 1, 1]], dtype=dtype, name="x")
    text = pickle.dumps(x)
    assert x.buffer.address.to_bytes(8, "little") not in text
    twin = pickle.loads(text)
    assert twin.dtype is x.dtype
    assert (twin.name, twin.requires_grad, twin.shape) == ("x", False, (1, 3))
    assert twin.buffer.address != x.buffer.address
    np.testing.assert_array_equal(twin.numpy(), x.numpy())


@COPYINGS
def test_a_copied_parameter_is_one_of_its_own(copying: Copying) -> None:
    p = tr.Parameter([1.0, 2.0], "scale", trainable=False)
    twin = copying(p)
    twin.assign([5.0, 6.0])
    assert p.tolist() == [1.0, 2.0]
    assert (type(twin), twin.name, twin.trainable, twin.dtype) == (tr.Parameter, "scale", False, p.dtype)


def test_one_parameter_in_two_places_stays_one() -> None:
    p = tr.Parameter([1.0], "w")
    first, second = _pickled((p, p))
    assert first is second


@COPYINGS
def test_buffers_and_their_windows_stay_together(copying: Copying) -> None:
    base = Buffer(4, FLOAT32)
    base.array[:] = 1, 2, 3, 4
    window = Window(base, 8, 2, FLOAT32)
    twin, part = copying((base, window)) if copying is not copy.copy else (copying(base), None)
    twin.array[2] = 9
    assert base.array.tolist() == [1, 2, 3, 4]
    if part is not None:
        assert part.array.tolist() == [9, 4]
    assert copying(ABSENT) is ABSENT


@COPYINGS
def test_a_copied_generator_goes_on_alone_from_where_it_stands(copying: Copying) -> None:
    generator = Generator(7)
    generator.numpy()
    twin = copying(generator)
    expected = [generator.numpy().random() for _ in range(2)]
    assert [twin.numpy().random() for _ in range(2)] == expected


# Optimizers


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Nadam"])
@pytest.mark.parametrize("copying", [_pickled, copy.deepcopy])
def test_a_copied_optimizer_goes_on_with_copies_and_leaves_the_first_alone(copying: Copying, name: str) -> None:
    def step(w: tr.Parameter, optimizer: Any) -> list[float]:
        optimizer.zero_grad()
        (w * w * w).sum().backward()
        optimizer.step()
        return list(w.tolist())

    w = tr.Parameter([1.0, -2.0], "w")
    optimizer = getattr(tr.optim, name)([w], lr=0.1, clip_norm=5.0)
    step(w, optimizer)
    w2, twin = copying((w, optimizer))
    assert twin.params[0] is w2
    before = w.tolist()
    ahead = [step(w2, twin) for _ in range(3)]
    assert (w.tolist(), optimizer.steps, twin.steps) == (before, 1, 4)
    assert [step(w, optimizer) for _ in range(3)] == ahead
    with pytest.raises(ArgumentError, match="what can be set is"):
        twin.unknown = 1


# Models, layers, traces


@pytest.mark.parametrize("copying", [_pickled, copy.copy])
def test_a_pickled_model_trains_on_bit_for_bit(copying: Copying) -> None:
    model = _model()
    drawn = tr.ops.random.default_generator().state.array.copy()
    twin = copying(model)
    np.testing.assert_array_equal(tr.ops.random.default_generator().state.array, drawn)
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    results = []
    for each in (model, twin):
        tr.manual_seed(5)
        each.fit(X, Y, batch_size=4, epochs=3, initial_epoch=1, verbose=0)
        results.append(each.predict(X))
    np.testing.assert_array_equal(*results)


def test_a_pickled_layer_computes_the_same() -> None:
    layer = tr.layers.Dense(3, activation="relu")
    y = layer(X).numpy()
    twin = _pickled(layer)
    np.testing.assert_array_equal(twin(X).numpy(), y)
    assert twin.dtype is layer.dtype
    twin.kernel.assign(np.zeros((4, 3)))
    np.testing.assert_array_equal(layer(X).numpy(), y)


def test_a_pickled_trace_says_the_same() -> None:
    trace = _model().graph(X, Y).trace()
    assert str(_pickled(trace)) == str(trace)


def test_a_model_that_cannot_be_saved_is_not_pickled() -> None:
    with pytest.raises(ArgumentError, match=r"\[pickle\] a model is pickled as the file .*model.save writes; .*built"):
        pickle.dumps(tr.Sequential([tr.layers.Dense(2)]))


def _refused() -> list[Any]:
    x = tr.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    step = tr.capture(lambda a: a * 2.0)
    step(x.detach())
    symbolic = tr.layers.Dense(2)(tr.Input(shape=(2,)))
    return [
        (y, GradientError, "only leaves can be pickled; this Tensor has a graph; pickle t.detach()"),
        (y.node, GradientError, "a node of the tape; pickle Tensors, models or traces"),
        (tr.Graph(y), TraceError, r"pickle graph.trace\(\) instead"),
        (step, CaptureError, "belongs to the process that recorded it; .* capture the function there"),
        (step.program, CaptureError, r"got a recorded program; pickle its text, str\(step.program\)"),
        (symbolic, ArgumentError, "make a tr.Model of it, then save it with model.save"),
    ]


@pytest.mark.parametrize("i", range(6))
def test_what_belongs_to_its_process_is_refused_with_the_remedy(i: int) -> None:
    value, error, told = _refused()[i]
    with pytest.raises(error, match=r"\[pickle\] .*" + told):
        pickle.dumps(value)


def test_nothing_is_pickled_while_a_step_is_recorded() -> None:
    p = tr.Parameter([1.0], "w")
    with pytest.raises(CaptureError):
        tr.capture(lambda x: (x, pickle.dumps(p)))(tr.tensor([1.0]))


# Processes


def _work(job: Any) -> Any:
    tensor, model, generator, optimizer = job
    w = optimizer.params[0]
    (w * tensor).sum().backward()
    optimizer.step()
    return (tensor * 2.0, model.predict(X), generator.numpy().random(), w)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_worker_processes_get_values(method: str) -> None:
    model, generator, w = _model(), Generator(3), tr.Parameter([1.0, 2.0], "w")
    job = tr.tensor([3.0, 4.0]), model, generator, tr.optim.SGD([w], lr=0.5)
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.map(_work, [job] * 3)
    number = generator.numpy().random()
    for doubled, predicted, drawn, moved in results:
        assert (doubled.tolist(), drawn, moved.tolist()) == ([6.0, 8.0], number, [-0.5, 0.0])
        np.testing.assert_array_equal(predicted, model.predict(X))
    assert w.tolist() == [1.0, 2.0]
