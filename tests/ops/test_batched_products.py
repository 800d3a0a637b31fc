"""A batch of products is the products of its matrices, bit for bit, in one call."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres.backends import native
from tinyres.launch import Launch, recording

SIZES = ((5, 7, 3), (1, 5, 7), (5, 1, 7), (1, 1, 40), (33, 34, 150), (17, 20, 600), (64, 64, 32))


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_each_matrix_is_what_it_is_alone(m: int, n: int, k: int, turned: tuple[bool, bool]) -> None:
    random = np.random.default_rng(0)
    a = tr.tensor(random.normal(size=(2, 3, k, m) if turned[0] else (2, 3, m, k)))
    b = tr.tensor(random.normal(size=(3, n, k) if turned[1] else (3, k, n)))
    before = native.threads() if native.AVAILABLE else 1
    for threads in (1, 2, 3) if native.AVAILABLE else ():
        native.set_threads(threads)
        whole = tr.matmul(a, b, *turned).numpy()
        for i, j in np.ndindex(2, 3):
            assert whole[i, j].tobytes() == tr.matmul(a[i, j], b[j], *turned).numpy().tobytes()
    if native.AVAILABLE:
        native.set_threads(before)


class Names:
    """A recorder of the names of kernels."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def record(self, call: Launch) -> None:
        self.names.append(call[0].name)

    def reads(self, array: object, buffer: object) -> None:
        """Arrays are not followed."""


@pytest.mark.parametrize(
    ("a", "b", "calls"),
    [
        ((32, 4, 64, 16), (32, 4, 16, 64), ["matmul_batch"]),
        ((32, 1, 64, 16), (4, 16, 64), ["matmul_batch"]),
        ((32, 1, 64, 16), (1, 4, 16, 64), ["matmul_batch"]),
        ((2, 2, 3, 4, 5), (3, 5, 6), ["matmul_batch"]),
        ((2, 1, 2, 4, 5), (1, 3, 1, 5, 6), ["matmul_batch"] * 2),  # three axes of matrices that move apart
        ((32, 4, 64, 16), (16, 64), ["matmul"]),
        ((1, 64, 16), (1, 16, 64), ["matmul"]),
    ],
)
def test_a_batch_is_one_call(a: tuple[int, ...], b: tuple[int, ...], calls: list[str]) -> None:
    left, right = tr.ones(a), tr.ones(b)
    names = Names()
    with recording(names):
        tr.matmul(left, right)
    assert names.names == calls
    assert (tr.matmul(left, right).numpy() == a[-1]).all()


def random_letters(random: np.random.Generator) -> tuple[str, dict[str, int]]:
    """Two inputs and an output over five letters, each of which stands in two of them or all, in any order."""
    terms: list[list[str]] = [[], [], []]
    for letter in "abcde"[: random.integers(1, 6)]:
        missing = random.integers(0, 4)
        for i in range(3):
            if i != missing:
                terms[i].append(letter)
    for term in terms:
        random.shuffle(term)
    left, right, out = map("".join, terms)
    return f"{left},{right}->{out}", {letter: int(random.integers(1, 5)) for letter in "abcde"}


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_axes_is_the_same_product(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(60):
        subscripts, sizes = random_letters(random)
        shapes = [[sizes[c] for c in term] for term in subscripts.partition("->")[0].split(",")]
        arrays = [random.normal(size=shape) for shape in shapes]
        for dtype, tolerance in (("float64", 1e-13), ("float32", 1e-5)):
            a, b = (tr.tensor(x, requires_grad=True, dtype=dtype) for x in arrays)
            y, expected = tr.einsum(subscripts, a, b), np.einsum(subscripts, *arrays)
            np.testing.assert_allclose(y.numpy(), expected, atol=tolerance * 100, rtol=0, err_msg=subscripts)
            g = random.normal(size=y.shape)
            (y * tr.tensor(g, dtype=dtype)).sum().backward()
            left, right, out = subscripts.replace("->", ",").split(",")
            for x, letters, other, of_other in ((a, left, arrays[1], right), (b, right, arrays[0], left)):
                want = np.einsum(f"{out},{of_other}->{letters}", g, other)
                assert x.grad is not None
                np.testing.assert_allclose(x.grad.numpy(), want, atol=tolerance * 100, rtol=0, err_msg=subscripts)


def test_heads_inside_a_token_are_multiplied_where_they_lie() -> None:
    q, k, weights = tr.ones((2, 5, 3, 4)), tr.ones((2, 6, 3, 4)), tr.ones((2, 3, 5, 6))
    names = Names()
    with recording(names):
        tr.einsum("bqhd,bkhd->bhqk", q, k)
        tr.einsum("bhqk,bkhd->bqhd", weights, k)
        tr.einsum("bhqk,bqhd->bkhd", weights, q)
    assert names.names == ["matmul_batch"] * 3
