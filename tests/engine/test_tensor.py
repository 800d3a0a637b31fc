"""Tensor as a citizen of Python and NumPy: making, reading, operators from both sides, and what it refuses."""

from __future__ import annotations

import ast
import copy
import inspect

import numpy as np
import pytest

import tinyres as tr
from tinyres.engine.attached import Attached
from tinyres.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tinyres.ops.methods import METHODS, OPERATORS

A = np.array([[1.0, -2.0], [0.5, 4.0]], dtype="float32")


def t(array: object = A, **options: object) -> tr.Tensor:
    return tr.tensor(array, **options)  # type: ignore[arg-type]


# Making and reading


@pytest.mark.parametrize(
    "value", [1, 2.5, True, [1, 2], [[1.0], [2.0]], np.arange(3), np.float64(2), range(3), ((1, 2), (3, 4))]
)
def test_tensor_takes_what_asarray_takes_as_float32(value: object) -> None:
    x = t(value)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.numpy(), np.asarray(value, dtype="float32"))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float64", "float64"),
        (np.float32, "float32"),
        (int, "int64"),
        ("int8", "int64"),
        (bool, "bool"),
        (None, "float32"),
    ],
)
def test_dtypes(dtype: object, expected: str) -> None:
    assert t([1, 0], dtype=dtype).dtype == np.dtype(expected)


def test_a_tensor_owns_its_memory() -> None:
    source = A.copy()
    x = t(source)
    source[...] = 0
    out = x.numpy()
    out[...] = 7
    np.testing.assert_array_equal(x.numpy(), A)


def test_reading() -> None:
    x = t()
    np.testing.assert_array_equal(np.asarray(x), A)
    assert np.asarray(x, dtype="float64").dtype == np.float64
    assert x.tolist() == A.tolist()
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 2), 2, 4, 2)
    loss = t(0.25)
    assert (float(loss), loss.item(), f"{loss:.3f}", int(t(3.7)), bool(t(0.0))) == (0.25, 0.25, "0.250", 3, False)
    assert [row.tolist() for row in x] == A.tolist()
    assert ["a", "b", "c"][t(1, dtype="int64")] == "b"
    with pytest.raises(ShapeError, match=r"\[item\] needs one element; got shape \(2, 2\)"):
        float(x)
    with pytest.raises(ArgumentError, match="not shared with NumPy"):
        np.array(x, copy=False)


def test_repr() -> None:
    assert repr(t([1.0, 2.5])) == "Tensor([1. , 2.5], shape=(2,), dtype=float32)"
    assert (
        repr(t(3.0, requires_grad=True, name="w"))
        == "Tensor(3., shape=(), dtype=float32, requires_grad=True, name='w')"
    )
    assert "Tensor" in t()._repr_html_()


def test_copies() -> None:
    x = t([1.0], requires_grad=True, name="w")
    twin = copy.deepcopy(x)
    assert (twin.tolist(), twin.requires_grad, twin.name) == ([1.0], True, "w")
    assert twin.buffer is not x.buffer
    assert copy.copy(x) is x
    with pytest.raises(GradientError, match="only leaves can be copied"):
        copy.deepcopy(x * 2.0)


# Operators


BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "@": lambda a, b: a @ b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
OTHERS = [
    A.T + 1,
    A.astype("float64"),
    np.float64(2),
    np.float32(2),
    2,
    2.0,
    np.array(2.0),
    True,
    [[1.0, 2.0], [3.0, 4.0]],
]


