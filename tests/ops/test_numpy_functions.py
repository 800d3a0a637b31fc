"""What NumPy's and PyTorch's users type: NumPy's functions on Tensors, masks, integers, index arrays, corner values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, CaptureError, DTypeError, GradientError, ShapeError

A = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], "float32")


def t(array: Any = A, **options: Any) -> tr.Tensor:
    return tr.tensor(array, **options)


@pytest.mark.parametrize(
    "function",
    [
        np.sum,
        np.mean,
        np.max,
        np.amin,
        np.prod,
        np.cumsum,
        np.std,
        np.var,
        np.linalg.norm,
        np.ravel,
        np.transpose,
        np.argmax,
        np.argmin,
        np.argsort,
        np.sort,
        np.flip,
        np.any,
        np.round,
        lambda x: np.sum(x, axis=0, keepdims=True),
        lambda x: np.std(x, axis=1, ddof=1),
        lambda x: np.dot(x, x.T),
        lambda x: np.concatenate([x, x], axis=1),
        lambda x: np.stack([x, x]),
        lambda x: np.vstack([x, x]),
        lambda x: np.hstack([x, x]),
        lambda x: np.where(x > 0, x, 0.0),
        lambda x: np.clip(x, -1.0, 1.0),
        lambda x: np.reshape(x, (3, 2)),
        lambda x: np.einsum("ij,kj->ik", x, x),
        lambda x: np.tile(x, 2),
        lambda x: np.repeat(x, 2, axis=0),
        lambda x: np.squeeze(np.expand_dims(x, 0)),
        lambda x: np.swapaxes(x, 0, 1),
        lambda x: np.pad(x, 1),
        lambda x: np.take(x, [0, 2], axis=1),
        lambda x: np.split(x, 3, axis=1)[1],
        lambda x: np.broadcast_to(x, (2, 2, 3)),
        lambda x: np.isfinite(np.exp(x)),
        lambda x: np.floor(x) % 2 + x // 2,
    ],
)
def test_numpys_functions_are_ops(function: Any) -> None:
    y = function(t())
    assert isinstance(y, tr.Tensor)
    np.testing.assert_allclose(y.numpy(), function(A), rtol=1e-6)


def test_the_gradient_passes_numpys_functions() -> None:
    w = t([3.0, 4.0], requires_grad=True)
    (np.linalg.norm(w) * 10 + np.dot(w, w)).backward()
    assert w.grad is not None
    np.testing.assert_allclose(w.grad.numpy(), [6 + 6, 8 + 8], rtol=1e-6)


def test_a_numpy_function_without_an_op_is_refused_where_a_gradient_would_end() -> None:
    np.testing.assert_allclose(np.median(t()), np.median(A))
    with pytest.raises(GradientError, match=r"\[np\.median\] no tinyres op does this, and .*t\.detach\(\)"):
        np.median(t(requires_grad=True))
    with pytest.raises(ArgumentError, match=r"\[np\.sum\] on a Tensor it takes \(x.*got 1 arguments and \['out'\]"):
        np.sum(t(), out=np.zeros(()))
    assert np.allclose(t(requires_grad=True), A)
    assert np.shape(t(requires_grad=True)) == (2, 3)


def test_none_equals_no_tensor() -> None:
    assert (t() == None) is False  # noqa: E711
    assert (t() != None) is True  # noqa: E711


def test_integers_are_exact() -> None:
    big = 2**53 + 1
    a = t([big, -7, 7], dtype="int64")
    assert (a + 1).tolist() == [big + 1, -6, 8]
    assert (a * 2).tolist() == [2 * big, -14, 14]
    assert (a // 2).tolist() == [big // 2, -4, 3]
    assert (a % 3).tolist() == [big % 3, 2, 1]
    assert (a**2).tolist()[1:] == [49, 49]
    assert a.sum().item() == big
    assert a.max().item() == big
    assert a.argmax().item() == 0
    assert (a == big - 1).tolist() == [False, False, False]
    assert (-a).abs().tolist() == [big, 7, 7]
    assert (a / 2).dtype == np.dtype("float32")
    assert (a * 0.5).dtype == np.dtype("float32")
    assert (1 - a).tolist() == [1 - big, 8, -6]
    assert (a % 0).tolist() == [0, 0, 0]


def test_masks_are_numbers_beside_numbers() -> None:
    x = t(requires_grad=True)
    (x * (x > 0)).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), A > 0)
    mask = t() > 0
    assert mask.sum().dtype == np.dtype("int64")
    assert mask.sum().item() == 4
    assert mask.mean().item() == pytest.approx(4 / 6)
    assert (mask + mask).tolist() == [[2, 0, 2], [2, 2, 0]]
    assert (~mask | (t() > 2)).tolist() == [[False, True, True], [False, True, True]]
    assert (mask & True).tolist() == mask.tolist()


def test_index_arrays_and_masks() -> None:
    x = t(requires_grad=True)
    x[[0, 0, 1], [1, 1, 2]].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 2, 0], [0, 0, 1]]
    ids = t([2, -1, 0], dtype="int64")
    np.testing.assert_array_equal(t()[:, ids].numpy(), A[:, [2, -1, 0]])
    np.testing.assert_array_equal(t()[A > 0].numpy(), A[A > 0])
    np.testing.assert_array_equal(t()[1, [0, 2]].numpy(), A[1, [0, 2]])
    for key in ([5], ([0], [0], [0]), t([9], dtype="int64"), 1.5, "a"):
        with pytest.raises(IndexError):
            t()[key]


def test_index_arrays_in_a_captured_step() -> None:
    table = tr.Parameter(np.arange(12.0).reshape(4, 3), "table")

    @tr.capture
    def step(ids: tr.Tensor) -> tr.Tensor:
        table.grad = None
        y = (table[ids] * 2.0).sum()
        y.backward()
        return y

    for ids in ([1, 1, 3], [0, 2, -1]):
        assert step(t(ids, dtype="int64")).item() == table.numpy()[ids].sum() * 2
        expected = np.zeros((4, 3))
        np.add.at(expected, ids, 2.0)
        assert table.grad is not None
        np.testing.assert_array_equal(table.grad.numpy(), expected)

    @tr.capture
    def masked(x: tr.Tensor) -> tr.Tensor:
        return x[x > 0].sum()

    with pytest.raises(CaptureError, match="a value cannot be read"):
        masked(t())


def test_composed_functions_on_an_input_are_layers(tmp_path: Any) -> None:
    inputs = tr.Input(shape=(4, 6))
    x = tr.std(inputs, axis=2, keepdims=True, ddof=1) + inputs[:, [0, 2, 2]].sum(1, keepdims=True)
    x = tr.concatenate([tr.gelu(x), tr.tile(tr.norm(inputs, axis=-1, keepdims=True), (1, 1, 6))], 1)
    x = tr.einsum("bij,bkj->bik", x, x) @ tr.ones((8, 2))
    x = tr.stack([tr.flatten(x, 1), tr.flatten(x * 2, 1)], 1)
    model = tr.Model(inputs, tr.pad(x, ((0, 0), (1, 0), (0, 1))))
    assert model.outputs[0].shape == (None, 3, 17)
    data = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32")
    expected = model.predict(data)
    assert expected.shape == (3, 3, 17)
    model.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(tr.load(tmp_path / "m.npz").predict(data), expected)


def test_norm_and_std_at_zero() -> None:
    for function in (tr.norm, tr.std):
        x = t(np.zeros(3), requires_grad=True)
        function(x).backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0, 0, 0]


def test_prod_with_zeros() -> None:
    for values, expected in (([2.0, 0.0, 3.0], [0, 6, 0]), ([0.0, 0.0, 3.0], [0, 0, 0])):
        x = t(values, requires_grad=True)
        tr.prod(x).backward()
        assert x.grad is not None
        assert x.grad.tolist() == expected
    assert tr.prod(t(np.zeros((0, 2))), 0).tolist() == [1, 1]


def test_maximum_and_minimum_give_the_gradient_to_nan() -> None:
    for op in (tr.maximum, tr.minimum):
        a, b = t([np.nan, 1.0, np.nan, 2.0], requires_grad=True), t([1.0, np.nan, np.nan, 2.0], requires_grad=True)
        op(a, b).sum().backward()
        assert a.grad is not None and b.grad is not None
        assert (a.grad.tolist(), b.grad.tolist()) == ([1, 0, 0.5, 0.5], [0, 1, 0.5, 0.5])


def test_high_derivatives_of_powers_at_zero() -> None:
    for exponent, expected in ((1, [1, 0, 0, 0]), (3, [0, 0, 6, 0]), (2, [0, 2, 0, 0])):
        x = t(0.0, requires_grad=True)
        y, found = x**exponent, []
        for _ in range(4):
            if not y.requires_grad:
                found.append(0.0)
                continue
            (y,) = tr.grad(y, [x], create_graph=True)
            found.append(y.item())
        assert found == expected, exponent


def test_one_pair_of_widths_is_for_all_axes() -> None:
    np.testing.assert_array_equal(tr.pad(t(), ((1, 2),)).numpy(), np.pad(A, ((1, 2),)))


def test_rounding_goes_to_the_even_half() -> None:
    assert tr.round(t([0.5, 1.5, 2.5, -0.5, -3.5])).tolist() == [0, 2, 2, 0, -4]


def test_creation() -> None:
    assert tr.zeros((2, 1)).tolist() == [[0], [0]]
    assert tr.ones(2, dtype="int64").tolist() == [1, 1]
    assert tr.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert tr.zeros_like(t(dtype="float64")).dtype == np.dtype("float64")


def test_backward_takes_a_gradient() -> None:
    x = t(requires_grad=True)
    (x * x).backward(A)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 2 * A * A)
    y = t(3.0, requires_grad=True)
    (y * y).backward(2.0, retain_graph=True)
    assert y.grad is not None
    assert y.grad.item() == 12
    with pytest.raises(ShapeError, match=r"\[backward\] the gradient has the shape and dtype of the Tensor, \(2, 3\)"):
        (x * x).backward(np.ones(3))
    with pytest.raises(ArgumentError, match=r"\[backward\] the first argument is the gradient .*retain_graph=True"):
        (y * y).backward(True)


def test_a_batched_product_of_temporaries_in_a_captured_step() -> None:
    w = tr.Parameter(np.random.default_rng(0).normal(size=(2, 4, 5)), "w")

    def step(x: tr.Tensor) -> tr.Tensor:
        w.grad = None
        h = tr.gelu(x * 2.0) @ tr.relu(w)
        scores = tr.softmax(h @ tr.transpose(h, (0, 2, 1)))
        loss = tr.einsum("bij,bjk->", scores, h)
        loss.backward()
        return loss

    captured = tr.capture(step)
    for seed in range(3):
        x = t(np.random.default_rng(seed).normal(size=(2, 3, 4)))
        loss, found = captured(x).item(), w.grad
        assert found is not None
        replayed = found.numpy()
        assert step(x).item() == loss
        assert w.grad is not None
        np.testing.assert_array_equal(w.grad.numpy(), replayed)


@pytest.mark.parametrize("options", [{"ord": 2}, {"ord": 1}, {"ord": np.inf}, {"ord": -2, "axis": (0, 1)}])
def test_a_norm_of_matrices_that_is_not_frobenius_is_refused(options):
    """They were taken for the norm of all elements: 2 is the largest singular value, 1 a largest sum of columns."""
    t = tr.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    with pytest.raises(tr.errors.ArgumentError, match=r"\[np.linalg.norm\] of a matrix there is the Frobenius norm"):
        np.linalg.norm(t, **options)
    for good in ({}, {"ord": "fro"}, {"ord": 1, "axis": 1}, {"axis": (0, 1)}):
        np.testing.assert_allclose(np.linalg.norm(t, **good).numpy(), np.linalg.norm(t.numpy(), **good), rtol=1e-6)


def test_values_that_a_gradient_would_flow_through_are_not_taken_out_by_unique():
    with pytest.raises(tr.errors.GradientError, match=r"\[np.unique\] .* use t.detach\(\)"):
        np.unique(tr.tensor([1.0, 1.0, 2.0], requires_grad=True))
    assert np.unique(tr.tensor([1, 1, 2])).tolist() == [1, 2]


@pytest.mark.parametrize("count", [0, 1, 31, 62, 63, 64, 70])
def test_integers_are_shifted_as_by_numpy(count: int) -> None:
    values = np.array([-5, 5, 0, -(2**63), 2**63 - 1])
    x = tr.tensor(values, dtype="int64")
    assert (x << count).numpy().tolist() == np.left_shift(x, count).numpy().tolist() == (values << count).tolist()
    assert (x >> count).numpy().tolist() == np.right_shift(x, count).numpy().tolist() == (values >> count).tolist()
    with pytest.raises(DTypeError, match=r"\[right_shift\] >> takes integers; got float32"):
        1 >> tr.tensor([1.0])


def test_where_chooses_among_integers_exactly() -> None:
    chosen, large = tr.tensor([True, False], dtype="bool"), 2**62 + 1
    x = tr.where(chosen, tr.tensor([large, 2], dtype="int64"), -large)
    assert x.numpy().dtype == np.int64 and x.tolist() == [large, -large]
    assert tr.where(chosen, tr.tensor([1, 2], dtype="int64"), tr.tensor([0.5, 0.25])).tolist() == [1.0, 0.25]
    with pytest.raises(DTypeError, match=r"\[where\] takes a bool Tensor here; got int64"):
        tr.where(tr.tensor([1, 0], dtype="int64"), tr.tensor([1, 2], dtype="int64"), 0)
