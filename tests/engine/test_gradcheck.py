"""gradcheck itself: it must catch every kind of wrong VJP, and name the op."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import CASES, Case

import tinyres as tr
from tinyres.engine.op import OPS, Context, Gradients
from tinyres.errors import ArgumentError, DTypeError, GradientError

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]])
W = np.array([[1.0, -2.0], [0.5, 0.25], [2.0, 1.0]])


def doubled(g: tr.Tensor, ctx: Context) -> Gradients:
    return (g * 2.0 * ctx.inputs[0] * 2.0,)


def zeroed(g: tr.Tensor, ctx: Context) -> Gradients:
    return (g * 0.0,)


def forgotten(g: tr.Tensor, ctx: Context) -> Gradients:
    return (None,)


def wrong_sign(g: tr.Tensor, ctx: Context) -> Gradients:
    return (g * -2.0 * ctx.inputs[0],)


def wrong_in_one_element(g: tr.Tensor, ctx: Context) -> Gradients:
    mask = np.ones(X.shape)
    mask[1, 2] = 1.001
    return (g * 2.0 * ctx.inputs[0] * mask,)


@pytest.mark.parametrize("vjp", [doubled, zeroed, forgotten, wrong_sign, wrong_in_one_element])
@pytest.mark.parametrize("directional", [False, True])
def test_a_wrong_vjp_is_caught_and_named(vjp: object, directional: bool) -> None:
    bad_square = tr.custom_vjp(lambda x: x * x, vjp, "bad_square")  # type: ignore[arg-type]
    with pytest.raises(GradientError, match="bad_square") as raised:
        tr.gradcheck(bad_square, [X], directional=directional)
    assert "backward gives" in str(raised.value) and "central differences" in str(raised.value)


def test_the_message_names_op_index_and_both_values() -> None:
    bad_square = tr.custom_vjp(lambda x: x * x, doubled, "bad_square")

    def function(x: tr.Tensor) -> tr.Tensor:
        return tr.tanh(bad_square(x)).sum()

    with pytest.raises(GradientError) as raised:
        tr.gradcheck(function, [[0.5]])
    slope = 1 - np.tanh(0.25) ** 2
    assert str(raised.value) == (
        "[gradcheck] the gradient of function is wrong for input 0 at (0,): "
        f"backward gives {2 * slope:.9g}, central differences {slope:.9g}; "
        "correct the VJP of op [bad_square], or keep its inputs further than eps from a kink"
    )


def test_a_wrong_mask_is_caught() -> None:
    def vjp(g: tr.Tensor, ctx: Context) -> Gradients:
        return (tr.where(ctx.inputs[0] > 1.0, g, 0.0),)

    bad_relu = tr.custom_vjp(tr.relu, vjp, "bad_relu")
    with pytest.raises(GradientError, match=r"input 0 at \(0, 0\).*\[bad_relu\]"):
        tr.gradcheck(bad_relu, [X])


def test_a_wrong_axis_is_caught() -> None:
    def vjp(g: tr.Tensor, ctx: Context) -> Gradients:
        (x,) = ctx.inputs
        return (tr.broadcast_to(tr.reshape(g, (3, 1)), x.shape),)

    bad_sum = tr.custom_vjp(lambda x: x.sum(0), vjp, "bad_sum")
    with pytest.raises(GradientError, match="bad_sum"):
        tr.gradcheck(bad_sum, [X[:, :2].repeat(2, 0)[:3, [0, 1, 0]]])


def test_swapped_inputs_are_caught() -> None:
    def vjp(g: tr.Tensor, ctx: Context) -> Gradients:
        a, b = ctx.inputs
        return g * a, g * b

    bad_mul = tr.custom_vjp(lambda a, b: a * b, vjp, "bad_mul")
    with pytest.raises(GradientError, match="bad_mul"):
        tr.gradcheck(bad_mul, [X, X + 1.0])


def test_a_gradient_that_is_right_but_not_differentiable_fails_the_second_order() -> None:
    def vjp(g: tr.Tensor, ctx: Context) -> Gradients:
        return (g * (2.0 * ctx.inputs[0]).detach(),)

    cut_off = tr.custom_vjp(lambda x: x * x, vjp, "cut_off")
    assert tr.gradcheck(cut_off, [X])
    with pytest.raises(GradientError, match="the gradient of cut_off for input 0"):
        tr.gradcheck(cut_off, [X], second_order=True)


# Without: ops with a zero gradient, and casts, which do nothing to float64 (test_ops.py checks their gradient).
UNCHECKED = "sign floor ceil round floor_divide cast_float32 cast_float64".split()
CHECKED = [case for case in CASES if case.differentiable and case.op not in UNCHECKED]
ONE_PER_OP = {case.op: case for case in reversed(CHECKED)}


@pytest.mark.parametrize("case", ONE_PER_OP.values(), ids=ONE_PER_OP)
def test_a_mistake_in_the_vjp_of_any_op_is_caught_by_its_row(case: Case) -> None:
    """Each row of the table really runs the VJP of its op: with a wrong one it fails."""
    op = OPS[case.op]
    shapes = max(case.shapes, key=lambda shapes: sum(np.prod(shape) for shape in shapes))
    for field in ("vjp", "fast_vjp", "parts"):
        right = getattr(op, field)
        if right is None:
            continue

        def wrong(g: tr.Tensor, ctx: Context, right: object = right, field: str = field) -> Gradients:
            if field == "parts":
                g = g * 1.01
            found = right(g, ctx)  # type: ignore[operator]
            return found if field == "parts" else [None if part is None else part * 1.01 for part in found]

        object.__setattr__(op, field, wrong)
        try:
            with pytest.raises(GradientError, match=r"\[gradcheck\] the gradient of "):
                tr.gradcheck(case.run, case.inputs(shapes), second_order=True)
        finally:
            object.__setattr__(op, field, right)


def test_right_functions_pass() -> None:
    assert tr.gradcheck(lambda x, w: tr.softmax(tr.relu(x @ w)), [X, W], second_order=True) is True
    assert tr.gradcheck(lambda x, w: tr.tanh(x @ w), [X, W], directional=True, second_order=True) is True


def test_a_kink_is_named_as_a_possible_reason() -> None:
    with pytest.raises(GradientError, match=r"\[relu\], or keep its inputs further than eps from a kink"):
        tr.gradcheck(tr.relu, [[0.0]])


def test_randomness_is_named() -> None:
    with pytest.raises(GradientError, match="seed what is random"):
        tr.gradcheck(lambda x: tr.dropout(x, 0.5), [np.ones(64)])


def test_inputs_and_output_must_be_float() -> None:
    with pytest.raises(ArgumentError, match="at least one float input"):
        tr.gradcheck(tr.relu, [np.array([1, 2])])
    with pytest.raises(DTypeError, match="must return a float64 Tensor.*float32"):
        tr.gradcheck(lambda x: x.astype("float32"), [X])


def test_float32_tensors_are_checked_in_float64() -> None:
    assert tr.gradcheck(tr.exp, [tr.tensor(X, requires_grad=True)])
    assert tr.gradcheck(tr.exp, tr.tensor(X))


def test_a_value_taken_out_of_the_graph_is_not_blamed_on_an_op() -> None:
    with pytest.raises(GradientError, match=r"right on its own: look for a \.numpy\(\) or \.detach\(\) inside"):
        tr.gradcheck(lambda x: x * x.detach(), [X])