@pytest.mark.parametrize("symbol", BINARY)
@pytest.mark.parametrize("other", OTHERS, ids=lambda o: f"{type(o).__name__}{np.shape(o)}")
@pytest.mark.parametrize("side", ["left", "right"])
def test_operators_take_numpy_and_numbers_from_both_sides(symbol: str, other: object, side: str) -> None:
    if symbol == "@" and np.ndim(other) == 0:
        other = np.asarray(other) * np.eye(2)
    operate = BINARY[symbol]
    plain = np.asarray(other)
    got = operate(t(), other) if side == "left" else operate(other, t())
    expected = operate(A, plain) if side == "left" else operate(plain, A)
    assert isinstance(got, tr.Tensor)
    assert got.dtype == (np.bool_ if expected.dtype == np.bool_ else np.float32), "others take the Tensor's dtype"
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def test_powers() -> None:
    x = t(np.abs(A))
    for exponent in (2, 3, 0.5, -1, 1.5, 0, np.float64(2), [[1.0, 2.0], [3.0, 0.5]]):
        np.testing.assert_allclose((x**exponent).numpy(), np.abs(A) ** np.asarray(exponent), rtol=1e-5)
    np.testing.assert_allclose((2.0**x).numpy(), 2.0 ** np.abs(A), rtol=1e-5)
    np.testing.assert_allclose((np.float64(3) ** x).numpy(), 3.0 ** np.abs(A), rtol=1e-5)


def test_float64_tensors_stay_float64() -> None:
    x = t(A, dtype="float64")
    for y in (x * 2, 2 * x, np.float32(2) * x, x + A, A + x, x @ A):
        assert y.dtype == np.float64
    with pytest.raises(DTypeError, match=r"\[add\] the dtypes must be the same; got float64 and float32; use \.astype"):
        x + t()


@pytest.mark.parametrize(
    "ufunc", [np.exp, np.sqrt, np.square, np.tanh, np.negative, np.absolute, np.sign, np.log, np.reciprocal]
)
def test_numpy_functions_give_tensors(ufunc: np.ufunc) -> None:
    x = t(np.abs(A), requires_grad=True)
    y = ufunc(x)
    assert isinstance(y, tr.Tensor) and y.requires_grad
    np.testing.assert_allclose(y.numpy(), ufunc(np.abs(A)), rtol=1e-5)


