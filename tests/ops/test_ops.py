"""Every op of the table: values against NumPy, gradients of both orders, and the same on every backend and ISA."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from op_cases import CASES, Case, Shape

import tinyres as tr
from tinyres import ops
from tinyres.backends import native
from tinyres.engine.op import OPS
from tinyres.engine.state import enable_grad

ISAS = [name for name, supported in native.isas().items() if supported] if native.AVAILABLE else []


def rows(cases: list[Case]) -> list[object]:
    counts: dict[str, int] = {}
    parameters = []
    for case in cases:
        for shapes in case.shapes:
            counts[case.op] = counts.get(case.op, -1) + 1
            parameters.append(pytest.param(case, shapes, id=f"{case.op}-{counts[case.op]}"))
    return parameters


ALL = rows(CASES)
DIFFERENTIABLE = rows([case for case in CASES if case.differentiable and case.op != "cast_float32"])
BENCHED = [
    pytest.param(c, c.bench, id=f"{c.op}-bench{i}", marks=pytest.mark.slow) for i, c in enumerate(CASES) if c.bench
]


@pytest.fixture
def restored_native() -> Iterator[None]:
    before = tr.backend(), native.isa(), native.threads()
    yield
    tr.set_backend(before[0])
    native.select_isa(before[1])
    native.set_threads(before[2])


def assert_close(got: np.ndarray, want: np.ndarray, rtol: float, atol: float, which: str = "") -> None:
    """`np.testing.assert_allclose`, asked only for its words: it takes longer than the op."""
    floats = got.dtype.kind == "f" and got.shape == want.shape
    if not (floats and np.all(np.abs(got - want) <= atol + rtol * np.abs(want))):
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=which)


def value_and_gradients(case: Case, arrays: list[np.ndarray]) -> list[np.ndarray]:
    inputs = [tr.tensor(a, requires_grad=True, dtype=a.dtype) for a in arrays]
    y = case.run(*inputs)
    if not y.requires_grad:
        return [y.numpy()]
    (y * np.cos(np.arange(y.size)).reshape(y.shape)).sum().backward()
    return [y.numpy(), *[x.grad.numpy() if x.grad is not None else np.zeros(x.shape) for x in inputs]]


def test_every_op_has_a_row() -> None:
    assert {case.op for case in CASES} == set(OPS)


@pytest.mark.parametrize(("case", "shapes"), ALL)
def test_value_equals_numpy(case: Case, shapes: tuple[Shape, ...]) -> None:
    for dtype, rtol, atol in (("float64", 1e-12, 1e-14), ("float32", 2e-5, 2e-6)):
        arrays = case.inputs(shapes, dtype)
        expected = np.asarray(case.oracle(*[a.astype("float64") for a in arrays]))
        y = case.run(*[tr.tensor(a, dtype=dtype) for a in arrays])
        assert y.shape == expected.shape
        assert_close(y.numpy(), expected, rtol, atol, which=dtype)


@pytest.mark.parametrize(("case", "shapes"), DIFFERENTIABLE)
def test_gradient_of_first_order(case: Case, shapes: tuple[Shape, ...]) -> None:
    assert tr.gradcheck(case.run, case.inputs(shapes))


@pytest.mark.slow
@pytest.mark.parametrize(("case", "shapes"), DIFFERENTIABLE)
def test_gradient_of_second_order(case: Case, shapes: tuple[Shape, ...]) -> None:
    assert tr.gradcheck(case.run, case.inputs(shapes), directional=True, second_order=True)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "shapes"), DIFFERENTIABLE)
def test_recorded_gradient_is_the_fused_one(case: Case, shapes: tuple[Shape, ...]) -> None:
    inputs = [tr.tensor(a, requires_grad=True, dtype="float64") for a in case.inputs(shapes)]
    y = case.run(*inputs).sum()
    fused = tr.grad(y, inputs, retain_graph=True)
    recorded = tr.grad(y, inputs, create_graph=True)
    for a, b in zip(fused, recorded):
        assert_close(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(not native.AVAILABLE, reason="the C core was not built")
@pytest.mark.parametrize(("case", "shapes"), ALL + BENCHED)
def test_native_equals_reference(case: Case, shapes: tuple[Shape, ...], restored_native: None) -> None:
    arrays = case.inputs(shapes, "float32")
    tr.set_backend("reference")
    expected = value_and_gradients(case, arrays)
    tr.set_backend("native")
    for isa in ISAS:
        native.select_isa(isa)
        for got, want in zip(value_and_gradients(case, arrays), expected):
            scale = np.abs(want).max(initial=1.0)
            assert_close(got, want, rtol=2e-5, atol=3e-6 * scale, which=isa)


@pytest.mark.skipif(not native.AVAILABLE, reason="the C core was not built")
@pytest.mark.parametrize(("case", "shapes"), BENCHED)
def test_threads_do_not_change_a_bit(case: Case, shapes: tuple[Shape, ...], restored_native: None) -> None:
    arrays = case.inputs(shapes, "float32")
    tr.set_backend("native")
    native.set_threads(1)
    alone = value_and_gradients(case, arrays)
    for count in (2, 3):
        native.set_threads(count)
        for got, want in zip(value_and_gradients(case, arrays), alone):
            assert got.tobytes() == want.tobytes(), f"{count} threads"


def test_gradient_of_a_cast_is_cast_back() -> None:
    x = tr.tensor([1.5, -2.0], requires_grad=True, dtype="float64")
    (x.astype("float32") * 3.0).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.dtype("float64")
    assert x.grad.tolist() == [3.0, 3.0]


def test_nothing_is_recorded_for_a_comparison() -> None:
    x = tr.tensor([1.0, 2.0], requires_grad=True)
    assert not (x > 1.5).requires_grad
    assert not x.argmax().requires_grad


def test_integers_compare_exactly() -> None:
    big = 2**52 + 1
    a, b = tr.tensor([big], dtype="int64"), tr.tensor([big - 1], dtype="int64")
    assert (a == b).tolist() == [False]
    assert (a > b).tolist() == [True]


def test_accuracy_reads_as_in_numpy() -> None:
    logits = tr.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    labels = tr.tensor([1, 1, 1], dtype="int64")
    assert (logits.argmax(axis=1) == labels).mean().item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("op", [tr.maximum, tr.minimum])
def test_a_tie_shares_the_gradient(op: object) -> None:
    a, b = tr.tensor([1.0], requires_grad=True), tr.tensor([1.0], requires_grad=True)
    op(a, b).sum().backward()  # type: ignore[operator]
    assert a.grad is not None and b.grad is not None
    assert (a.grad.item(), b.grad.item()) == (0.5, 0.5)


def test_equal_maxima_share_the_gradient() -> None:
    x = tr.tensor([[2.0, 2.0, 1.0], [0.0, 5.0, 3.0]], requires_grad=True)
    x.max(axis=1).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]


def test_pow_at_zero() -> None:
    x = tr.tensor([0.0, 0.0, 2.0], requires_grad=True)
    e = tr.tensor([0.0, 3.0, 3.0], requires_grad=True)
    tr.pow(x, e).sum().backward()
    assert x.grad is not None and e.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 12.0]
    np.testing.assert_allclose(e.grad.numpy(), [0.0, 0.0, 8 * np.log(2)], rtol=1e-6)


def test_logsumexp_of_infinities() -> None:
    x = tr.tensor([[-np.inf, -np.inf], [np.inf, 0.0], [1000.0, 1000.0]])
    np.testing.assert_allclose(x.logsumexp(1).numpy(), [-np.inf, np.inf, 1000 + np.log(2)], rtol=1e-6)


def test_batchnorm_of_a_large_mean() -> None:
    x = np.random.default_rng(0).normal(1e4, 1.0, (512, 8)).astype("float32")
    y, mean, variance = tr.batchnorm(tr.tensor(x), epsilon=1e-3)
    np.testing.assert_allclose(mean.numpy(), x.astype("float64").mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance.numpy(), x.astype("float64").var(0), rtol=1e-3)
    np.testing.assert_allclose(y.numpy().std(0), 1.0, atol=2e-3)


def test_batchnorm_computes_only_what_is_asked_for() -> None:
    x = tr.tensor(np.arange(12.0).reshape(4, 3))
    gamma = tr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y, *_ = tr.batchnorm(x, gamma)
    (y * y).sum().backward()
    assert gamma.grad is not None
    np.testing.assert_allclose(gamma.grad.numpy(), 2 * 4 * np.array([1.0, 2.0, 3.0]), rtol=1e-3)


@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, False, True), (True, False, True)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batchnorm_gradients_one_by_one(wanted: tuple[bool, ...], dtype: str) -> None:
    arrays = [np.random.default_rng(i).normal(size=s) for i, s in enumerate([(6, 3), (3,), (3,)])]
    weights = np.random.default_rng(9).normal(size=(6, 3))

    def gradients(needs: tuple[bool, ...]) -> list[np.ndarray | None]:
        inputs = [tr.tensor(a, requires_grad=n, dtype=dtype) for a, n in zip(arrays, needs)]
        (tr.batchnorm(*inputs)[0] * weights).sum().backward()
        return [None if x.grad is None else x.grad.numpy() for x in inputs]

    for alone, together, want in zip(gradients(wanted), gradients((True, True, True)), wanted):
        if want:
            np.testing.assert_array_equal(alone, together)
        else:
            assert alone is None


def test_a_vjp_under_no_grad_still_sees_create_graph() -> None:
    x = tr.tensor([2.0], requires_grad=True)
    y = (x * x * x).sum()
    with tr.no_grad(), enable_grad():
        (g,) = tr.grad(y, [x], create_graph=True)
    assert tr.grad(g.sum(), [x])[0].item() == pytest.approx(12.0)


def test_dropout_repeats_with_the_seed_and_moves_on() -> None:
    x = tr.tensor(np.ones(1000))
    a, b = tr.Generator(3), tr.Generator(3)
    first, second = tr.dropout(x, 0.5, a).numpy(), tr.dropout(x, 0.5, a).numpy()
    assert np.array_equal(first, tr.dropout(x, 0.5, b).numpy())
    assert not np.array_equal(first, second)
    assert set(np.unique(first)) == {0.0, 2.0}
    assert 0.4 < (first == 0).mean() < 0.6


def test_preserving_draws_the_next_numbers_and_leaves_no_mark() -> None:
    generator = tr.Generator(5)
    x = tr.tensor(np.ones(64))
    with ops.preserving_generator():
        ahead = [tr.dropout(x, 0.5, generator).numpy() for _ in range(2)]
        shuffled = generator.numpy().permutation(10)
    now = [tr.dropout(x, 0.5, generator).numpy() for _ in range(2)]
    assert np.array_equal(ahead, now)
    assert np.array_equal(shuffled, generator.numpy().permutation(10))


def test_the_streams_of_a_seed_are_fixed() -> None:
    generator = tr.Generator(0)
    assert (
        generator.numpy().integers(1000, size=3).tolist()
        == np.random.default_rng((0, 0)).integers(1000, size=3).tolist()
    )
    assert repr(generator) == "Generator(seed=0, counter=4)"
