"""Attention over strided heads: q [outer, tokens, heads, dim], k and v [outer, keys, heads, dim], however they lie.

Of each operand the sizes say how far apart its batches, tokens and heads are, in elements; the elements of a token, and
the keys of the bias, are one apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinyres.kernels.forms import PRODUCT
from tinyres.kernels.record import CAUSAL, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED

_SIZES = (
    "outer heads tokens keys dim value_dim q_outer q_token q_head k_outer k_token k_head v_outer v_token v_head "
    "o_outer o_token o_head bias_outer bias_token bias_head offset"
)
_WORK = "outer heads tokens keys dim"


class _Heads(NamedTuple):
    """The sizes of a call, and its operands as [outer, heads, tokens, dim]."""

    outer: int
    heads: int
    tokens: int
    keys: int
    dim: int
    value_dim: int
    strides: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, sizes: tuple[int, ...]) -> _Heads:
        outer, heads, tokens, keys, dim, value_dim, *strides, offset = sizes
        return cls(outer, heads, tokens, keys, dim, value_dim, tuple(strides), offset)

    def _matrices(self, x: Array, at: int, tokens: int, dim: int) -> Array:
        outer, token, head = self.strides[at : at + 3]
        strides = [step * x.itemsize for step in (outer, head, token, 1)]
        return as_strided(x, (self.outer, self.heads, tokens, dim), strides)

    def q(self, x: Array) -> Array:
        return self._matrices(x, 0, self.tokens, self.dim)

    def k(self, x: Array) -> Array:
        return self._matrices(x, 3, self.keys, self.dim)

    def v(self, x: Array) -> Array:
        return self._matrices(x, 6, self.keys, self.value_dim)

    def o(self, x: Array) -> Array:
        return self._matrices(x, 9, self.tokens, self.value_dim)

    def scores(self, q: Array, k: Array, bias: Array, scale: float, flags: int) -> Array:
        """[outer, heads, tokens, keys], -inf where a key is not seen."""
        scores = self.q(q) @ self.k(k).swapaxes(-1, -2) * q.dtype.type(scale)
        if bias is not None:
            scores += self._matrices(bias, 12, self.tokens, self.keys)
        if flags & CAUSAL:
            scores[..., ~np.tri(self.tokens, self.keys, self.offset, dtype=bool)] = -np.inf
        return scores

    def per_query(self, x: Array) -> Array:
        """A number for each query beside its scores."""
        return x.reshape(self.outer, self.heads, self.tokens, 1)


def _weights(scores: Array, level: Array) -> Array:
    """e^(scores - level): 0 for a query that sees nothing, where the level is -inf."""
    return np.exp(scores - np.where(np.isneginf(level), 0, level))


@kernel("ff", "ffff", _SIZES, "scale", form=PRODUCT, sharing=UNDIVIDED, work=_WORK)
def attention(
    o: Array, lse: Array, q: Array, k: Array, v: Array, bias: Array, *sizes_and_scale: Any, flags: int
) -> None:
    """o = softmax(q kᵀ · scale + bias) v, and per query of each head the logarithm of the sum of e^score.

    bias may be absent. With CAUSAL query i sees the keys up to i + offset. A query that sees nothing, or whose scores
    are all -inf, gets o = 0 and lse = -inf.
    """
    *sizes, scale = sizes_and_scale
    heads = _Heads.of(tuple(sizes))
    scores = heads.scores(q, k, bias, scale, flags)
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = _weights(scores, largest)
    total = weights.sum(axis=-1, keepdims=True)
    heads.o(o)[...] = np.where(total == 0, 0, weights / total) @ heads.v(v)
    heads.per_query(lse)[...] = np.where(total == 0, -np.inf, largest + np.log(total))


@kernel("fff", "fffffff", _SIZES, "scale", form=PRODUCT, sharing=UNDIVIDED, work=_WORK)
def attention_grad(
    dq: Array,
    dk: Array,
    dv: Array,
    q: Array,
    k: Array,
    v: Array,
    bias: Array,
    lse: Array,
    o: Array,
    do: Array,
    *sizes_and_scale: Any,
    flags: int,
) -> None:
    """The gradients of `attention` to q, k and v, laid out as these are, each may be absent. do lies as o."""
    *sizes, scale = sizes_and_scale
    heads = _Heads.of(tuple(sizes))
    weights = _weights(heads.scores(q, k, bias, scale, flags), heads.per_query(lse))
    g = heads.o(do)
    if dv is not None:
        heads.v(dv)[...] = weights.swapaxes(-1, -2) @ g
    along = (g * heads.o(o)).sum(axis=-1, keepdims=True)
    gradients = weights * (g @ heads.v(v).swapaxes(-1, -2) - along) * q.dtype.type(scale)
    if dq is not None:
        heads.q(dq)[...] = gradients @ heads.k(k)
    if dk is not None:
        heads.k(dk)[...] = gradients.swapaxes(-1, -2) @ heads.q(q)
