"""Scaled dot-product attention (Vaswani et al., 2017): softmax(q kᵀ · scale) v, each head for itself.

Heads stand inside, (batch, tokens, heads, dim), as a projection leaves them: nothing is turned around for them. What a
query must not see has the score -inf; a query that sees nothing gets 0, and sends back 0. The kernels never store the
scores: their memory grows with the tokens, not with their square. A gradient that is to be differentiated again, and
that of a bias, is made of ops, which store them.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands, sum_to
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.kernels.dtypes import BOOL
from tinyres.kernels.record import CAUSAL
from tinyres.launch import launch
from tinyres.ops.comparison import not_equal, where
from tinyres.ops.composed import composed
from tinyres.ops.einsum import einsum
from tinyres.ops.movement import broadcast_to, reshape
from tinyres.ops.reduction import sum
from tinyres.ops.softmax import softmax

_NAME = "dot_product_attention"
_UNSEEN = -3e38  # the score of what is not seen, where a row of -inf alone would make the softmax NaN


def _attention_shape(query: Tensor, key: Tensor, value: Tensor, scale: float, is_causal: bool, offset: int) -> Shape:
    scores = _scores_shape(query.shape, key.shape)
    _check_value(value.shape, scores)
    return (*query.shape[:3], value.shape[3])


def _with_bias_shape(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, is_causal: bool, offset: int
) -> Shape:
    shape = _attention_shape(query, key, value, scale, is_causal, offset)
    _check_broadcasts("bias", bias.shape, _scores_shape(query.shape, key.shape), keys=True)
    return shape


def _sizes(query: Shape, key: Shape, value: Shape, bias: Shape, offset: int) -> tuple[int, ...]:
    """As the kernels take them: sizes, how far apart batches, tokens and heads of each operand are, the offset."""
    outer, tokens, heads, dim = query
    keys, value_dim = key[1], value[3]
    steps = [
        (length * heads * size, heads * size, size)
        for length, size in ((tokens, dim), (keys, dim), (keys, value_dim), (tokens, value_dim))
    ]
    of_batch, of_head, of_token, _ = (1,) * (4 - len(bias)) + bias
    between_tokens = keys if of_token > 1 else 0
    between_heads = of_token * keys if of_head > 1 else 0
    between_batches = of_head * of_token * keys if of_batch > 1 else 0
    steps.append((between_batches, between_tokens, between_heads))
    return outer, heads, tokens, keys, dim, value_dim, *[step for of_one in steps for step in of_one], offset


def _attend(
    out: Buffer, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, causal: bool, offset: int
) -> tuple[Buffer, ...]:
    outer, tokens, heads, _ = query.shape
    lse = Buffer(outer * heads * tokens, query.dtype)
    ins = query.buffer, key.buffer, value.buffer, ABSENT if bias is None else bias.buffer
    sizes = _sizes(query.shape, key.shape, value.shape, () if bias is None else bias.shape, offset)
    launch(kernels.attention, (out, lse), ins, sizes, (scale,), CAUSAL if causal else 0)
    return (lse,)


def _attention_forward(
    out: Buffer, query: Tensor, key: Tensor, value: Tensor, scale: float, is_causal: bool, offset: int
) -> tuple[Buffer, ...]:
    return _attend(out, query, key, value, None, scale, is_causal, offset)


def _attention_vjp(g: Tensor, ctx: Context) -> Gradients:
    query, key, value, *rest = ctx.inputs
    bias: Tensor | None = rest[0] if rest else None
    scale, is_causal, offset = ctx.attrs
    weights = attention_weights(query, key, bias, None, scale, is_causal, offset)
    to_value = einsum("bhqk,bqhd->bkhd", weights, g) if ctx.needs[2] else None
    to_query = to_key = to_bias = None
    if ctx.needs[0] or ctx.needs[1] or any(ctx.needs[3:]):
        weighted = weights * einsum("bqhd,bkhd->bhqk", g, value)
        to_scores = weighted - weights * sum(weighted, -1, keepdims=True)
        if bias is not None and ctx.needs[3]:
            to_bias = sum_to(to_scores, bias.shape)
        to_scores = to_scores * scale
        to_query = einsum("bhqk,bkhd->bqhd", to_scores, key) if ctx.needs[0] else None
        to_key = einsum("bhqk,bqhd->bkhd", to_scores, query) if ctx.needs[1] else None
    return (to_query, to_key, to_value, to_bias)[: len(ctx.needs)]


def _attention_fast_vjp(g: Tensor, ctx: Context) -> Gradients:
    if any(ctx.needs[3:]):
        return _attention_vjp(g, ctx)
    query, key, value, *rest = ctx.inputs
    scale, is_causal, offset = ctx.attrs
    (lse,) = ctx.saved
    outs = [Buffer(t.size, t.dtype) if needed else ABSENT for t, needed in zip((query, key, value), ctx.needs)]
    bias = rest[0].buffer if rest else ABSENT
    ins = query.buffer, key.buffer, value.buffer, bias, lse, ctx.output.buffer, g.buffer
    sizes = _sizes(query.shape, key.shape, value.shape, rest[0].shape if rest else (), offset)
    launch(kernels.attention_grad, outs, ins, sizes, (scale,), CAUSAL if is_causal else 0)
    gradients = [
        Tensor(out, t.shape, t.dtype) if needed else None
        for out, t, needed in zip(outs, (query, key, value), ctx.needs)
    ]
    return [*gradients, *[None for _ in rest]]


def _attends(
    batch: int, first: int, end: int, query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool, offset: int
) -> tuple[Tensor, Tensor]:
    nothing = tensor(0.0, dtype=query.dtype)
    return _attends_with_bias(batch, first, end, query, key, value, nothing, scale, causal, offset)


def _attends_with_bias(
    batch: int, first: int, end: int, query: Tensor, key: Tensor, value: Tensor, bias: Tensor,
    scale: float, causal: bool, offset: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    shape = 1, query.shape[2], end - first, key.shape[1]
    bias = reshape(bias, (1,) * (4 - bias.ndim) + bias.shape)
    at = min(batch, bias.shape[0] - 1)
    bias = broadcast_to(bias[at : at + 1, :, first:end] if bias.shape[2] > 1 else bias[at : at + 1], shape)
    seen = not_equal(bias, -math.inf)
    if causal:
        seen = seen & tensor(np.tri(*shape[2:], first + offset, dtype=bool), dtype=BOOL)
    own = query[batch : batch + 1, first:end], key[batch : batch + 1]
    return attention_weights(*own, where(seen, bias, 0.0), seen, scale)[0], seen[0]


ATTENTION = Op(
    "attention",
    shape=_attention_shape,
    forward=_attention_forward,
    vjp=_attention_vjp,
    fast_vjp=_attention_fast_vjp,
    saves=(0, 1, 2),
    reads_output=True,
    multiplies=True,
    attends=_attends,
)
ATTENTION_WITH_BIAS = replace(
    ATTENTION,
    name="attention_with_bias",
    shape=_with_bias_shape,
    forward=_attend,
    saves=(0, 1, 2, 3),
    attends=_attends_with_bias,
)


@composed
def dot_product_attention(
    query: Operand,
    key: Operand,
    value: Operand,
    bias: Operand | None = None,
    mask: Tensor | ArrayLike | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    offset: int = 0,
) -> Tensor:
    """Of each query the mean of the values, weighted by the softmax of its products with the keys.

    query: (batch, tokens, heads, dim), key: (batch, keys, heads, dim), value: (batch, keys, heads, value_dim). Gives
    (batch, tokens, heads, value_dim). bias is added to the scores; mask is bool, True where a key may be seen; both
    broadcast to (batch, heads, tokens, keys). scale: of the products, None for 1/√dim.
    is_causal: query i sees the keys 0..i + offset. With offset=0 that is the lower triangle from the first key on,
    whatever the lengths, as in PyTorch and JAX; where a cache holds keys from before the queries it is
    offset=keys - tokens.
    A query that sees no key gets 0, and no gradient flows through it. Values must be finite, also those that a query
    does not see: 0 times infinity is NaN.
    Raises ShapeError where shapes do not fit, DTypeError for a mask that is not bool, ArgumentError for an offset
    without is_causal.

    >>> import tinyres as tr
    >>> x = tr.tensor([[0.0], [0.0], [9.0]]).reshape(1, 3, 1, 1)
    >>> tr.dot_product_attention(x, x, x, is_causal=True).reshape(-1)
    Tensor([0., 0., 9.], shape=(3,), dtype=float32)
    """
    query, key, value = as_operands(query, key, value)
    shape = _scores_shape(query.shape, key.shape)
    _check_value(value.shape, shape)
    _check_offset(is_causal, offset)
    attrs = _scale_of(query.shape, scale), bool(is_causal), int(offset)
    if bias is None and mask is None:
        return apply(ATTENTION, (query, key, value), *attrs)
    return apply(ATTENTION_WITH_BIAS, (query, key, value, _whole_bias(query, shape, bias, mask)), *attrs)


def _whole_bias(query: Tensor, shape: Shape, bias: Operand | None, mask: Tensor | ArrayLike | None) -> Tensor:
    """The bias with a column per key, -inf where the mask says that it is not seen."""
    whole = tensor(0.0, dtype=query.dtype)
    if bias is not None:
        (whole,) = as_operands(bias)
        _check_broadcasts("bias", whole.shape, shape)
    if mask is not None:
        whole = where(_as_mask(mask, shape), whole, tensor(-math.inf, dtype=query.dtype))
    if not whole.shape or whole.shape[-1] != shape[-1]:
        whole = broadcast_to(whole, (*whole.shape[:-1], shape[-1]))
    return whole


def attention_weights(
    query: Operand,
    key: Operand,
    bias: Operand | None = None,
    mask: Tensor | ArrayLike | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    offset: int = 0,
) -> Tensor:
    """How much each query takes of each key, (batch, heads, tokens, keys): those of `dot_product_attention`, stored."""
    query, key = as_operands(query, key)
    shape = _scores_shape(query.shape, key.shape)
    seen = _seen(shape, mask, is_causal, offset)
    if bias is not None:
        (bias,) = as_operands(bias)
        _check_broadcasts("bias", bias.shape, shape)
    scores = einsum("bqhd,bkhd->bhqk", query, key) * _scale_of(query.shape, scale)
    if bias is not None:
        scores = scores + bias
        visible = not_equal(scores, -math.inf)
        seen = visible if seen is None else seen & visible
    if seen is None:
        return softmax(scores)
    return where(seen, softmax(where(seen, scores, _UNSEEN)), 0.0)


def weighted_values(weights: Tensor, value: Operand) -> Tensor:
    """The values (batch, keys, heads, value_dim), summed with weights (batch, heads, tokens, keys)."""
    (value,) = as_operands(value)
    _check_value(value.shape, weights.shape)
    return einsum("bhqk,bkhd->bqhd", weights, value)


def _check_value(value: Shape, scores: Shape) -> None:
    batch, heads, _, keys = scores
    if len(value) != 4 or value[:3] != (batch, keys, heads):
        raise ShapeError(
            f"[{_NAME}] the value has shape (batch, keys, heads, value_dim), here {(batch, keys, heads)} and a dim; "
            f"got {value}; give a value per key"
        )


def _scores_shape(query: Shape, key: Shape) -> Shape:
    if len(query) != 4 or len(key) != 4:
        raise ShapeError(
            f"[{_NAME}] query and key have shape (batch, tokens, heads, dim); got {query} and {key}; reshape them"
        )
    if (query[0], *query[2:]) != (key[0], *key[2:]):
        raise ShapeError(
            f"[{_NAME}] query and key (batch, tokens, heads, dim) may differ in their tokens only; "
            f"got {query} and {key}; reshape or repeat one of them"
        )
    return query[0], query[2], query[1], key[1]


def _scale_of(query: Shape, scale: float | None) -> float:
    return 1.0 / math.sqrt(max(query[-1], 1)) if scale is None else float(scale)


def _check_broadcasts(what: str, own: Shape, shape: Shape, keys: bool = False) -> None:
    """keys: there must be a column for each key."""
    fits = len(own) <= 4 and all(a in (1, b) for a, b in zip(own[::-1], shape[::-1]))
    if not fits or keys and own[-1:] != shape[-1:]:
        raise ShapeError(
            f"[{_NAME}] the {what} must broadcast to (batch, heads, tokens, keys), here {shape}; got {own}; "
            "give it axes of these sizes, or of size 1"
        )


def _check_offset(is_causal: bool, offset: int) -> None:
    if offset and not is_causal:
        raise ArgumentError(
            f"[{_NAME}] offset={offset} moves the causal mask; got is_causal=False; set it, or no offset"
        )


def _as_mask(mask: Tensor | ArrayLike, shape: Shape) -> Tensor:
    seen = mask if isinstance(mask, Tensor) else tensor(mask, dtype=np.asarray(mask).dtype)
    if seen.dtype is not BOOL:
        raise DTypeError(
            f"[{_NAME}] a mask is bool, True where a key may be seen; got {seen.dtype} of shape {seen.shape}; "
            "compare it, as in mask > 0, or give numbers that are added to the scores as bias"
        )
    _check_broadcasts("mask", seen.shape, shape)
    return seen


def _seen(shape: Shape, mask: Tensor | ArrayLike | None, is_causal: bool, offset: int) -> Tensor | None:
    """Which query may see which key, broadcastable to the scores; None: every one all."""
    _check_offset(is_causal, offset)
    seen = None if mask is None else _as_mask(mask, shape)
    if is_causal:
        causal = tensor(np.tri(shape[2], shape[3], offset, dtype=bool), dtype=BOOL)
        seen = causal if seen is None else seen & causal
    return seen
