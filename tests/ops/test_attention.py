"""Attention: what it is against its definition and PyTorch, what rows without a visible key give, and its laws."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.backends import native

SHAPES = ((2, 5, 3, 4), (2, 5, 3, 4), (2, 5, 3, 4)), ((1, 7, 2, 5), (1, 9, 2, 5), (1, 9, 2, 3)), ((2, 1, 1, 1),) * 3
LONGER = ((2, 67, 2, 9), (2, 70, 2, 9), (2, 70, 2, 11)), ((1, 40, 3, 33), (1, 40, 3, 33), (1, 40, 3, 16))


def arrays_of(shapes: Any, dtype: str = "float64") -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.normal(size=s).astype(dtype) for s in shapes]


def leaves(arrays: list[np.ndarray]) -> list[tr.Tensor]:
    return [tr.tensor(a, requires_grad=True, dtype=a.dtype) for a in arrays]


def seen_by(shapes: Any, rng: np.random.Generator) -> np.ndarray:
    """A mask in which every query sees something."""
    (batch, tokens, heads, _), (_, keys, *_), _ = shapes
    mask = rng.random((batch, heads, tokens, keys)) < 0.6
    mask[..., 0] = True
    return mask


def options_of(which: str, shapes: Any, dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same options for us and for PyTorch."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    mask = seen_by(shapes, rng)
    if which == "mask":
        return {"mask": mask}, {"attn_mask": torch.tensor(mask)}
    if which == "mask of keys":
        mask = mask[:, :1, :1]
        return {"mask": mask}, {"attn_mask": torch.tensor(mask)}
    if which == "bias":
        bias = rng.normal(size=mask.shape[1:]).astype(dtype)
        return {"bias": tr.tensor(bias, dtype=dtype), "scale": 0.3}, {"attn_mask": torch.tensor(bias), "scale": 0.3}
    if which == "causal":
        return {"is_causal": True}, {"is_causal": True}
    return {}, {}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", ["plain", "causal", "mask", "mask of keys", "bias"])
@pytest.mark.parametrize("shapes", [*SHAPES, *LONGER], ids=str)
def test_torch_has_the_same_values_and_gradients_of_both_orders(shapes: Any, which: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    arrays = arrays_of(shapes, dtype)
    ours, theirs = options_of(which, shapes, dtype)
    a = leaves(arrays)
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y = tr.dot_product_attention(*a, **ours)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        turned = [t.transpose(1, 2) for t in b]
        z = torch.nn.functional.scaled_dot_product_attention(*turned, **theirs).transpose(1, 2)
    weights = np.cos(np.arange(y.size)).reshape(y.shape).astype(dtype)
    plain = tr.grad((y * y * weights).sum(), a, retain_graph=True)
    first = tr.grad((y * y * weights).sum(), a, create_graph=True)
    expected = torch.autograd.grad((z * z * torch.tensor(weights)).sum(), b, create_graph=True)
    second = tr.grad(sum(((g * g).sum() for g in first), tr.tensor(0.0, dtype=dtype)), a)
    expected_second = torch.autograd.grad(sum((g * g).sum() for g in expected), b)
    got, want = (y, *plain, *first, *second), (z, *expected, *expected, *expected_second)
    for ours_one, theirs_one in zip(got, want, strict=True):
        values = theirs_one.detach().numpy()
        scale = max(np.abs(values).max(), 1.0)
        np.testing.assert_allclose(
            ours_one.numpy(), values, rtol=0, atol=scale * (2e-5 if dtype == "float32" else 1e-12)
        )


def test_the_offset_moves_the_causal_mask() -> None:
    q, k, v = leaves(arrays_of(SHAPES[1]))
    for offset in (2, -3, 20, -20):
        mask = np.tri(7, 9, offset, dtype=bool)
        got = tr.dot_product_attention(q, k, v, is_causal=True, offset=offset).numpy()
        np.testing.assert_allclose(got, tr.dot_product_attention(q, k, v, mask=mask).numpy(), atol=1e-14)


def test_one_query_behind_a_cache_gives_what_the_whole_sequence_gives() -> None:
    q, k, v = leaves(arrays_of(SHAPES[0]))
    whole = tr.dot_product_attention(q, k, v, is_causal=True).numpy()
    last = tr.dot_product_attention(q[:, 3:], k, v, is_causal=True, offset=3).numpy()
    np.testing.assert_allclose(last, whole[:, 3:], atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("by", ["mask", "bias", "offset", "masked bias"])
def test_a_query_that_sees_nothing_gives_0_and_sends_back_0(by: str, dtype: str) -> None:
    q, k, v = leaves(arrays_of(SHAPES[1], dtype))
    seen = np.tri(7, 9, -3, dtype=bool)  # queries 0, 1 and 2 see nothing, and nobody the last keys
    infinite = tr.tensor(np.where(seen, 0.0, -np.inf), dtype=dtype)
    options: dict[str, Any] = {
        "mask": {"mask": seen},
        "bias": {"bias": infinite},
        "offset": {"is_causal": True, "offset": -3},
        "masked bias": {"bias": infinite, "mask": np.ones((1, 9), bool)},
    }[by]
    y = tr.dot_product_attention(q, k, v, **options)
    (y * y).sum().backward()
    for t in (y, q.grad):
        assert np.isfinite(t.numpy()).all()
        assert not t.numpy()[:, :3].any() and t.numpy()[:, 3:].any()
    for t in (k.grad, v.grad):
        assert np.isfinite(t.numpy()).all()
        assert not t.numpy()[:, 4:].any() and t.numpy()[:, :4].any()


def test_a_bias_gets_its_gradient_summed_over_what_it_was_broadcast_to() -> None:
    arrays = [*arrays_of(SHAPES[1]), np.random.default_rng(1).normal(size=(2, 1, 9))]
    assert tr.gradcheck(tr.dot_product_attention, arrays)


def test_a_mask_may_be_read_from_a_bias_that_needs_a_gradient() -> None:
    q, k, v = leaves(arrays_of(SHAPES[1]))
    bias = tr.tensor(np.zeros((7, 9)), requires_grad=True, dtype="float64")
    tr.dot_product_attention(q, k, v, bias, mask=np.tri(7, 9, dtype=bool)).sum().backward()
    assert not np.triu(bias.grad.numpy(), 1).any()
    np.testing.assert_allclose(bias.grad.numpy().sum(-1), 0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_the_gradients_of_queries_and_keys_say_the_same_of_the_scores(is_causal: bool, dtype: str) -> None:
    """⟨q, dq⟩ = ⟨scores, dscores⟩ = ⟨k, dk⟩; a constant added to all keys moves no weight, so dk sums to 0."""
    arrays = arrays_of(LONGER[0], dtype)
    q, k, v = leaves(arrays)
    y = tr.dot_product_attention(q, k, v, is_causal=is_causal)
    (y * np.cos(np.arange(y.size)).reshape(y.shape).astype(dtype)).sum().backward()
    of_q, of_k = [[(a * t.grad.numpy()) for a, t in zip(arrays, (q, k))][i].astype("float64") for i in (0, 1)]
    tolerance = 2e-6 if dtype == "float32" else 1e-14
    for head in range(2):
        got, size = of_q[:, :, head].sum(), np.abs(of_q[:, :, head]).sum()
        assert abs(got - of_k[:, :, head].sum()) < tolerance * size
    total = k.grad.numpy().astype("float64")
    assert np.abs(total.sum(1)).max() < 10 * tolerance * np.abs(total).sum(1).max()


def test_on_an_input_it_is_a_layer() -> None:
    inputs = tr.Input((6, 2, 4))
    model = tr.Model(inputs, tr.dot_product_attention(inputs, inputs, inputs, is_causal=True))
    x = tr.tensor(np.random.default_rng(0).normal(size=(3, 6, 2, 4)))
    np.testing.assert_allclose(model(x).numpy(), tr.dot_product_attention(x, x, x, is_causal=True).numpy(), atol=1e-6)


@pytest.mark.skipif(not native.AVAILABLE, reason="the reference backend stores the scores")
@pytest.mark.parametrize("tokens", [1024, 4096])
def test_memory_grows_with_the_length_and_not_with_its_square(tokens: int) -> None:
    """Forward and backward take less than twenty tensors like the queries: at 4,096 tokens the scores alone are 256."""
    q, k, v = leaves(arrays_of((((1, tokens, 1, 16)),) * 3, "float32"))
    tracemalloc.start()
    try:
        tr.dot_product_attention(q, k, v, is_causal=True).sum().backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert q.grad is not None and peak < 20 * q.size * 4 + 200_000


@pytest.mark.parametrize("mask", [False, True])
def test_a_captured_step_does_what_eager_does_on_any_number_of_threads(mask: bool) -> None:
    seen = np.arange(70) % 5 != 1
    before = native.threads() if native.AVAILABLE else 1
    results = []
    for captured in (False, True):
        for threads in (1, 2, 3) if native.AVAILABLE else (1,):
            if native.AVAILABLE:
                native.set_threads(threads)
            q, k, v = leaves(arrays_of(LONGER[0], "float32"))
            optimizer = tr.optim.SGD([q, k, v], lr=0.02)
            step = tr.capture(step_of(q, k, v, optimizer, seen if mask else None)) if captured else None
            run = step or step_of(q, k, v, optimizer, seen if mask else None)
            losses = [run().item() for _ in range(4)]
            results.append([np.array(losses), *[t.numpy() for t in (q, k, v)]])
    if native.AVAILABLE:
        native.set_threads(before)
    assert results[0][0][-1] < results[0][0][0]
    for other in results[1:]:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(results[0], other))


def step_of(q: tr.Tensor, k: tr.Tensor, v: tr.Tensor, optimizer: Any, mask: np.ndarray | None) -> Any:
    def step() -> tr.Tensor:
        optimizer.zero_grad()
        y = tr.dot_product_attention(q, k, v, mask=mask, is_causal=True)
        loss = (y * y).sum()
        loss.backward()
        optimizer.step()
        return loss

    return step
