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
