"""Values and gradients against PyTorch, where it is installed: a second opinion on every op it has too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

LABELS = np.array([0, 3, 1, 2, 3])
X, W, B = (5, 4), (4, 6), (6,)
FEATURES = ((5, 4), (4,), (4,))


def torch_batchnorm(x: Any, gamma: Any, beta: Any) -> Any:
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-3)


PAIRS: list[tuple[str, Callable[..., Any], Callable[..., Any], tuple[tuple[int, ...], ...]]] = [
    (
        "residual block",
        lambda x, w: tr.relu(tr.relu(x @ w) @ w + x),
        lambda x, w: torch.relu(torch.relu(x @ w) @ w + x),
        ((5, 4), (4, 4)),
    ),
    ("dense relu", lambda x, w, b: tr.dense(x, w, b, "relu"), lambda x, w, b: torch.relu(x @ w + b), (X, W, B)),
    ("batchnorm", lambda *a: tr.batchnorm(*a)[0], torch_batchnorm, FEATURES),
    (
        "cross entropy",
        lambda x: ops.softmax_cross_entropy(x, LABELS),
        lambda x: F.cross_entropy(x, torch.tensor(LABELS)),
        (X,),
    ),
    ("softmax", lambda x: tr.softmax(x, 0), lambda x: torch.softmax(x, 0), (X,)),
    ("log_softmax", tr.log_softmax, lambda x: torch.log_softmax(x, -1), (X,)),
    ("logsumexp", lambda x: tr.logsumexp(x, 1), lambda x: torch.logsumexp(x, 1), (X,)),
    ("mse", ops.mse, F.mse_loss, (X, X)),
    (
        "bce with logits",
        lambda x: tr.losses.binary_cross_entropy_with_logits(x, np.full(X, 0.3)),
        lambda x: F.binary_cross_entropy_with_logits(x, torch.full(X, 0.3, dtype=x.dtype)),
        (X,),
    ),
    ("amax", lambda x: tr.max(x, 0), lambda x: torch.amax(x, 0), (X,)),
    ("var", lambda x: tr.var(x, 1), lambda x: torch.var(x, 1, correction=0), (X,)),
    ("maximum", tr.maximum, torch.maximum, (X, X)),
    ("where", lambda a, b: tr.where(a > b, a * b, b), lambda a, b: torch.where(a > b, a * b, b), (X, X)),
    ("clip", lambda x: tr.clip(x, -0.5, 0.5), lambda x: torch.clamp(x, -0.5, 0.5), (X,)),
    ("pow", lambda x: (x * x + 1.0) ** 1.7, lambda x: (x * x + 1.0) ** 1.7, (X,)),
    ("sigmoid tanh", lambda x: tr.sigmoid(x) * tr.tanh(x), lambda x: torch.sigmoid(x) * torch.tanh(x), (X,)),
    ("softplus", tr.softplus, F.softplus, (X,)),
    (
        "movement",
        lambda x: tr.concatenate([x.T[1:], tr.pad(x, ((0, 0), (0, 1)))[:4]], 0),
        lambda x: torch.cat([x.T[1:], F.pad(x, (0, 1))[:4]], 0),
        (X,),
    ),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("ours", "theirs", "shapes"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_value_and_gradients(ours: Callable[..., Any], theirs: Callable[..., Any], shapes: Any, dtype: str) -> None:
    random = np.random.default_rng(4)
    arrays = [random.normal(size=s).astype(dtype) for s in shapes]
    a = [tr.tensor(x, requires_grad=True, dtype=dtype) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*a), theirs(*b)
    weights = random.normal(size=tuple(z.shape)).astype(dtype)
    (y * weights).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    rtol, atol = (2e-4, 2e-5) if dtype == "float32" else (1e-9, 1e-10)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=rtol, atol=atol)
    for x, other in zip(a, b):
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=rtol, atol=atol)


def test_second_order_of_batchnorm() -> None:
    random = np.random.default_rng(5)
    arrays = [random.normal(size=s) for s in FEATURES]
    a = [tr.tensor(x, requires_grad=True, dtype="float64") for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    ours = tr.grad((tr.batchnorm(*a)[0] ** 3).sum(), a, create_graph=True)
    theirs = torch.autograd.grad((torch_batchnorm(*b) ** 3).sum(), b, create_graph=True)
    second = tr.grad(sum((g * g).sum() for g in ours), a)
    expected = torch.autograd.grad(sum((g * g).sum() for g in theirs), b, allow_unused=True)
    for g, other in zip(second, expected):
        np.testing.assert_allclose(g.numpy(), 0.0 if other is None else other.numpy(), rtol=1e-7, atol=1e-8)
