"""Sharing a captured list among workers: waits exactly where needed, no races, the same bits for any threads."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import numpy as np
import pytest

from tinyres.backends import native
from tinyres.backends.buffers import ABSENT, Buffer, Window
from tinyres.capture.halves import in_halves
from tinyres.capture.program import Call
from tinyres.capture.workers import TOGETHER_NS, PlacedCall, all_together, plan_workers
from tinyres.kernels import record
from tinyres.kernels.dtypes import FLOAT32, FLOAT64, INT64
from tinyres.kernels.record import (
    ALONE,
    BY_COLUMNS,
    BY_ROWS,
    KERNELS,
    SHARE_UNIT,
    TOGETHER,
    TRANSPOSE_A,
    TRANSPOSE_B,
)
from tinyres.kernels.sharing import COLUMN, ROW, SCALAR

pytestmark = pytest.mark.skipif(not native.AVAILABLE, reason="workers belong to the native core")


# Hand-made lists.


def buffer(*shape: int, dtype: np.dtype = FLOAT32) -> Buffer:
    return Buffer(int(np.prod(shape)), dtype)


def call(
    kernel: str,
    outs: Sequence[Buffer],
    ins: Sequence[Buffer],
    args: Sequence[int],
    flags: int = 0,
    cost: float = 1000.0,
) -> PlacedCall:
    slots = tuple(range(len(outs))), tuple(range(len(outs), len(outs) + len(ins)))
    return PlacedCall(Call(KERNELS[kernel], *slots, tuple(args), (), flags, ""), outs, ins, cost)


def matmul(out: Buffer, a: Buffer, b: Buffer, m: int, n: int, k: int, flags: int = 0) -> PlacedCall:
    return call("matmul", [out], [a, b, ABSENT, ABSENT], (m, n, k), flags)


def ways(calls: Sequence[PlacedCall]) -> list[str]:
    """c, r, a, t for by columns, by rows, alone, together; a bar before a wait."""
    letters = {BY_COLUMNS: "c", BY_ROWS: "r", ALONE: "a", TOGETHER: "t"}
    return ["|" * share.waits + letters[share.way] for _, share in plan_workers(calls)]


x, y, z, u = (buffer(32, 64) for _ in range(4))
w, v, other_w = buffer(64, 64), buffer(64, 64), buffer(64, 64)
gamma, mean, variance = (buffer(64) for _ in range(3))
hyper = buffer(8, dtype=FLOAT64)


def test_a_chain_by_columns_waits_for_nothing() -> None:
    assert ways(
        [
            matmul(y, x, w, 32, 64, 64),
            call("batchnorm", [z, mean, variance], [y, gamma, ABSENT], (32, 64)),
            call("add", [u], [z, x], (1, 2048)),
            call("relu_grad", [u], [u, z], (2048,)),
            call("sum", [gamma], [u], (1, 32, 64)),
        ]
    ) == ["c", "c", "c", "c", "c"]


def test_a_matmul_waits_for_the_columns_of_its_left_operand_only() -> None:
    assert ways([matmul(y, x, w, 32, 64, 64), matmul(z, y, w, 32, 64, 64)]) == ["c", "|c"]
    weights_gradient = matmul(v, x, y, 64, 64, 32, record.TRANSPOSE_A)
    assert ways([matmul(y, x, w, 32, 64, 64), weights_gradient]) == ["c", "c"]
    transposed = matmul(z, x, w, 32, 64, 64, TRANSPOSE_B)
    assert ways([call("sgd", [w, ABSENT], [v, hyper], (4096,)), transposed]) == ["c", "|c"]


def test_a_weight_is_not_updated_while_others_read_it() -> None:
    """Write after read: the other worker may still be reading rows of w for its columns of the input's gradient."""
    input_gradient = matmul(x, y, w, 32, 64, 64, TRANSPOSE_B)
    weights_gradient = matmul(v, z, y, 64, 64, 32, record.TRANSPOSE_A)
    update = call("sgd", [w, ABSENT], [v, hyper], (4096,))
    assert ways([input_gradient, weights_gradient, update]) == ["c", "c", "|c"]
    assert ways([weights_gradient, update]) == ["c", "c"]


def test_an_update_uses_the_wait_of_another_call() -> None:
    update = call("sgd", [w, ABSENT], [v, hyper], (4096,))
    reads_w = matmul(x, y, w, 32, 64, 64, TRANSPOSE_B)
    column_call = call("relu", [u], [z], (2048,))
    waits_for_x = matmul(z, x, other_w, 32, 64, 64)
    calls = [reads_w, update, column_call, waits_for_x]
    assert [placed for placed, _ in plan_workers(calls)] == [reads_w, column_call, update, waits_for_x]
    assert ways(calls) == ["c", "c", "|c", "c"]
    # Not over a call that needs the new weight, changes the gradient or the rate, or checks.
    tick = call("optimizer_tick", [hyper], [], ())
    for other in (
        call("relu", [u], [w], (4096,)),
        call("relu", [v], [u], (4096,)),
        tick,
        call("check_finite", [], [u], (2048,)),
    ):
        assert [placed for placed, _ in plan_workers([reads_w, update, other])] == [reads_w, update, other]


