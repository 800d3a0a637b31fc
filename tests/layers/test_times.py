"""TimeEmbedding: waves of a number by their closed form, their gradient, and what a file may not ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, ShapeError


def test_half_are_sines_half_are_cosines() -> None:
    t = np.array([0.0, 3.0, 700.0])
    rates = 100.0 ** (-np.arange(3) / 3)
    expected = np.concatenate([np.sin(t[:, None] * rates), np.cos(t[:, None] * rates)], 1)
    layer = tr.layers.TimeEmbedding(6, max_wavelength=100)
    for given in (t, t[:, None]):
        assert np.allclose(layer(tr.tensor(given, dtype="float64")).numpy(), expected)
    assert tr.gradcheck(layer, [tr.tensor(t[:2] + 0.5, dtype="float64", requires_grad=True)])


@pytest.mark.parametrize("dim", [0, 3, -2, 2.0, True, None, 2**16 + 2, 2**31])
def test_dim_is_an_even_count_that_fits(dim: Any) -> None:
    with pytest.raises(ArgumentError, match=r"\[TimeEmbedding\] dim is an even count from 2 to 65536; got"):
        tr.layers.TimeEmbedding(dim)


def test_there_is_one_number_per_example() -> None:
    with pytest.raises(ShapeError, match=r"\[TimeEmbedding\] .* takes one number per example, .* got shape \(2, 3\)"):
        tr.layers.TimeEmbedding(4)(tr.zeros((2, 3)))
    with pytest.raises(ArgumentError, match=r"\[TimeEmbedding\] max_wavelength is above 1; got 1"):
        tr.layers.TimeEmbedding(4, max_wavelength=1)
