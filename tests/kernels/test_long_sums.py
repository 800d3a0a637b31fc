"""Products of long vectors: as exact as their inputs, and alike for all ways and threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinyres as tr
from tinyres.backends import native

K = 3_000_000


@pytest.mark.skipif(not native.AVAILABLE, reason="the reference backend sums with NumPy")
@pytest.mark.parametrize(
    "product",
    [
        lambda x, y: x @ y,
        lambda x, y: x.reshape(1, K) @ y.reshape(K, 1),
        lambda x, y: tr.matmul(x.reshape(K, 1), y.reshape(K, 1), transpose_a=True),
        lambda x, y: tr.matmul(x.reshape(1, K), y.reshape(1, K), transpose_b=True),
        lambda x, y: tr.dot(x, y),
    ],
)
def test_a_long_dot_product_keeps_its_digits(product: Callable[[tr.Tensor, tr.Tensor], tr.Tensor]) -> None:
    x, y = np.full(K, 0.1, "float32"), np.ones(K, "float32")
    expected = float(np.sum(x, dtype="float64"))
    before = native.threads()
    results = []
    for threads in (1, 2):
        native.set_threads(threads)
        results.append(product(tr.tensor(x), tr.tensor(y)).item())
    native.set_threads(before)
    assert results[0] == results[1]
    assert results[0] == pytest.approx(expected, rel=1e-6)
