"""Cases of attention: sizes around its blocks, heads in and beside the tokens, masks of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinyres.kernels.record import CAUSAL, KERNELS

from .operands import ULP, Array, Case, floats, poison


class Heads(NamedTuple):
    """outer batches of heads; packed: q, k and v are columns of one matrix per token."""

    outer: int
    heads: int
    tokens: int
    keys: int
    dim: int
    value_dim: int
    packed: bool = False

    def steps(self, length: int, dim: int) -> tuple[int, int, int]:
        """How far apart batches, tokens and heads are."""
        row = self.heads * dim * (3 if self.packed else 1)
        return length * row, row, dim

    @property
    def strides(self) -> list[tuple[int, int, int]]:
        """Of q, k, v and o."""
        o = self.heads * self.value_dim
        inputs = [(self.tokens, self.dim), (self.keys, self.dim), (self.keys, self.value_dim)]
        return [*[self.steps(*one) for one in inputs], (self.tokens * o, o, self.value_dim)]

    @property
    def sizes(self) -> list[int]:
        """Of q, k, v and o, in elements from the first to the last that belongs to one of them."""
        lengths = self.tokens, self.keys, self.keys, self.tokens
        return [self.outer * length * step[1] for length, step in zip(lengths, self.strides)]


HEADS = (
    Heads(1, 1, 1, 1, 1, 1),
    Heads(2, 3, 5, 7, 4, 5),
    Heads(1, 2, 33, 40, 16, 8),
    Heads(2, 4, 64, 64, 32, 32),
    Heads(1, 2, 131, 150, 17, 20),
    Heads(1, 1, 37, 300, 3, 9),
    Heads(1, 2, 100, 31, 33, 31),
    Heads(1, 3, 1, 140, 8, 8),
    Heads(1, 2, 9, 10, 600, 7),  # dim in two blocks
    Heads(2, 2, 40, 40, 16, 16, packed=True),
    Heads(0, 2, 3, 3, 2, 2),
    Heads(1, 2, 3, 0, 2, 2),
    Heads(1, 2, 0, 3, 2, 2),
    Heads(1, 2, 3, 3, 0, 2),
    Heads(1, 2, 3, 3, 2, 0),
)
LARGE_HEADS = Heads(2, 5, 70, 140, 24, 16)
_BIASES = ("none", "full", "of keys", "of queries and keys")


def _bias(rng: np.random.Generator, h: Heads, kind: str) -> tuple[Array | None, tuple[int, int, int]]:
    """A bias, -inf for a third of the keys, and how far apart its batches, tokens and heads are."""
    if kind == "none":
        return None, (0, 0, 0)
    square = h.tokens * h.keys
    steps = {
        "full": (h.heads * square, h.keys, square),
        "of keys": (h.keys, 0, 0),
        "of queries and keys": (0, h.keys, 0),
    }
    size = {"full": h.outer * h.heads * square, "of keys": h.outer * h.keys, "of queries and keys": square}[kind]
    bias = np.where(rng.random(size) < 1 / 3, np.float32(-np.inf), floats(rng, size))
    return bias.astype(np.float32), steps[kind]


def _operands(rng: np.random.Generator, h: Heads) -> list[Array]:
    """q, k, v."""
    if not h.packed:
        return [floats(rng, size, -1.5, 1.5) for size in h.sizes[:3]]
    whole, row = floats(rng, h.sizes[0], -1.5, 1.5), h.heads * h.dim
    return [whole, whole[row:], whole[2 * row :]]


def _case(name: str, rng: np.random.Generator, h: Heads, bias: str, offset: int | None, wanted: str = "qkv") -> Case:
    values, steps = _bias(rng, h, bias)
    flags = 0 if offset is None else CAUSAL
    args = (*h[:6], *[step for steps_of_one in h.strides for step in steps_of_one], *steps, offset or 0)
    scale = 1 / np.sqrt(max(h.dim, 1))
    ins: list[Any] = [*_operands(rng, h), values]
    o, lse = poison(h.sizes[3]), poison(h.outer * h.heads * h.tokens)
    # Sums of up to `keys` weights that are together 1, of values below 1.5.
    atol = 1.5 * (8 + np.sqrt(h.keys)) * ULP
    if name == "attention":
        return Case(name, [o, lse], ins, args, (scale,), flags, 4 * ULP, (atol, 8 * atol))
    g = floats(rng, o.size)
    with np.errstate(all="ignore"):
        KERNELS["attention"].reference(o, lse, *ins, *args, scale, flags=flags)
    # A packed gradient keeps what lies between its rows: the kernel writes its own columns only.
    outs = [
        None if letter not in wanted else np.zeros(size, np.float32) if h.packed else poison(size)
        for letter, size in zip("qkv", (x.size for x in ins[:3]))
    ]
    most = 9 * np.sqrt(h.dim + h.value_dim + 1.0) * np.sqrt(h.tokens + h.keys)
    return Case(name, outs, [*ins, lse, o, g], args, (scale,), flags, 1e-5, most * 8 * ULP)


def _cases(name: str, rng: np.random.Generator) -> Iterator[Case]:
    for h in HEADS:
        yield _case(name, rng, h, "none", None)
        for offset in (0, 3, -3, h.keys - h.tokens):
            yield _case(name, rng, h, "none", offset)
        for bias in _BIASES[1:]:
            yield _case(name, rng, h, bias, None)
        yield _case(name, rng, h, "full", 0)
        for wanted in ("q", "k", "v", "qv") if name == "attention_grad" else ():
            yield _case(name, rng, h, "none", 0, wanted)


CASES: dict[str, Any] = dict.fromkeys(("attention", "attention_grad"), _cases)
LARGE: dict[str, Any] = {name: lambda name, rng: _case(name, rng, LARGE_HEADS, "full", 2) for name in CASES}
