"""Rows of reductions."""

from __future__ import annotations

import numpy as np

import tinyres as tr

from .case import BIG, REDUCED, Case, each

CASES = [
    Case("sum", tr.sum, np.sum, (*REDUCED, *each((), (0,), (0, 3))), bench=(BIG,)),
    Case("sum", lambda x: tr.sum(x, 0), lambda x: np.sum(x, 0), (*REDUCED, *each((0, 3), (3, 0))), bench=(BIG,)),
    Case(
        "sum", lambda x: x.sum((0, 2), True), lambda x: np.sum(x, (0, 2), keepdims=True), each((2, 3, 4), (5, 1, 2, 2))
    ),
    Case("sum", lambda x: x.sum(()), lambda x: np.sum(x, ()), each((2, 3))),
    Case("mean", tr.mean, np.mean, (*REDUCED, *each(())), bench=(BIG,)),
    Case("mean", lambda x: tr.mean(x, -1), lambda x: np.mean(x, -1), REDUCED, bench=(BIG,)),
    Case("mean", lambda x: x.mean((0, -1)), lambda x: np.mean(x, (0, -1)), each((2, 3, 4))),
    Case("mean", tr.var, np.var, REDUCED, bench=(BIG,)),
    Case("mean", lambda x: x.var(0, True), lambda x: np.var(x, 0, keepdims=True), REDUCED, bench=(BIG,)),
    Case("max", tr.max, np.max, (*REDUCED, *each(())), bench=(BIG,)),
    Case("max", lambda x: tr.max(x, -1, True), lambda x: np.max(x, -1, keepdims=True), REDUCED, bench=(BIG,)),
    Case("max", lambda x: x.max((0, 2)), lambda x: np.max(x, (0, 2)), each((2, 3, 4))),
    Case("min", tr.min, np.min, REDUCED, bench=(BIG,)),
    Case("min", lambda x: tr.min(x, 0), lambda x: np.min(x, 0), REDUCED, bench=(BIG,)),
    Case("logsumexp", tr.logsumexp, lambda x: np.log(np.sum(np.exp(x))), REDUCED, bench=(BIG,)),
    Case(
        "logsumexp",
        lambda x: tr.logsumexp(x, (0, -1), True),
        lambda x: np.log(np.sum(np.exp(x), (0, -1), keepdims=True)),
        each((2, 3, 4)),
    ),
    Case("argmax", tr.argmax, np.argmax, REDUCED, bench=(BIG,)),
    Case("argmax", lambda x: tr.argmax(x, 0), lambda x: np.argmax(x, 0), REDUCED, bench=(BIG,)),
    Case("mean", lambda x: tr.var(x, 0, ddof=1), lambda x: np.var(x, 0, ddof=1), each((3, 4), (40, 3))),
    Case("norm", lambda x: tr.std(x), lambda x: np.std(x), REDUCED, bench=(BIG,)),
    Case(
        "norm", lambda x: x.std((0, -1), True, 1), lambda x: np.std(x, (0, -1), ddof=1, keepdims=True), each((2, 3, 4))
    ),
    Case("norm", tr.norm, np.linalg.norm, each((7,), (3, 4), ()), bench=(BIG,)),
    Case("norm", lambda x: tr.norm(x, axis=-1), lambda x: np.sqrt(np.sum(x * x, -1)), REDUCED, bench=(BIG,)),
    Case("sum", lambda x: tr.norm(x, 1, 0), lambda x: np.sum(np.abs(x), 0), each((3, 4)), kinks=(0.0,)),
    Case("max", lambda x: tr.norm(x, np.inf), lambda x: np.max(np.abs(x)), each((3, 4)), kinks=(0.0,)),
    Case("mul", tr.prod, np.prod, each((1,), (7,), (3, 4), (2, 3, 4)), 0.5, 1.5, bench=((16, 16),)),
    Case("mul", lambda x: tr.prod(x, 1, True), lambda x: np.prod(x, 1, keepdims=True), each((3, 4), (2, 5, 3))),
    Case("mul", lambda x: x.prod((0, 2)), lambda x: np.prod(x, (0, 2)), each((2, 3, 4))),
    Case("cumsum", tr.cumsum, np.cumsum, each((), (7,), (3, 4), (0,)), bench=((1 << 16,),)),
    Case("cumsum", lambda x: tr.cumsum(x, 0), lambda x: np.cumsum(x, 0), (*REDUCED, *each((0, 3))), bench=(BIG,)),
    Case(
        "cumsum",
        lambda x: x.cumsum(-1, reverse=True),
        lambda x: np.cumsum(x[..., ::-1], -1)[..., ::-1],
        REDUCED,
        bench=(BIG,),
    ),
    Case("argmax", tr.argmin, np.argmin, REDUCED),
    Case("argmax", lambda x: tr.argmin(x, 0), lambda x: np.argmin(x, 0), REDUCED),
    Case("compare_integers", lambda x: tr.any(x > 1, 0), lambda x: np.any(x > 1, 0), REDUCED),
    Case("compare_integers", lambda x: tr.all(x > -1, -1), lambda x: np.all(x > -1, -1), REDUCED),
]
