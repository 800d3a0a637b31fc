"""Whatever the shapes, axes and indices: the same as NumPy, or a TinyresError where NumPy raises too.

Sizes of 0 and 1, and sizes next to the widths of vectors and tiles, come up often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyres as tr
from tinyres.errors import TinyresError

SIZES = st.sampled_from([0, 1, 1, 2, 3, 4, 5, 7, 8, 9])
SHAPES = st.lists(SIZES, max_size=4).map(tuple)
LANES = st.sampled_from([1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65])
AXES = st.none() | st.integers(-5, 4) | st.lists(st.integers(-4, 3), max_size=3).map(tuple)
ENTRY = (
    st.integers(-4, 4)
    | st.none()
    | st.just(Ellipsis)
    | st.builds(
        slice, st.none() | st.integers(-6, 6), st.none() | st.integers(-6, 6), st.sampled_from([None, 1, 2, -1, -3])
    )
)

pytestmark = pytest.mark.slow

many = settings(max_examples=200, deadline=None)
few = settings(max_examples=60, deadline=None)


def filled(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape).astype("float32")


def agree(ours: Callable[[], tr.Tensor], numpys: Callable[[], Any], rtol: float = 1e-5) -> None:
    """Both give the same, or both refuse."""
    try:
        expected = np.asarray(numpys())
    except (ValueError, IndexError, TypeError):
        with pytest.raises(TinyresError):
            ours()
        return
    got = ours()
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=rtol, atol=1e-6)


@st.composite
def broadcastable(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Two shapes that mostly broadcast: parts of one shape with some sizes turned to 1."""
    shape = draw(SHAPES)
    parts = []
    for _ in range(2):
        keep = draw(st.integers(0, len(shape)))
        parts.append(tuple(1 if draw(st.booleans()) else size for size in shape[keep:]))
    return parts


@many
@given(st.one_of(broadcastable(), st.tuples(SHAPES, SHAPES)), st.sampled_from(["add", "mul", "div", "maximum", "pow"]))
def test_broadcasting_is_numpys(shapes: Any, name: str) -> None:
    a, b = filled(shapes[0], 1), filled(shapes[1], 2)
    numpys = {"add": np.add, "mul": np.multiply, "div": np.divide, "maximum": np.maximum, "pow": np.power}[name]
    agree(lambda: getattr(tr, name)(tr.tensor(a), tr.tensor(b)), lambda: numpys(a, b))


@many
@given(broadcastable())
def test_gradients_of_a_broadcast_are_sums(shapes: Any) -> None:
    a, b = (tr.tensor(filled(s, i), requires_grad=True) for i, s in enumerate(shapes))
    try:
        y = a * b
    except TinyresError:
        return
    y.sum().backward()
    assert a.grad is not None and b.grad is not None
    full = np.ones(y.shape)
    for x, other in ((a, b), (b, a)):
        assert x.grad is not None
        expected = full * other.numpy()
        lead = tuple(range(expected.ndim - x.ndim))
        ones = tuple(i + len(lead) for i, size in enumerate(x.shape) if size == 1)
        np.testing.assert_allclose(x.grad.numpy(), expected.sum(lead + ones, keepdims=True).reshape(x.shape), rtol=1e-5)


@many
@given(SHAPES, AXES, st.booleans(), st.sampled_from(["sum", "mean", "max", "min", "var"]))
def test_reductions_are_numpys(shape: tuple[int, ...], axis: Any, keepdims: bool, name: str) -> None:
    x = filled(shape)

    def numpys() -> Any:
        if shape == () and axis not in (None, ()):
            raise ValueError("NumPy lets a 0-d array have an axis 0")
        return getattr(np, name)(x, axis=axis, keepdims=keepdims)

    if name in ("mean", "var") and 0 in shape:  # where only the result is empty, both give nothing
        try:
            got = getattr(tr, name)(tr.tensor(x), axis, keepdims)
        except TinyresError:
            return
        assert got.size == 0
        return
    agree(lambda: getattr(tr, name)(tr.tensor(x), axis, keepdims), numpys, rtol=1e-4)


@many
@given(SHAPES, st.lists(ENTRY, max_size=5).map(tuple))
def test_indexing_is_numpys(shape: tuple[int, ...], index: Any) -> None:
    x = filled(shape)
    agree(lambda: tr.tensor(x)[index], lambda: x[index])


@many
@given(SHAPES, st.lists(ENTRY, max_size=4).map(tuple))
def test_gradient_of_indexing_marks_what_was_taken(shape: tuple[int, ...], index: Any) -> None:
    x = tr.tensor(filled(shape), requires_grad=True)
    try:
        part = x[index]
    except TinyresError:
        return
    weights = filled(part.shape, 5)
    (part * weights).sum().backward()
    expected = np.zeros(shape, "float32")
    expected[index] = weights
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), expected)


