"""Tensors beside NumPy's masked arrays, `in`, DLPack, and what shares a Parameter's memory."""

from __future__ import annotations

import gc
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.engine.other_names import REMEDIES as OTHER_METHODS
from tinyres.errors import ArgumentError, DTypeError, GradientError

MASKED = np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0])
ROWS = np.ma.masked_array(np.ones((4, 3)), np.eye(4, 3))


def _x() -> tr.Tensor:
    return tr.tensor([1.0, 2.0, 3.0], requires_grad=True)


def _model() -> tr.Model:
    model = tr.Sequential([tr.Input(shape=(3,)), tr.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    "use",
    [
        lambda: tr.tensor(MASKED),
        lambda: tr.tensor([MASKED, MASKED]),
        lambda: tr.Parameter(MASKED, "p"),
        lambda: tr.Parameter([1.0, 2.0, 3.0], "p").assign(MASKED),
        lambda: _x() + MASKED,
        lambda: np.add(MASKED, _x()),
        lambda: tr.relu(MASKED),
        lambda: tr.concatenate([_x(), MASKED]),
        lambda: tr.where(np.ma.masked_array([True, False, True], [0, 1, 0]), _x(), 0.0),
        lambda: _x()[np.ma.masked_array([0, 1], [0, 1])],
        lambda: tr.take(_x(), np.ma.masked_array([0, 1], [0, 1])),
        lambda: tr.losses.softmax_cross_entropy(tr.tensor(np.ones((2, 3))), np.ma.masked_array([0, 1], [0, 1])),
        lambda: (_x() * 2.0).backward(MASKED),
        lambda: tr.capture(lambda a: a * 2.0)(MASKED),
        lambda: tr.layers.Dense(2)(ROWS),
        lambda: _model().fit(ROWS, np.ones((4, 1)), verbose=0),
        lambda: _model().fit(np.ones((4, 3)), ROWS[:, :1], verbose=0),
        lambda: _model().predict(ROWS),
    ],
)
def test_masked_values_are_refused_everywhere(use: Callable[[], Any]) -> None:
    told = r"a Tensor has no mask; got a masked array of shape .*, \d+ values masked; fill them \(a\.filled\(0\)\)"
    with pytest.raises(DTypeError, match=told):
        use()


def test_a_masked_array_without_masked_values_is_an_array() -> None:
    assert tr.tensor(np.ma.masked_array([1.0, 2.0], [0, 0])).tolist() == [1.0, 2.0]


def test_in_asks_for_an_equal_element_as_numpy_does() -> None:
    x = tr.tensor([[1.0, 2.0], [3.0, 4.0]])
    items: list[Any] = [2.0, 5.0, [1.0, 2.0], [1.0, 9.0], [8.0, 9.0], None, "a"]
    assert [item in x for item in items] == [item in x.numpy() for item in items]
    assert tr.tensor(3.0) in x


def test_dlpack_shares_memory_that_is_not_to_be_written_to() -> None:
    p = tr.Parameter([1.0, 2.0], "p")
    shared, copied = np.from_dlpack(p), np.from_dlpack(p, copy=True)
    p.assign([5.0, 6.0])
    assert shared.tolist() == [5.0, 6.0] and copied.tolist() == [1.0, 2.0]
    assert shared.ctypes.data == p.buffer.address and not shared.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        shared[0] = 1.0


def test_an_asker_of_an_older_dlpack_gets_a_copy() -> None:
    p = tr.Parameter([1.0, 2.0], "p")

    class Older:
        def __dlpack__(self, **options: Any) -> Any:
            return p.__dlpack__()

        def __dlpack_device__(self) -> Any:
            return p.__dlpack_device__()

    copy = np.from_dlpack(Older())
    p.assign([5.0, 6.0])
    assert copy.tolist() == [1.0, 2.0]
    with pytest.raises(ArgumentError, match=r"\[dlpack\] a Tensor's memory is shared read-only.*got copy=False"):
        p.__dlpack__(copy=False)


@pytest.mark.parametrize("values", [1.5, [[1.0, 2.0]], np.zeros((0, 3)), np.arange(3), np.array([True, False])])
def test_what_shares_memory_keeps_it(values: Any) -> None:
    """Without, the pool would give it to the next Tensor."""
    x = tr.tensor(values, dtype=np.asarray(values).dtype)
    expected, shared, address = x.numpy(), np.from_dlpack(x), x.buffer.address
    del x
    gc.collect()
    others = [tr.tensor(np.full(expected.shape, 7), dtype=expected.dtype) for _ in range(20)]
    assert np.array_equal(shared, expected) and shared.dtype == expected.dtype
    assert not expected.size or address not in [other.buffer.address for other in others]


def test_pytorch_shares_memory() -> None:
    torch = pytest.importorskip("torch")
    p = tr.Parameter([1.0, 2.0], "p")
    shared = torch.from_dlpack(p)
    p.assign([5.0, 6.0])
    assert shared.tolist() == [5.0, 6.0]


def test_detach_and_reshape_share_a_parameters_memory_and_copy_does_not() -> None:
    p = tr.Parameter([1.0, 2.0], "p")
    with tr.no_grad():
        shared, turned, copied = p.detach(), p.reshape(2, 1), p.copy()
    p.assign([5.0, 6.0])
    assert shared.tolist() == [5.0, 6.0]
    assert turned.tolist() == [[5.0], [6.0]]
    assert copied.tolist() == [1.0, 2.0]


def test_masked_arrays_are_refused_on_either_side():
    t, m = tr.tensor([1.0, 2.0], requires_grad=True), np.ma.masked_array([1.0, 2.0], [False, True])
    for mixed in (
        lambda: m + t,
        lambda: m * t,
        lambda: m == t,
        lambda: t + m,
        lambda: np.ma.add(m, t),
        lambda: np.ma.dot(m, t),
        lambda: np.ma.concatenate([m, t]),
        lambda: operator.iadd(m.copy(), t),
        lambda: tr.data.Loader(m, np.zeros(2)),
        lambda: tr.data.Loader(np.zeros(2), m),
        lambda: tr.data.Loader({"a": m}, np.zeros(2)),
    ):
        with pytest.raises(tr.errors.DTypeError, match="a Tensor has no mask"):
            mixed()
    assert len(tr.data.Loader(np.ma.masked_array([[1.0], [2.0]]), np.zeros(2))) == 1  # nothing is masked


def test_methods_of_pytorch_are_told_what_to_write():
    t = tr.tensor([[1.0, 2.0]])
    for name in OTHER_METHODS:
        assert not hasattr(t, name)
        with pytest.raises(AttributeError, match=rf"\[tensor\] a Tensor has no .{name}; got this name; "):
            getattr(t, name)
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nonsense'"):
        t.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "use",
    [
        lambda a: tr.full((2,), a[0, 0]),
        lambda a: tr.keras.utils.to_categorical(a[0]),
        lambda a: tr.layers.Normalization().adapt(a),
    ],
    ids=["full", "to_categorical", "adapt"],
)
def test_a_mask_is_refused_by_what_reads_arrays_itself(use):
    with pytest.raises(DTypeError, match="a Tensor has no mask; got a masked array"):
        use(np.ma.masked_array([[0.0, 1.0], [1.0, 0.0]], [[True, False], [False, False]]))