def test_reused_memory_counts_whatever_it_is_called() -> None:
    """Temporaries share places in the arena: y's place becomes that of a matrix of other columns."""
    arena = buffer(4096)
    first = Window(arena, 0, 2048, FLOAT32)
    same = Window(arena, 0, 2048, FLOAT32)
    shifted = Window(arena, 1024 * 4, 2048, FLOAT32)
    start = call("relu", [first], [x], (2048,))
    ours = matmul(y, x, w, 32, 64, 64)
    assert ways([ours, start]) == ["c", "c"]
    assert ways([matmul(first, x, w, 32, 64, 64), matmul(same, z, w, 32, 64, 64)]) == ["c", "c"]
    assert ways([matmul(first, x, w, 32, 64, 64), matmul(shifted, z, w, 32, 64, 64)]) == ["c", "|c"]
    assert ways([matmul(first, x, w, 32, 64, 64), matmul(same, z, w, 64, 32, 64)]) == ["c", "|c"]
    assert ways([matmul(y, first, w, 32, 64, 64), matmul(same, z, w, 32, 64, 64)]) == ["c", "|c"]


def test_odd_columns_go_to_one_worker_with_waits_around() -> None:
    logits, odd = buffer(32, 10), buffer(64, 10)
    calls = [
        matmul(y, x, w, 32, 64, 64),
        matmul(logits, y, odd, 32, 10, 64),
        call("softmax", [logits], [logits], (32, 10)),
        matmul(z, logits, odd, 32, 64, 10, TRANSPOSE_B),
        call("relu_grad", [z], [z, y], (2048,)),
    ]
    assert ways(calls) == ["c", "|a", "a", "|c", "c"]


def test_a_large_call_without_columns_is_done_together() -> None:
    wide = buffer(3000, 10)
    softmax = call("softmax", [wide], [wide], (3000, 10), cost=9000.0)
    assert ways([call("relu", [y], [x], (2048,)), softmax, softmax, call("relu", [y], [x], (2048,))]) == [
        "c",
        "|t",
        "|t",
        "c",
    ]


def test_where_calls_are_large_all_can_do_each_of_them() -> None:
    large = call("relu", [y], [x], (2048,), cost=TOGETHER_NS)
    small = call("relu", [y], [x], (2048,), cost=TOGETHER_NS - 1)
    letters = {ALONE: "a", TOGETHER: "t"}
    shares = [share for _, share in all_together([small, small, large, large, small, small, large])]
    assert ["|" * s.waits + letters[s.way] for s in shares] == ["a", "a", "|t", "|t", "|a", "a", "|t"]


def test_all_wait_behind_a_value_check() -> None:
    labels = buffer(32, dtype=INT64)
    check = call("check_labels", [], [labels], (32, 10, 0))
    assert ways([check, call("sgd", [w, ABSENT], [v, hyper], (4096,))]) == ["a", "|c"]


def test_rows_and_scalars_of_elementwise_calls() -> None:
    scalar = buffer(1)
    add_row = call("add", [y], [x, gamma], (32, 64), ROW << 2)
    assert ways([call("sum", [gamma], [z], (1, 32, 64)), add_row]) == ["c", "c"]
    add_scalar = call("add", [y], [x, scalar], (32, 64), SCALAR << 2)
    assert ways([call("fill", [scalar], [], (1,)), add_scalar, add_scalar]) == ["a", "|c", "c"]
    add_column = call("add", [y], [x, Window(z, 0, 32, FLOAT32)], (32, 64), COLUMN << 2)
    assert ways([call("relu", [z], [x], (2048,)), add_column]) == ["c", "|c"]


def test_large_weights_are_worked_by_rows() -> None:
    """Forward, backward, and the update: what others made is waited for, no weight ever is."""
    x, y, g = buffer(8, 256), buffer(8, 256), buffer(8, 256)
    w, velocity, gradient = (buffer(256, 256) for _ in range(3))
    calls = in_halves(
        [
            matmul(y, x, w, 8, 256, 256),
            matmul(x, g, w, 8, 256, 256, TRANSPOSE_B),
            matmul(gradient, y, g, 256, 256, 8, TRANSPOSE_A),
            call("sgd", [w, velocity], [gradient, hyper], (256 * 256,)),
        ]
    )
    assert [c.call.kernel.name for c in calls] == ["matmul", "join_halves", "matmul", "matmul", "sgd"]
    assert ways(calls) == ["c", "|c", "c", "r", "r"]
    assert ways(calls * 2)[5:] == ["|c", "|c", "c", "r", "r"]  # its x was made by columns and read by all


def test_a_flat_update_takes_the_columns_of_its_gradient() -> None:
    wide, gradient = buffer(64, 32), buffer(64, 32)
    calls = [matmul(gradient, x, z, 64, 32, 32), call("sgd", [wide, ABSENT], [gradient, hyper], (2048,))]
    assert [share.count for _, share in plan_workers(calls)] == [32, 32]
    assert ways(calls) == ["c", "c"]


def test_the_numbers_of_both_sides_agree() -> None:
    lib = importlib.import_module("tinyres._core").lib
    assert (BY_COLUMNS, ALONE, TOGETHER, BY_ROWS, record.WAIT) == (
        lib.TR_BY_COLUMNS,
        lib.TR_ALONE,
        lib.TR_TOGETHER,
        lib.TR_BY_ROWS,
        lib.TR_WAIT,
    )
    assert (record.GEMM_HALVES_FROM, record.GEMM_DEPTH) == (lib.TR_GEMM_HALVES_FROM, lib.TR_GEMM_DEPTH)
    assert (record.AHEAD, record.COUNT_SHIFT, SHARE_UNIT) == (
        lib.TR_AHEAD,
        lib.TR_COUNT_SHIFT,
        lib.TR_SHARE_UNIT,
    )
