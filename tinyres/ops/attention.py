"""Scaled dot-product attention (Vaswani et al., 2017): softmax(q kᵀ · scale) v, each head for itself.

Heads stand inside, (batch, tokens, heads, dim), as a projection leaves them: nothing is turned around for them. What a
query must not see has the score -inf; a query that sees nothing gets 0, and sends back 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from tinyres.engine.layout import Shape
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.kernels.dtypes import BOOL
from tinyres.ops.comparison import not_equal, where
from tinyres.ops.composed import composed
from tinyres.ops.einsum import einsum
from tinyres.ops.softmax import softmax

_NAME = "dot_product_attention"
_UNSEEN = -3e38  # the score of what is not seen, where a row of -inf alone would make the softmax NaN


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
    A query that sees no key gets 0, and no gradient flows through it. Values at keys that nobody sees must be finite.
    Raises ShapeError where shapes do not fit, DTypeError for a mask that is not bool, ArgumentError for an offset
    without is_causal.

    >>> import tinyres as tr
    >>> x = tr.tensor([[0.0], [0.0], [9.0]]).reshape(1, 3, 1, 1)
    >>> tr.dot_product_attention(x, x, x, is_causal=True).reshape(-1)
    Tensor([0., 0., 9.], shape=(3,), dtype=float32)
    """
    query, key, value = as_operands(query, key, value)
    _check_value(value.shape, _scores_shape(query.shape, key.shape))
    weights = attention_weights(query, key, bias, mask, scale, is_causal, offset)
    return weighted_values(weights, value)


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


def _check_broadcasts(what: str, own: Shape, shape: Shape) -> None:
    fits = len(own) <= 4 and all(a in (1, b) for a, b in zip(own[::-1], shape[::-1]))
    if not fits:
        raise ShapeError(
            f"[{_NAME}] the {what} must broadcast to (batch, heads, tokens, keys), here {shape}; got {own}; "
            "give it axes of these sizes, or of size 1"
        )


def _seen(shape: Shape, mask: Tensor | ArrayLike | None, is_causal: bool, offset: int) -> Tensor | None:
    """Which query may see which key, broadcastable to the scores; None: every one all."""
    if offset and not is_causal:
        raise ArgumentError(
            f"[{_NAME}] offset={offset} moves the causal mask; got is_causal=False; set it, or no offset"
        )
    seen = None
    if mask is not None:
        seen = mask if isinstance(mask, Tensor) else tensor(mask, dtype=np.asarray(mask).dtype)
        if seen.dtype is not BOOL:
            raise DTypeError(
                f"[{_NAME}] a mask is bool, True where a key may be seen; got {seen.dtype} of shape {seen.shape}; "
                "compare it, as in mask > 0, or give numbers that are added to the scores as bias"
            )
        _check_broadcasts("mask", seen.shape, shape)
    if is_causal:
        causal = tensor(np.tri(shape[2], shape[3], offset, dtype=bool), dtype=BOOL)
        seen = causal if seen is None else seen & causal
    return seen
