"""Errors of attention: what was called, the class, the whole text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinyres as tr
from tinyres.errors import ArgumentError, DTypeError, ShapeError, TinyresError


def z(*shape: int, dtype: str = "float32") -> tr.Tensor:
    return tr.tensor(np.zeros(shape), dtype=dtype)


Q, K = z(2, 3, 4, 5), z(2, 6, 4, 5)
ATTEND = tr.dot_product_attention

CASES: list[tuple[Callable[[], object], type[TinyresError], str]] = [
    (
        lambda: ATTEND(z(2, 3, 5), z(2, 3, 5), z(2, 3, 5)),
        ShapeError,
        "[dot_product_attention] query and key have shape (batch, tokens, heads, dim); got (2, 3, 5) and (2, 3, 5); "
        "reshape them",
    ),
    (
        lambda: ATTEND(Q, z(2, 6, 3, 5), K),
        ShapeError,
        "[dot_product_attention] query and key (batch, tokens, heads, dim) may differ in their tokens only; "
        "got (2, 3, 4, 5) and (2, 6, 3, 5); reshape or repeat one of them",
    ),
    (
        lambda: ATTEND(Q, K, z(2, 7, 4, 5)),
        ShapeError,
        "[dot_product_attention] the value has shape (batch, keys, heads, value_dim), here (2, 6, 4) and a dim; "
        "got (2, 7, 4, 5); give a value per key",
    ),
    (
        lambda: ATTEND(Q, K, K, mask=np.ones((3, 3), bool)),
        ShapeError,
        "[dot_product_attention] the mask must broadcast to (batch, heads, tokens, keys), here (2, 4, 3, 6); "
        "got (3, 3); give it axes of these sizes, or of size 1",
    ),
    (
        lambda: ATTEND(Q, K, K, bias=z(4, 6)),
        ShapeError,
        "[dot_product_attention] the bias must broadcast to (batch, heads, tokens, keys), here (2, 4, 3, 6); "
        "got (4, 6); give it axes of these sizes, or of size 1",
    ),
    (
        lambda: ATTEND(Q, K, K, mask=np.ones((3, 6))),
        DTypeError,
        "[dot_product_attention] a mask is bool, True where a key may be seen; got float64 of shape (3, 6); "
        "compare it, as in mask > 0, or give numbers that are added to the scores as bias",
    ),
    (
        lambda: ATTEND(Q, K, K, offset=3),
        ArgumentError,
        "[dot_product_attention] offset=3 moves the causal mask; got is_causal=False; set it, or no offset",
    ),
]
