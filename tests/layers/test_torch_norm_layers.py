"""Normalisations that need no batch against PyTorch's: values, and gradients of both orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers

torch = pytest.importorskip("torch")

# By name: the layer here, PyTorch's, and the shape, channels last; PyTorch's GroupNorm takes them second.
PAIRS: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[int, ...]]] = {
    "layer": (lambda: layers.LayerNormalization(epsilon=1e-5), lambda: torch.nn.LayerNorm(7), (3, 5, 7)),
    "layer over two axes": (
        lambda: layers.LayerNormalization(axis=[-2, -1], epsilon=1e-5),
        lambda: torch.nn.LayerNorm((5, 7)),
        (3, 5, 7),
    ),
    "rms": (layers.RMSNormalization, lambda: torch.nn.RMSNorm(7, eps=1e-6), (3, 5, 7)),
    "group": (lambda: layers.GroupNormalization(3, epsilon=1e-5), lambda: torch.nn.GroupNorm(3, 12), (2, 4, 5, 12)),
    "instance": (lambda: layers.GroupNormalization(-1, epsilon=1e-5), lambda: torch.nn.GroupNorm(6, 6), (2, 4, 5, 6)),
    "one group": (lambda: layers.GroupNormalization(1, epsilon=1e-5), lambda: torch.nn.GroupNorm(1, 6), (2, 9, 6)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_of_both_orders(name: str) -> None:
    make, make_theirs, shape = PAIRS[name]
    rng = np.random.default_rng(len(name))
    channels_second = isinstance(make_theirs(), torch.nn.GroupNorm)
    x, direction = rng.normal(size=shape), rng.normal(size=shape)
    ours, theirs = make(), make_theirs().double()
    ours.build((None, *shape[1:]))
    model = tr.Sequential([ours])
    model.build(shape)
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in ours.weights]  # models are made in float32
    model.set_weights(weights)
    model = model.astype("float64")
    for parameter, value in zip(theirs.parameters(), weights, strict=True):
        parameter.data = torch.tensor(value.astype(np.float64))

    def turned(array: Any) -> Any:
        return np.moveaxis(array, -1, 1) if channels_second else array

    ours_x = tr.tensor(x, requires_grad=True, dtype="float64")
    theirs_x = torch.tensor(turned(x), requires_grad=True)
    y, z = model(ours_x), theirs(theirs_x)
    np.testing.assert_allclose(turned(y.numpy()), z.detach().numpy(), rtol=1e-10, atol=1e-12)
    ours_leaves = [ours_x, *model.trainable_weights]
    theirs_leaves = [theirs_x, *theirs.parameters()]
    first = tr.grad((y * y * direction).sum(), ours_leaves, create_graph=True)
    of_theirs = torch.autograd.grad((z * z * torch.tensor(turned(direction))).sum(), theirs_leaves, create_graph=True)
    second = tr.grad(sum((g * g).sum() for g in first), ours_leaves)
    second_of_theirs = torch.autograd.grad(sum((g * g).sum() for g in of_theirs), theirs_leaves)
    for a, b in (*zip(first, of_theirs, strict=True), *zip(second, second_of_theirs, strict=True)):
        got = turned(a.numpy()) if a.shape == shape else a.numpy()
        np.testing.assert_allclose(got, b.detach().numpy(), rtol=1e-8, atol=1e-9)
