"""Rows of matrix products."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

import tinyres as tr

from .case import Case


def np_dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.maximum(x @ kernel + bias, 0)


def einsum(subscripts: str) -> tuple[Callable[..., tr.Tensor], Callable[..., np.ndarray]]:
    return functools.partial(tr.einsum, subscripts), functools.partial(np.einsum, subscripts)


def np_attention(*operands: np.ndarray, offset: int | None = None) -> np.ndarray:
    """softmax(q kᵀ / √dim + bias) v, the heads inside."""
    q, k, v, *bias = operands
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1]) + (bias[0] if bias else 0)
    if offset is not None:
        scores = np.where(np.tri(q.shape[1], k.shape[1], offset, dtype=bool), scores, -1e300)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), v)


HEADS = (2, 5, 2, 3)
CASES = [
    Case(
        "matmul",
        tr.matmul,
        np.matmul,
        (((2, 3), (3, 4)), ((1, 1), (1, 1)), ((5, 17), (17, 3)), ((2, 0), (0, 3)), ((0, 2), (2, 3))),
        bench=((256, 256), (256, 256)),
    ),
    Case(
        "matmul",
        lambda a, b: tr.matmul(a, b, transpose_a=True),
        lambda a, b: a.T @ b,
        (((3, 2), (3, 4)), ((17, 5), (17, 3))),
        bench=((256, 256), (256, 256)),
    ),
    Case(
        "matmul",
        lambda a, b: tr.matmul(a, b, transpose_b=True),
        lambda a, b: a @ b.T,
        (((2, 3), (4, 3)), ((5, 17), (3, 17))),
        bench=((256, 256), (256, 256)),
    ),
    Case(
        "matmul",
        lambda a, b: tr.matmul(a, b, True, True),
        lambda a, b: a.T @ b.T,
        (((3, 2), (4, 3)),),
        bench=((256, 256), (256, 256)),
    ),
    Case(
        "dense",
        tr.dense,
        lambda x, kernel, bias: x @ kernel + bias,
        (((5, 3), (3, 4), (4,)), ((2, 5, 3), (3, 4), (4,)), ((0, 3), (3, 4), (4,))),
        bench=((128, 256), (256, 256), (256,)),
    ),
    Case(
        "dense",
        lambda x, kernel, bias: tr.dense(x, kernel, bias, "relu"),
        np_dense,
        (((5, 3), (3, 4), (4,)), ((2, 2, 3), (3, 4), (4,))),
        bench=((128, 256), (256, 256), (256,)),
    ),
    Case(
        "dense_without_bias",
        tr.dense,
        np.matmul,
        (((5, 3), (3, 4)), ((2, 2, 3), (3, 4))),
        bench=((128, 256), (256, 256)),
    ),
    Case(
        "dense_without_bias",
        lambda x, kernel: tr.dense(x, kernel, activation="relu"),
        lambda x, kernel: np.maximum(x @ kernel, 0),
        (((5, 3), (3, 4)),),
    ),
    Case(
        "matmul",
        tr.matmul,
        np.matmul,
        (
            ((2, 3, 4), (2, 4, 5)),
            ((2, 3, 4), (4, 5)),
            ((3, 4), (2, 4, 5)),
            ((2, 1, 3, 4), (3, 4, 2)),
            ((1, 3, 4), (2, 4, 1)),
            ((4,), (4,)),
            ((4,), (4, 3)),
            ((3, 4), (4,)),
            ((4,), (2, 4, 3)),
            ((2, 3, 4), (4,)),
            ((2, 3, 4), (2, 4, 0)),
            ((2, 3, 0), (2, 0, 4)),
            ((0, 3, 4), (4, 2)),
            ((0, 3, 4), (0, 4, 2)),
        ),
        bench=((8, 64, 64), (8, 64, 64)),
    ),
    Case(
        "matmul",
        lambda a, b: tr.matmul(a, b, transpose_b=True),
        lambda a, b: a @ np.swapaxes(b, -1, -2),
        (((2, 3, 4), (2, 5, 4)), ((2, 3, 4), (5, 4)), ((3, 4), (2, 5, 4))),
        bench=((8, 64, 64), (8, 64, 64)),
    ),
    Case(
        "matmul",
        lambda a, b: tr.matmul(a, b, True, True),
        lambda a, b: np.swapaxes(a, -1, -2) @ np.swapaxes(b, -1, -2),
        (((2, 4, 3), (2, 5, 4)), ((2, 4, 3), (5, 4)), ((4, 3), (2, 5, 4))),
    ),
    Case("matmul", tr.dot, np.dot, (((4,), (4,)), ((2, 3, 4), (4,)), ((2, 4), (4, 3)))),
    Case("mul", tr.dot, np.dot, (((), (3,)),)),
    Case("matmul", *einsum("ij,jk->ik"), (((2, 3), (3, 4)),), bench=((256, 256), (256, 256))),
    Case("contract", *einsum("bij,bkj->bik"), (((2, 3, 4), (2, 5, 4)),)),
    Case(
        "contract", *einsum("bqhd,bkhd->bhqk"), (((2, 3, 2, 4), (2, 5, 2, 4)),), bench=((4, 32, 4, 16), (4, 32, 4, 16))
    ),
    Case("matmul", *einsum("...ij,...jk"), (((2, 3, 4), (2, 4, 5)),)),
    Case("matmul", *einsum("i,i"), (((4,), (4,)),)),
    Case("contract", *einsum("i,j->ji"), (((4,), (3,)),)),
    Case("contract", *einsum("ij,kj->ik"), (((2, 3), (4, 3)),)),
    Case("matmul", *einsum("ijk,kl,i->l"), (((2, 3, 4), (4, 5), (2,)),)),
    Case(
        "contract", *einsum("bhqk,bkhd->bqhd"), (((2, 3, 4, 5), (2, 5, 3, 2)),), bench=((4, 4, 32, 32), (4, 32, 4, 16))
    ),
    Case("matmul", *einsum("bthd,hde->bte"), (((2, 3, 4, 5), (4, 5, 2)),)),
    Case("contract", *einsum("ki,kj->ji"), (((4, 3), (4, 5)), ((1, 3), (1, 5)), ((4, 1), (4, 5)))),
    Case("sum", *einsum("ijk->ki"), (((2, 3, 4),),)),
    Case("transpose", *einsum("ba"), (((2, 3),),)),
    Case(
        "attention",
        tr.dot_product_attention,
        np_attention,
        ((HEADS, HEADS, HEADS), ((1, 3, 2, 4), (1, 5, 2, 4), (1, 5, 2, 2)), ((1, 1, 1, 1),) * 3),
        bench=((4, 256, 4, 32),) * 3,
    ),
    Case(
        "attention",
        functools.partial(tr.dot_product_attention, is_causal=True, offset=1),
        functools.partial(np_attention, offset=1),
        ((HEADS, HEADS, HEADS), ((1, 35, 1, 2), (1, 36, 1, 2), (1, 36, 1, 3))),
        bench=((4, 256, 4, 32),) * 3,
    ),
    Case(
        "attention_with_bias",
        tr.dot_product_attention,
        np_attention,
        (
            (HEADS, HEADS, HEADS, (2, 2, 5, 5)),
            (HEADS, HEADS, HEADS, (2, 1, 1, 5)),
            ((1, 3, 2, 4), (1, 5, 2, 4), (1, 5, 2, 2), (2, 3, 5)),
            ((1, 3, 2, 4), (1, 5, 2, 4), (1, 5, 2, 2), (3, 1)),
        ),
        bench=((4, 64, 4, 32), (4, 64, 4, 32), (4, 64, 4, 32), (64, 64)),
    ),
]