def test_asking_numpy_for_an_array_is_leaving_the_graph():
    """np.asarray is asked for, so it gives a copy, as `numpy()`; a function of NumPy's on the Tensor itself refuses."""
    w = tr.tensor([1.0, 2.0], requires_grad=True)
    array = np.asarray(w)
    array[0] = 9.0
    assert type(array) is np.ndarray and w.tolist() == [1.0, 2.0]
    assert np.histogram(w, bins=2)[0].tolist() == [1, 1], "counts have no gradient"
    with pytest.raises(GradientError, match=r"\[np.median\] no tinyres op does this"):
        np.median(w)


def test_python_functions_of_numbers() -> None:
    t = tr.tensor([7.5, -7.5])
    quotient, rest = divmod(t, 2.0)
    assert (quotient.tolist(), rest.tolist()) == ([3.0, -4.0], [1.5, 0.5])
    assert [part.tolist() for part in divmod(8.0, t)] == [[1.0, -2.0], [0.5, -7.0]]
    assert (round(t).tolist(), round(t / 8, 1).tolist()) == ([8.0, -8.0], pytest.approx([0.9, -0.9]))


def test_backward_says_where_its_other_arguments_are() -> None:
    loss = tr.sum(tr.tensor([1.0], requires_grad=True))
    for other in ({"create_graph": True}, {"inputs": []}):
        with pytest.raises(tr.errors.ArgumentError, match=r"\[backward\] it takes .*tinyres.grad\(loss, inputs"):
            loss.backward(**other)