@many
@given(SHAPES, st.lists(st.integers(-2, 12), max_size=4).map(tuple))
def test_reshape_is_numpys(shape: tuple[int, ...], new: tuple[int, ...]) -> None:
    x = filled(shape)

    def numpys() -> np.ndarray:
        if min(new, default=0) < -1:
            raise ValueError("NumPy takes some negative sizes as -1")
        return x.reshape(new)

    agree(lambda: tr.reshape(tr.tensor(x), new), numpys)


@many
@given(SHAPES, st.none() | st.lists(st.integers(-4, 3), max_size=4).map(tuple))
def test_transpose_is_numpys(shape: tuple[int, ...], axes: Any) -> None:
    x = filled(shape)
    agree(lambda: tr.transpose(tr.tensor(x), axes), lambda: np.transpose(x, axes))


@many
@given(SHAPES, SHAPES)
def test_broadcast_to_is_numpys(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    x = filled(shape)
    agree(lambda: tr.broadcast_to(tr.tensor(x), target), lambda: np.broadcast_to(x, target))


@many
@given(
    st.lists(SHAPES, min_size=1, max_size=3) | st.integers(1, 3).flatmap(lambda n: SHAPES.map(lambda s: [s] * n)),
    st.integers(-4, 4),
)
def test_concatenate_and_stack_are_numpys(shapes: list[tuple[int, ...]], axis: int) -> None:
    arrays = [filled(s, i) for i, s in enumerate(shapes)]
    tensors = [tr.tensor(a) for a in arrays]
    agree(lambda: tr.concatenate(tensors, axis), lambda: np.concatenate(arrays, axis))
    agree(lambda: tr.stack(tensors, axis), lambda: np.stack(arrays, axis))


@few
@given(SHAPES, st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), max_size=4).map(tuple) | st.integers(-1, 3))
def test_pad_is_numpys(shape: tuple[int, ...], widths: Any) -> None:
    x = filled(shape)

    def numpys() -> np.ndarray:
        return np.pad(x, widths) if shape or widths else x

    if shape:
        agree(lambda: tr.pad(tr.tensor(x), widths, 0.0), numpys)


@few
@given(LANES, LANES, LANES, st.booleans(), st.booleans())
def test_products_at_the_edges_of_tiles(m: int, n: int, k: int, transpose_a: bool, transpose_b: bool) -> None:
    a, b = filled((m, k), 1), filled((k, n), 2)
    stored_a, stored_b = (a.T.copy() if transpose_a else a), (b.T.copy() if transpose_b else b)
    got = tr.matmul(tr.tensor(stored_a), tr.tensor(stored_b), transpose_a, transpose_b)
    np.testing.assert_allclose(got.numpy(), a.astype("float64") @ b, rtol=1e-5)


@few
@given(LANES, LANES)
def test_rows_and_columns_at_the_edges_of_lanes(rows: int, columns: int) -> None:
    x = filled((rows, columns))
    wide = x.astype("float64")
    t = tr.tensor(x)
    np.testing.assert_allclose(t.sum(0).numpy(), wide.sum(0), rtol=1e-6)
    np.testing.assert_allclose(t.sum(1).numpy(), wide.sum(1), rtol=1e-6)
    np.testing.assert_array_equal(t.T.numpy(), x.T)
    e = np.exp(wide)
    np.testing.assert_allclose(tr.softmax(t).numpy(), e / e.sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(t.argmax(axis=1).numpy(), x.argmax(1))
    y, mean, variance = tr.batchnorm(t)
    np.testing.assert_allclose(mean.numpy(), wide.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance.numpy(), wide.var(0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(y.numpy(), (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-3), rtol=1e-3, atol=1e-4)


@many
@given(
    st.integers(0, 4),
    st.integers(0, 4),
    st.lists(st.integers(-3, 6) | st.floats(allow_nan=True) | st.text(max_size=2), max_size=5),
)
def test_labels_of_any_kind_give_the_loss_or_an_error(rows: int, classes: int, labels: list[Any]) -> None:
    logits = filled((rows, classes))
    valid = len(labels) == rows > 0 and classes > 0 and all(type(v) is int and 0 <= v < classes for v in labels)
    if not valid:
        with pytest.raises(TinyresError):
            tr.losses.softmax_cross_entropy(tr.tensor(logits), labels)
        return
    wide = logits.astype("float64")
    expected = np.mean(np.log(np.exp(wide).sum(1)) - wide[np.arange(rows), labels])
    assert tr.losses.softmax_cross_entropy(tr.tensor(logits), labels).item() == pytest.approx(expected, rel=1e-5)
