"""Rows of ops that move values."""

from __future__ import annotations

import numpy as np

import tinyres as tr
from tinyres import ops
from tinyres.engine.op import apply
from tinyres.ops import gather, indexing

from .case import BIG, Case, each


def np_place(g: np.ndarray) -> np.ndarray:
    out = np.zeros((4, 5))
    out[1:3, ::2] = g
    return out


def np_scatter(g: np.ndarray) -> np.ndarray:
    out = np.zeros((2, 3, 2))
    np.add.at(out, (slice(None), [1, 0, 1]), g)
    return out


ROWS = np.arange(300) * 7 % 256


CASES = [
    Case(
        "reshape",
        lambda x: tr.reshape(x, (2, -1)),
        lambda x: x.reshape(2, -1),
        each((4,), (2, 3), (3, 4, 1)),
        bench=(BIG,),
    ),
    Case("flatten", lambda x: tr.flatten(x, 1), lambda x: x.reshape(len(x), -1), each((2, 3, 4), (2, 3))),
    Case("transpose", tr.transpose, np.transpose, each((), (3,), (3, 4), (2, 3, 4), (0, 3)), bench=(BIG,)),
    Case(
        "transpose",
        lambda x: x.permute(2, 0, 1),
        lambda x: x.transpose(2, 0, 1),
        each((2, 3, 4)),
        bench=((64, 64, 64),),
    ),
    Case("index", lambda x: x[1], lambda x: x[1], each((3,), (3, 4), (2, 3, 4)), bench=(BIG,)),
    Case("index", lambda x: x[..., None, -2], lambda x: x[..., None, -2], each((3,), (3, 4))),
    Case("index", lambda x: x[::-1, 1:3], lambda x: x[::-1, 1:3], each((3, 4), (2, 3, 2)), bench=(BIG,)),
    Case("index", lambda x: x[-1:0:-2, ..., ::3], lambda x: x[-1:0:-2, ..., ::3], each((5, 7), (4, 2, 3))),
    Case("index", lambda x: x[2:2], lambda x: x[2:2], each((3, 4))),
    Case("place", lambda g: indexing.place(g, (4, 5), ((1, 3, None), (None, None, 2))), np_place, each((2, 3))),
    Case(
        "concatenate",
        lambda a, b: tr.concatenate([a, b]),
        lambda a, b: np.concatenate([a, b]),
        (((2, 3), (4, 3)), ((2,), (0,))),
        bench=(BIG, BIG),
    ),
    Case(
        "concatenate",
        lambda a, b: tr.concatenate([a, b, a], -1),
        lambda a, b: np.concatenate([a, b, a], -1),
        (((2, 3), (2, 1)), ((2, 2, 1), (2, 2, 3))),
        bench=(BIG, BIG),
    ),
    Case(
        "concatenate",
        lambda a, b: tr.stack([a, b], 1),
        lambda a, b: np.stack([a, b], 1),
        (((2, 3), (2, 3)), ((3,), (3,))),
    ),
    Case(
        "pad",
        lambda x: tr.pad(x, (1, 2), 0.5),
        lambda x: np.pad(x, (1, 2), constant_values=0.5),
        each((3,), (2, 3)),
        bench=(BIG,),
    ),
    Case("pad", lambda x: tr.pad(x, ((0, 1), (2, 0))), lambda x: np.pad(x, ((0, 1), (2, 0))), each((2, 3), (0, 3))),
    Case(
        "broadcast_to",
        lambda x: tr.broadcast_to(x, (2, 3, 4)),
        lambda x: np.broadcast_to(x, (2, 3, 4)),
        each((), (4,), (3, 1), (2, 1, 4)),
    ),
    Case("sum_to", lambda x: ops.sum_to(x, (3, 1)), lambda x: x.sum((0, 2)).reshape(3, 1), each((2, 3, 4))),
    Case("squeeze", tr.squeeze, np.squeeze, each((3,), (1, 3, 1), (2, 1))),
    Case("squeeze", lambda x: x.squeeze((0, -1)), lambda x: x.squeeze((0, -1)), each((1, 3, 1))),
    Case("expand_dims", lambda x: tr.expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, (0, -1)), each((), (2, 3))),
    Case(
        "tile",
        lambda x: tr.tile(x, (2, 3)),
        lambda x: np.tile(x, (2, 3)),
        each((3,), (2, 3), (2, 3, 2), (0, 3)),
        bench=(BIG,),
    ),
    Case("repeat", lambda x: tr.repeat(x, 3, 1), lambda x: np.repeat(x, 3, 1), each((2, 3), (2, 3, 2)), bench=(BIG,)),
    Case("repeat", lambda x: tr.repeat(x, 2), lambda x: np.repeat(x, 2), each((2, 3), (3,))),
    Case("gather_rows", lambda x: tr.repeat(x, [0, 2, 1], -1), lambda x: np.repeat(x, [0, 2, 1], -1), each((2, 3))),
    Case(
        "concatenate",
        lambda x: tr.concatenate(tr.split(x, [1, 3], 1)[::-1], 1),
        lambda x: np.concatenate(np.split(x, [1, 3], 1)[::-1], 1),
        each((2, 4), (2, 4, 3)),
    ),
    Case("gather_rows", lambda x: x[[2, 0, 2, -1]], lambda x: x[[2, 0, 2, -1]], each((3,), (3, 4), (4, 2, 3))),
    Case("gather_rows", lambda x: x[ROWS], lambda x: x[ROWS], each((256, 2)), bench=(BIG,)),
    Case("gather_rows", lambda x: x[:, ROWS], lambda x: x[:, ROWS], each((2, 256)), bench=(BIG,)),
    Case("gather_rows", lambda x: x[:, [[1, 0], [1, 2]]], lambda x: x[:, [[1, 0], [1, 2]]], each((2, 3), (2, 3, 4))),
    Case("gather_rows", lambda x: x[[0, 1], [2, 0]], lambda x: x[[0, 1], [2, 0]], each((2, 3), (3, 3, 2))),
    Case("gather_rows", lambda x: x[[0, 1], :, [2, 0]], lambda x: x[[0, 1], :, [2, 0]], each((2, 3, 4))),
    Case("gather_rows", lambda x: x[0, :, [[2], [0]]], lambda x: x[0, :, [[2], [0]]], each((2, 3, 4))),
    Case("gather_rows", lambda x: x[..., [1, 1], None], lambda x: x[..., [1, 1], None], each((3,), (2, 3))),
    Case("gather_rows", lambda x: x[1:, [1, 0], ::2], lambda x: x[1:, [1, 0], ::2], each((3, 2, 4))),
    Case("gather_rows", lambda x: x[x > 0.3], lambda x: x[x > 0.3], each((7,), (3, 4)), kinks=(0.3,)),
    Case("gather_rows", lambda x: x[:, [True, False, True]], lambda x: x[:, [True, False, True]], each((2, 3))),
    Case("gather_rows", lambda x: tr.take(x, [3, 0], axis=-1), lambda x: np.take(x, [3, 0], axis=-1), each((2, 4))),
    Case(
        "scatter_rows",
        lambda g: apply(gather.SCATTER_ROWS, (g, tr.tensor([1, 0, 1], dtype="int64")), (2, 3, 2), 1, 1),
        np_scatter,
        each((2, 3, 2)),
    ),
    Case("gather_rows", tr.sort, np.sort, each((7,), (3, 4)), bench=(BIG,)),
    Case("transpose", lambda x: tr.sort(x, 0, True), lambda x: -np.sort(-x, 0), each((5, 3))),
    Case("argsort", tr.argsort, lambda x: np.argsort(x, kind="stable"), each((7,), (3, 4), (0, 3)), bench=(BIG,)),
]
