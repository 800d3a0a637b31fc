"""tr.grad, gradients of gradients, what cannot be differentiated, and the VJPs of users."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres.engine.op import Op
from tinyres.errors import ArgumentError, DTypeError, GradientError, ShapeError


def leaf(values: object, name: str | None = None) -> tr.Tensor:
    return tr.tensor(values, requires_grad=True, name=name)


def grad_of(x: tr.Tensor) -> list[float]:
    assert x.grad is not None
    return x.grad.tolist()


# tr.grad and higher orders


def test_grad_leaves_dot_grad_alone() -> None:
    x, w = leaf([2.0]), leaf([3.0])
    gx, gw = tr.grad((x * x * w).sum(), [x, w])
    assert (gx.tolist(), gw.tolist()) == ([12.0], [4.0])
    assert x.grad is None and w.grad is None


def test_grad_of_an_intermediate_tensor() -> None:
    x = leaf([2.0])
    h = x * 3.0
    (g,) = tr.grad((h * h).sum(), [h])
    assert g.tolist() == [12.0]


def test_grad_of_what_does_not_matter_is_zero() -> None:
    x, other = leaf([2.0]), leaf([[1.0, 2.0]])
    gx, gother = tr.grad((x * x).sum(), [x, other])
    assert gx.tolist() == [4.0]
    assert gother.tolist() == [[0.0, 0.0]]


def test_higher_orders() -> None:
    x = leaf(2.0)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = tr.grad(y, [x], create_graph=True)
        assert y.item() == pytest.approx(expected, rel=1e-5)


def test_a_gradient_penalty_trains() -> None:
    """d/dw of |dy/dx|² for y = w·x³: dy/dx = 3wx², so the derivative is 2·3wx²·3x²."""
    x, w = leaf(2.0), leaf(0.5)
    (slope,) = tr.grad(w * x**3, [x], create_graph=True)
    (slope * slope).backward()
    assert w.grad is not None
    assert w.grad.item() == pytest.approx(2 * 3 * 0.5 * 4 * 3 * 4, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tr.grad(x.sum(), x), ArgumentError, r"\[grad\] xs must be a list of Tensors"),
        (lambda x: tr.grad(x.sum(), [tr.tensor([1.0])]), GradientError, r"xs\[0\] of shape \(1,\) does not"),
        (lambda x: x.backward(), ShapeError, r"\[backward\] a gradient starts from one number; got shape \(2,\)"),
        (lambda x: x.detach().sum().backward(), GradientError, r"nothing that led to this Tensor"),
        (lambda x: tr.backward(3.0), ArgumentError, r"\[backward\] a gradient starts from a Tensor; got float"),
        (lambda x: (x * 2.0).grad, GradientError, r"\[grad\] only leaves keep \.grad.*\[mul\]"),
    ],
)
def test_what_cannot_be_differentiated(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(leaf([1.0, 2.0]))  # type: ignore[operator]


def test_a_vjp_of_the_wrong_shape_or_number_is_named() -> None:
    wrong_shape = tr.custom_vjp(lambda x: x * 1.0, lambda g, ctx: (tr.tensor([[1.0, 2.0, 3.0]]),), "wrong_shape")
    with pytest.raises(GradientError, match=r"\[wrong_shape\] the gradient of input 0 must have its shape \(2,\)"):
        wrong_shape(leaf([1.0, 2.0])).sum().backward()
    too_few = tr.custom_vjp(lambda a, b: a + b, lambda g, ctx: (g,), "too_few")
    with pytest.raises(GradientError, match=r"\[too_few\] the VJP must return one gradient per input; got 1 for 2"):
        too_few(leaf([1.0]), leaf([1.0])).sum().backward()


def test_an_error_in_a_vjp_restores_the_mode() -> None:
    def failing(g: tr.Tensor, ctx: object) -> tuple[tr.Tensor, ...]:
        raise ZeroDivisionError

    broken = tr.custom_vjp(lambda x: x * 1.0, failing, "broken")
    with pytest.raises(ZeroDivisionError):
        broken(leaf([1.0])).sum().backward()
    assert tr.is_grad_enabled()


# Own ops


def test_custom_vjp_replaces_the_gradient() -> None:
    straight_through = tr.custom_vjp(tr.sign, lambda g, ctx: (g,), "straight_through")
    x = leaf([0.5, -2.0])
    y = straight_through(x)
    assert y.tolist() == [1.0, -1.0]
    y.sum().backward()
    assert grad_of(x) == [1.0, 1.0]
    assert y.node is None or isinstance(y.node.op, Op) and y.node.op.name == "straight_through"


def test_custom_vjp_takes_arrays_and_broadcasts() -> None:
    scaled = tr.custom_vjp(lambda a, b: a * b, lambda g, ctx: (g * ctx.inputs[1], g * ctx.inputs[0]), "scaled")
    b = leaf(2.0)
    scaled(np.ones((2, 3)), b).sum().backward()
    assert grad_of(b) == 6.0
    assert tr.gradcheck(scaled, [np.ones((2, 3)), np.array(2.0)], second_order=True)


def test_custom_vjp_says_what_it_takes() -> None:
    vjp = lambda g, ctx: (g,)  # noqa: E731
    with pytest.raises(ArgumentError, match=r"\[custom_vjp\] 'add' is an op of tinyres"):
        tr.custom_vjp(tr.relu, vjp, "add")
    with pytest.raises(ArgumentError, match=r"\[custom_vjp\] forward takes Tensors as positional arguments"):
        tr.custom_vjp(lambda *xs: xs[0], vjp, "variadic")
    with pytest.raises(ArgumentError, match=r"\[one\] takes 1 inputs; got 2"):
        tr.custom_vjp(lambda x: x, vjp, "one")(1.0, 2.0)
    with pytest.raises(DTypeError, match=r"\[number\] forward must return a Tensor; got float"):
        tr.custom_vjp(lambda x: 1.0, vjp, "number")(leaf([1.0]))
    with pytest.raises(tr.errors.CaptureError, match="write the forward of an own op with tinyres ops only"):
        tr.custom_vjp(lambda x: x * x.sum().item(), vjp, "reads")(leaf([1.0]))