def test_numpy_on_the_left_is_differentiated() -> None:
    x = t([1.0, 2.0], requires_grad=True)
    (np.array([3.0, 4.0]) * x + np.float64(5) * x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [8.0, 9.0]


def test_numpy_functions_without_an_op_are_errors() -> None:
    with pytest.raises(DTypeError, match=r"\[np\.arctan\] no tinyres op does this"):
        np.arctan(t())
    with pytest.raises(
        ArgumentError, match=r"\[np\.add\] a ufunc on a Tensor takes no options and no methods; got reduce"
    ):
        np.add.reduce(t())
    array = A.copy()
    with pytest.raises(DTypeError, match=r"\[np\.add\] a Tensor's value cannot be written into a NumPy array"):
        array += t()
    np.testing.assert_array_equal(array, A)


def test_augmented_assignment_rebinds() -> None:
    x = t(requires_grad=True)
    y = x
    y += 1
    y *= np.float64(2)
    y -= A
    y /= 2
    assert y is not x
    np.testing.assert_array_equal(x.numpy(), A)
    np.testing.assert_allclose(y.numpy(), ((A + 1) * 2 - A) / 2)


def test_negative_zero_is_not_zero() -> None:
    x = t([1.0])
    for zero, negative in ((0.0, False), (-0.0, True), (0, False), (np.float64(-0.0), True)):
        assert np.signbit((x * zero).numpy()).item() is negative


def test_hash_is_identity_and_eq_elementwise() -> None:
    x, y = t(), t()
    assert len({x, y}) == 2 and x in {x: 1}
    assert (x == y).tolist() == [[True, True], [True, True]]
    assert (x != y).dtype == np.bool_


def test_assignment_to_elements_names_where() -> None:
    with pytest.raises(DTypeError, match=r"\[setitem\].*tr\.where"):
        t()[0] = 1.0


# Methods


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(),
        lambda x: x.sum(axis=0),
        lambda x: x.mean(-1, keepdims=True),
        lambda x: x.var(),
        lambda x: x.max(1),
        lambda x: x.min(axis=(0, 1)),
        lambda x: x.argmax(),
        lambda x: x.argmax(axis=0),
        lambda x: x.reshape(4),
        lambda x: x.reshape(-1, 1),
        lambda x: x.reshape((1, 4)),
        lambda x: x.reshape(np.int64(4)),
        lambda x: x.transpose(),
        lambda x: x.transpose(1, 0),
        lambda x: x.transpose((1, 0)),
        lambda x: x.T,
        lambda x: x.flatten(),
        lambda x: x.clip(-1, 1),
        lambda x: x.clip(None, 1),
        lambda x: abs(x),
        lambda x: -x,
        lambda x: x.astype("int64"),
        lambda x: x[0],
        lambda x: x[:, None, 1],
        lambda x: x[..., -1],
        lambda x: x[np.int64(1), 0],
    ],
)
def test_methods_mean_what_they_mean_in_numpy(call: object) -> None:
    got, expected = call(t()), call(A)  # type: ignore[operator]
    assert isinstance(got, tr.Tensor) and got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def test_methods_of_pytorch() -> None:
    x = t()
    np.testing.assert_array_equal(x.relu().numpy(), np.maximum(A, 0))
    np.testing.assert_array_equal(x.permute(1, 0).numpy(), A.T)
    np.testing.assert_allclose(x.sigmoid().numpy(), 1 / (1 + np.exp(-A)), rtol=1e-6)
    np.testing.assert_allclose(x.softmax().numpy().sum(-1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(x.log_softmax().exp().numpy(), x.softmax().numpy(), rtol=1e-6)
    assert x.broadcast_to((3, 2, 2)).shape == (3, 2, 2)


def test_an_index_tensor_indexes() -> None:
    assert t()[t(1, dtype="int64")].tolist() == A[1].tolist()


def _positional(function: object) -> list[str]:
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def test_type_checkers_see_what_is_attached() -> None:
    source = ast.parse(inspect.getsource(Attached))
    block = next(node for node in ast.walk(source) if isinstance(node, ast.If))
    declared = {node.name: [a.arg for a in node.args.args] for node in block.body if isinstance(node, ast.FunctionDef)}
    attached = {**OPERATORS, **METHODS}
    assert set(declared) == {*attached, "T", "__array_ufunc__", "__array_function__"}
    for name, function in METHODS.items():
        assert declared[name][1:] == _positional(function)[1:], name


# Parameters


def test_parameter_assign() -> None:
    w = tr.Parameter(A, "dense/kernel")
    w.assign(A * 2)
    np.testing.assert_array_equal(w.numpy(), A * 2)
    with pytest.raises(ShapeError, match=r"\[assign\] dense/kernel has shape \(2, 2\); got \(3,\)"):
        w.assign([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(w.numpy(), A * 2)


def test_a_frozen_parameter_gets_no_gradient() -> None:
    w, x = tr.Parameter([2.0], "w"), t([3.0], requires_grad=True)
    w.trainable = False
    (w * x).sum().backward()
    assert w.grad is None
    w.trainable = True
    (w * x).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [3.0]


# What cannot become a Tensor


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: t(["cat", "dog"]),
            DTypeError,
            r"values must be numbers; got strings.*np\.unique\(y, return_inverse=True\)",
        ),
        (lambda: t([[1.0], [1.0, 2.0]]), ShapeError, r"nested lists must have equal lengths; got a ragged list"),
        (lambda: t(None), DTypeError, r"values must be real numbers; got object"),
        (lambda: t([1j]), DTypeError, r"values must be real numbers; got complex128 of shape \(1,\)"),
        (
            lambda: t([1], dtype="int64", requires_grad=True),
            DTypeError,
            r"only float Tensors have gradients; got int64",
        ),
        (lambda: t([1], dtype="float16"), DTypeError, r"dtypes are float32, float64, int64 and bool; got 'float16'"),
        (lambda: t([1], dtype="nonsense"), DTypeError, r"dtypes are float32, float64, int64 and bool; got 'nonsense'"),
        (lambda: t() + "x", DTypeError, r"values must be numbers; got strings"),
        (lambda: t() * None, DTypeError, r"values must be real numbers; got object"),
    ],
)
def test_bad_values(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]


def test_unary_plus_is_the_tensor_itself() -> None:
    x = tr.tensor([1.0, -2.0], requires_grad=True)
    assert +x is x
