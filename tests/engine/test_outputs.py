"""Ops with several outputs: one VJP for all of them, whichever of them a gradient comes back to."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tinyres as tr
from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.backward import backward
from tinyres.engine.node import Node
from tinyres.engine.op import Context, Gradients, apply
from tinyres.errors import DTypeError, GradientError
from tinyres.kernels.dtypes import FLOAT64, INT64
from tinyres.launch import launch
from tinyres.ops.custom import CustomOp

X = np.array([1.0, -2.0, 3.0])


def powers_shape(x: tr.Tensor) -> tuple[tuple[int, ...], ...]:
    return x.shape, x.shape


def powers_forward(outs: tuple[Buffer, ...], x: tr.Tensor) -> None:
    square, cube = outs
    launch(kernels.square, (square,), (x.buffer,), (x.size,))
    launch(kernels.mul, (cube,), (square, x.buffer), (1, x.size))


def powers_vjp(cotangents: tuple[tr.Tensor | None, ...], ctx: Context) -> Gradients:
    """It reads x, and the square as an output, so that the second derivative passes through the op again."""
    (x,) = ctx.inputs
    square, _ = ctx.outputs
    to_square, to_cube = cotangents
    parts = [] if to_square is None else [to_square * (2.0 * x)]
    parts += [] if to_cube is None else [to_cube * (3.0 * square)]
    return (parts[0] if len(parts) == 1 else parts[0] + parts[1],)


POWERS = CustomOp(
    "powers",
    outputs=("square", "cube"),
    shape=powers_shape,
    forward=powers_forward,
    vjp=powers_vjp,
    saves=(0,),
    reads_output=True,
)


def powers(x: tr.Tensor) -> tuple[tr.Tensor, tr.Tensor]:
    square, cube = apply(POWERS, (x,))
    return square, cube


def leaf(values: object = X, dtype: str = "float32") -> tr.Tensor:
    return tr.tensor(values, requires_grad=True, name="x", dtype=dtype)


def test_every_output_is_a_tensor_of_its_own() -> None:
    outputs = apply(POWERS, (leaf(),))
    assert isinstance(outputs, tuple)
    assert [y.tolist() for y in outputs] == [[1.0, 4.0, 9.0], [1.0, -8.0, 27.0]]
    assert all(y.requires_grad and not y.is_leaf for y in outputs)
    with tr.no_grad():
        assert not any(y.requires_grad for y in apply(POWERS, (leaf(),)))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda s, c: s.sum(), 2 * X),
        (lambda s, c: c.sum(), 3 * X**2),
        (lambda s, c: s.sum() + c.sum(), 2 * X + 3 * X**2),
        (lambda s, c: (s * c).sum(), 5 * X**4),
        (lambda s, c: (c + c * 2.0 + s).sum(), 9 * X**2 + 2 * X),
    ],
    ids=["first", "second", "both", "product", "twice"],
)
def test_the_gradient_through_any_of_them(function: object, expected: np.ndarray) -> None:
    x = leaf()
    function(*powers(x)).backward()  # type: ignore[operator]
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


def test_the_vjp_runs_once_and_gets_none_for_what_got_nothing() -> None:
    seen = []

    def vjp(cotangents: tuple[tr.Tensor | None, ...], ctx: Context) -> Gradients:
        seen.append([None if g is None else g.tolist() for g in cotangents])
        return powers_vjp(cotangents, ctx)

    spied = CustomOp("spied", powers_shape, powers_forward, vjp, (0,), True, outputs=("square", "cube"))
    x = leaf([2.0])
    for loss in (lambda s, c: s, lambda s, c: c, lambda s, c: s + 5.0 * c):
        loss(*apply(spied, (x,))).sum().backward()
    assert seen == [[[1.0], None], [None, [1.0]], [[1.0], [5.0]]]


@pytest.mark.parametrize("directional", [False, True])
def test_gradients_of_both_orders(directional: bool) -> None:
    for combine in (lambda s, c: s, lambda s, c: c, lambda s, c: s * c, lambda s, c: tr.tanh(s) + c * c):
        assert tr.gradcheck(
            lambda x, combine=combine: combine(*powers(x)), [X], directional=directional, second_order=True
        )


def test_higher_orders_pass_through_a_further_output() -> None:
    x = leaf(2.0, "float64")
    y = powers(x)[1]
    for expected in (12.0, 12.0, 6.0):
        (y,) = tr.grad(y, [x], create_graph=True)
        assert y.item() == pytest.approx(expected)


def test_the_gradient_at_an_output() -> None:
    square, cube = powers(leaf())
    to_square, to_cube = tr.grad((square * cube).sum(), [square, cube])
    np.testing.assert_allclose(to_square.numpy(), X**3)
    np.testing.assert_allclose(to_cube.numpy(), X**2)


def test_a_wrong_vjp_is_named() -> None:
    def wrong(cotangents: tuple[tr.Tensor | None, ...], ctx: Context) -> Gradients:
        (to_x,) = powers_vjp(cotangents, ctx)
        return (None if to_x is None else to_x * 1.5,)

    bad = CustomOp("bad_powers", powers_shape, powers_forward, wrong, (0,), True, outputs=("square", "cube"))
    with pytest.raises(GradientError, match=r"correct the VJP of op \[bad_powers\]"):
        tr.gradcheck(lambda x: apply(bad, (x,))[1], [X])
    square, cube = apply(bad, (leaf(),))
    (failure,) = tr.Graph((square + cube * 0.5).sum()).trace(audit="full").audit().failures
    assert failure.edge == ("x", "bad_powers") and "the VJP of [bad_powers] for input 0" in failure.problem


def test_a_slow_rule_that_differs_from_the_fast_one_is_caught() -> None:
    def wrong(cotangents: tuple[tr.Tensor | None, ...], ctx: Context) -> Gradients:
        (to_x,) = powers_vjp(cotangents, ctx)
        return (None if to_x is None else to_x * 1.5,)

    bad = CustomOp(
        "half_right", powers_shape, powers_forward, wrong, (0,), True, outputs=("square", "cube"), fast_vjp=powers_vjp
    )
    assert tr.gradcheck(lambda x: apply(bad, (x,))[0], [X])
    with pytest.raises(GradientError, match=r"correct the VJP of op \[half_right\]"):
        tr.gradcheck(lambda x: apply(bad, (x,))[0], [X], second_order=True)


def test_observers_hear_of_each_output_and_of_one_edge_per_input() -> None:
    x = leaf([2.0])
    square, cube = powers(x)
    edges, totals = [], {}

    def label(node: Node) -> str:
        return node.op.name if node.op is not None else "x"

    backward(
        (square * 10.0 + cube).sum(),
        on_edge=lambda c, i, p, g: edges.append((label(c), label(p), None if g is None else g.tolist())),
        on_node=lambda n, g: totals.setdefault(label(n), g.tolist()),
    )
    assert ("powers", "x", [2 * 2 * 10.0 + 3 * 4.0]) in edges
    assert ("powers.cube", "powers", None) in edges
    assert (totals["powers"], totals["powers.cube"], totals["x"]) == ([10.0], [1.0], [52.0])
    totals.clear()
    backward(powers(x)[1].sum(), on_node=lambda n, g: totals.setdefault(label(n), g.tolist()))
    assert (totals["powers"], totals["powers.cube"]) == ([0.0], [1.0])


@pytest.mark.parametrize("level", ["layer", "op"])
def test_a_trace_shows_values_and_gradients_of_each_output(level: str) -> None:
    square, cube = powers(leaf())
    trace = tr.Graph((square * 2.0 + tr.relu(cube)).sum()).trace(level=level, arrays=True, audit="full", paths=True)
    assert trace.audit().ok
    assert trace["powers"].value.tolist() == [1.0, 4.0, 9.0]
    assert trace["powers"].grad.tolist() == [2.0, 2.0, 2.0]
    assert trace["powers.cube"].value.tolist() == [1.0, -8.0, 27.0]
    assert trace["powers.cube"].grad.tolist() == [1.0, 0.0, 1.0]
    np.testing.assert_allclose(trace["x"].grad, 4 * X + 3 * X**2 * (X > 0))
    assert sum(trace.paths().shares) == pytest.approx(1.0)


def test_one_output_alone_is_traced_like_any_op() -> None:
    trace = tr.Graph(powers(leaf())[0].sum()).trace(audit="full")
    assert [n.name for n in trace.nodes] == ["x", "powers", "sum"] and trace.audit().ok


def test_backward_frees_all_outputs_and_says_so_the_second_time() -> None:
    x = leaf()
    square, cube = powers(x)
    watched = weakref.ref(cube.buffer)
    loss, again = (square + cube).sum(), (cube * 2.0).sum()
    del square, cube
    loss.backward(retain_graph=True)
    assert watched() is not None
    again.backward()
    with pytest.raises(GradientError, match="freed by an earlier backward"):
        loss.backward()
    del loss, again
    assert watched() is None


def test_no_cycle_keeps_the_outputs_alive() -> None:
    gc.collect()
    gc.disable()
    try:
        square, cube = powers(leaf())
        loss = (square + cube).sum()
        watched = [weakref.ref(t.node) for t in (square, cube, loss)]
        del square, cube, loss
        assert [w() for w in watched] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_long_chain_through_further_outputs() -> None:
    x = leaf([1.0])
    h = x
    for _ in range(5000):
        h = powers(h)[1]
    h.sum().backward()
    assert x.grad is not None and x.grad.item() == np.inf
    del h


def test_a_saved_value_that_was_changed_in_place_is_an_error() -> None:
    w = tr.Parameter(X, "w")
    _, cube = powers(w)
    w.assign(X + 1.0)
    with pytest.raises(GradientError, match=r"w \(shape \(3,\)\), which \[powers\] saved"):
        cube.sum().backward()


def test_a_captured_step_does_what_eager_does() -> None:
    def step(x: tr.Tensor) -> tuple[tr.Tensor, tr.Tensor]:
        w = tr.grad((powers(p * x)[1] + powers(p)[0]).sum(), [p])
        return w[0], powers(x)[1]

    p = tr.Parameter([0.5, 1.0, 2.0], "p")
    captured = tr.capture(step)
    for scale in (1.0, 2.0, 3.0):
        x = tr.tensor(X * scale)
        for got, want in zip(captured(x), step(x)):
            assert got.tolist() == want.tolist()


def test_a_symbolic_tensor_gives_symbolic_outputs() -> None:
    inputs = tr.Input(shape=(3,))
    square, cube = apply(POWERS, (inputs,))
    assert (square.shape, cube.shape) == ((None, 3), (None, 3))
    model = tr.Model(inputs, [tr.relu(cube), square])
    got = [y.tolist() for y in model(tr.tensor([X]))]
    assert got == [[[1.0, 0.0, 27.0]], [[1.0, 4.0, 9.0]]]


def numbered(outputs: tuple[str, ...], dtype: object, shapes: object = None) -> CustomOp:
    def forward(outs: tuple[Buffer, ...], x: tr.Tensor) -> None:
        for out in outs:
            flat = np.arange(out.size) if out.dtype is INT64 else x.buffer.array
            out.array[...] = flat

    def vjp(cotangents: tuple[tr.Tensor | None, ...], ctx: Context) -> Gradients:
        assert [g is None for g in cotangents] == [name != "value" for name in outputs]
        return (next(g for g in cotangents if g is not None),)

    rule = shapes or (lambda x: (x.shape,) * len(outputs))
    return CustomOp("numbered", shape=rule, forward=forward, vjp=vjp, dtype=dtype, outputs=outputs)  # type: ignore[arg-type]


def test_a_dtype_rule_gives_each_output_its_own() -> None:
    op = numbered(("value", "index"), lambda x: (x.dtype, INT64))
    for dtype in ("float32", "float64"):
        x = leaf(dtype=dtype)
        value, index = apply(op, (x,))
        assert (str(value.dtype), str(index.dtype)) == (dtype, "int64")
        assert index.tolist() == [0, 1, 2] and not index.requires_grad
        value.sum().backward()
        assert x.grad is not None and x.grad.tolist() == [1.0] * 3
    assert tr.gradcheck(lambda x: apply(op, (x,))[0], [X], second_order=True)
    assert tr.Graph(apply(op, (leaf(),))[0].sum()).trace(audit="full").audit().ok


def test_a_dtype_rule_of_one_output() -> None:
    def forward(out: Buffer, x: tr.Tensor, target: np.dtype) -> None:
        out.array[...] = x.buffer.array

    op = CustomOp("as_told", shape=lambda x, target: x.shape, forward=forward, dtype=lambda x, target: target)
    assert apply(op, (tr.tensor(X),), FLOAT64).dtype is FLOAT64
    assert apply(op, (tr.tensor(X),), INT64).tolist() == [1, -2, 3]


def test_rules_that_do_not_fit_the_outputs_are_errors() -> None:
    with pytest.raises(DTypeError, match=r"\[numbered\] the first output of an op with a gradient must be a float"):
        apply(numbered(("index", "value"), lambda x: (INT64, x.dtype)), (leaf(),))
    message = r"\[numbered\] its shape and dtype rules must give one for each of its outputs .*; got 1 shapes and 2 dty"
    with pytest.raises(GradientError, match=message):
        apply(numbered(("value", "index"), None, lambda x: (x.shape,)), (leaf(),))
