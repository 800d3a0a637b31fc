"""Sharing a captured list among workers: waits exactly where needed, no races, the same bits for any threads."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.backends import native
from tinyres.backends.buffers import ABSENT, Buffer, Window
from tinyres.capture.halves import in_halves
from tinyres.capture.program import Call
from tinyres.capture.workers import PlacedCall, Share, plan_workers
from tinyres.errors import TinyresError
from tinyres.kernels import record
from tinyres.kernels.dtypes import FLOAT32, FLOAT64, INT64
from tinyres.kernels.record import (
    ACCUMULATE,
    ALONE,
    BY_COLUMNS,
    BY_ROWS,
    HALF_OF_K,
    KERNELS,
    SHARE_UNIT,
    TOGETHER,
    TRANSPOSE_A,
    TRANSPOSE_B,
)
from tinyres.kernels.sharing import COLUMN, ROW, SCALAR

plan = importlib.import_module("tinyres.capture.plan")
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


def test_all_wait_behind_a_value_check() -> None:
    labels = buffer(32, dtype=INT64)
    check = call("check_labels", [], [labels], (32, 10))
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


# Captured steps.


@pytest.fixture
def threads() -> Iterator[Callable[[int], int]]:
    before = native.threads()
    yield native.set_threads
    native.set_threads(before)


@pytest.fixture(autouse=True)
def always_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share every list, whatever it gains."""
    monkeypatch.setattr(plan, "worth_sharing", lambda planned: True)
    monkeypatch.setattr(plan, "FasterOf", Always)


class Always:
    """Instead of the choice by the clock: a shared list at every run, each in turn."""

    def __init__(self, alone: Callable[[], int], *shared: Callable[[], int]) -> None:
        turns = itertools.cycle(shared)
        self.run = lambda: next(turns)()


def train_step(
    features: int, units: int, classes: int, optimizer: str, dropout: float, training: bool = True
) -> tuple[tr.CapturedStep, list[tr.Tensor]]:
    tr.manual_seed(0)
    inputs = h = tr.Input(shape=(features,))
    h = layers.Dense(units)(h)
    for _ in range(2):
        shortcut = h
        h = layers.Dense(units, activation="relu")(h)
        h = layers.BatchNormalization()(h)
        h = layers.Dense(units)(h)
        h = layers.BatchNormalization()(h)
        h = layers.ReLU()(layers.Add()([h, shortcut]))
        if dropout:
            h = layers.Dropout(dropout)(h)
        h = layers.Activation("tanh")(h * 0.5)
    model = tr.Model(inputs, layers.Dense(classes)(h))
    opt = {
        "sgd": lambda p: tr.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "adam": lambda p: tr.optim.Adam(p, lr=0.01, clip_norm=1.0),
    }[optimizer](model.parameters())

    @tr.capture(check_finite=True)
    def step(x, y):
        loss = tr.losses.softmax_cross_entropy(model(x, training=training), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return step, [*model.parameters()]


# features, units, classes, batch: the first layer alone is worth waking the workers.
SHAPES = [(1024, 64, 10, 256), (1024, 96, 32, 250), (2048, 48, 7, 128), (2048, 50, 10, 128), (1200, 32, 64, 203)]
SHAPES += [(512, 144, 32, 96)]  # products in halves
KINDS = [("sgd", 0.0), ("adam", 0.3)]


def batch(features: int, classes: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, features), dtype=np.float32), rng.integers(0, classes, rows)


@pytest.mark.parametrize(("features", "units", "classes", "rows"), SHAPES)
@pytest.mark.parametrize(("optimizer", "dropout"), KINDS)
def test_a_step_has_the_same_bits_for_any_number_of_threads(
    features: int, units: int, classes: int, rows: int, optimizer: str, dropout: float, threads: Callable[[int], int]
) -> None:
    x, y = batch(features, classes, rows)
    results = []
    for count in (1, 2, 3):
        threads(count)
        step, parameters = train_step(features, units, classes, optimizer, dropout)
        losses = [float(step(x, y)) for _ in range(4)]
        results.append((losses, [p.numpy().tobytes() for p in parameters]))
    assert losses[-1] < losses[0]
    assert results[0] == results[1] == results[2]


def planned(step: tr.CapturedStep, count: int = 3) -> list[tuple[PlacedCall, Share]]:
    executable = step.program.executable
    placed = [PlacedCall(c, *executable.operands(c), 1000.0) for c in executable.program.calls]
    return plan_workers(in_halves(placed) if count == 2 else placed)


RACES = [(70, 64, 10, 9), (33, 96, 32, 5), (20, 50, 7, 8), (144, 128, 10, 3)]


@pytest.mark.parametrize(("features", "units", "classes", "rows"), RACES)
@pytest.mark.parametrize(("optimizer", "dropout"), KINDS)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_two_workers_race(
    features: int, units: int, classes: int, rows: int, optimizer: str, dropout: float, count: int
) -> None:
    step, _ = train_step(features, units, classes, optimizer, dropout)
    step(*batch(features, classes, rows))
    calls = planned(step, count)
    assert find_race(calls, count) is None
    # The search does find races: without its waits the same list has some.
    if units % SHARE_UNIT == 0:
        assert find_race([(c, Share(s.way, s.count)) for c, s in calls], count) is not None


def test_few_waits_per_residual_block() -> None:
    step, _ = train_step(64, 64, 10, "sgd", 0.0)
    step(*batch(64, 10, 8))
    calls = planned(step)
    assert sum(share.waits for _, share in calls) <= 4 * 2 + 8


def test_a_failed_check_stops_all_workers(threads: Callable[[int], int]) -> None:
    threads(2)
    step, parameters = train_step(2048, 64, 10, "sgd", 0.0)
    x, y = batch(2048, 10, 256)
    step(x, y)
    before = [p.numpy().tobytes() for p in parameters]
    for _ in range(5):
        with pytest.raises(TinyresError, match="label"):
            step(x, np.full_like(y, 10))
        assert [p.numpy().tobytes() for p in parameters] == before


def test_a_list_is_planned_for_the_number_of_threads(
    threads: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned_for: list[bool] = []
    monkeypatch.setattr(plan, "in_halves", lambda calls: planned_for.append(True) or calls)
    step, _ = train_step(64, 64, 10, "sgd", 0.0)
    for count, plans in ((1, 0), (2, 1), (2, 1), (1, 1), (3, 2), (2, 3)):
        threads(count)
        step(*batch(64, 10, 8))
        assert len(planned_for) == plans


# The search for races: every item that each worker reads or writes, by the meaning of the kernels.


def find_race(calls: Sequence[tuple[PlacedCall, Share]], count: int) -> str | None:
    """The first call that touches what another worker touches since the last wait, one of them writing."""
    read: list[set[int]] = [set() for _ in range(count)]
    written: list[set[int]] = [set() for _ in range(count)]
    for i, (placed, share) in enumerate(calls):
        if share.waits:
            read, written = [set() for _ in range(count)], [set() for _ in range(count)]
        for worker in range(count):
            reads, writes = touched(placed, share, worker, count)
            read[worker] |= reads
            written[worker] |= writes
        for worker in range(count):
            for other in range(count):
                if other != worker and written[worker] & (read[other] | written[other]):
                    return f"call {i}, {placed.call.kernel.name}: workers {worker} and {other}"
    return None


def touched(placed: PlacedCall, share: Share, worker: int, count: int) -> tuple[set[int], set[int]]:
    """The addresses of 4-byte units that one worker reads and writes."""
    name = placed.call.kernel.name
    assert share.way != TOGETHER
    if share.way == ALONE:
        if worker:
            return set(), set()
        return units(placed.ins, whole), units(placed.outs, whole)
    units_of_columns = share.count // SHARE_UNIT
    cuts = [sum(len(range(w, units_of_columns, count)) for w in range(end)) for end in (worker, worker + 1)]
    first, last = (cut * SHARE_UNIT for cut in cuts)

    def columns(b: Buffer) -> np.ndarray:
        assert b.size % share.count == 0
        return np.arange(b.size).reshape(-1, share.count)[:, first:last].ravel()

    def rows(b: Buffer) -> np.ndarray:
        return np.arange(b.size).reshape(share.count, -1)[first:last].ravel()

    def half(b: Buffer) -> np.ndarray:
        return np.arange(b.size).reshape(2, -1)[worker]

    writes = rows if share.way == BY_ROWS else columns
    reads = [writes] * len(placed.ins)
    if name == "matmul" and placed.call.flags & HALF_OF_K:
        reads[1], writes = rows, half
    elif name == "matmul" and share.way == BY_ROWS:
        assert placed.call.flags & TRANSPOSE_A
        reads[:2] = columns, whole
    elif name == "join_halves":
        reads[:2] = whole, whole
    elif name == "matmul":
        reads[0] = whole
        reads[1] = rows if placed.call.flags & TRANSPOSE_B else columns
    elif name in ("sgd", "adam"):
        reads[1] = whole
    elif name in ("add", "mul"):
        layouts = [placed.call.flags >> 2 * i & 3 for i in range(2)]
        reads = [whole if layout in (COLUMN, SCALAR) else columns for layout in layouts]
    else:
        assert name in (
            "batchnorm batchnorm_grad batchnorm_inference moving_statistics sum relu relu_grad tanh tanh_grad".split()
        )
    gathered = set().union(*[units([b], how) for b, how in zip(placed.ins, reads)])
    own = units(placed.outs, writes)
    accumulates = placed.call.kernel.mutates or placed.call.flags & ACCUMULATE
    return gathered | (own if accumulates else set()), own


def whole(b: Buffer) -> np.ndarray:
    return np.arange(b.size)


def units(buffers: Sequence[Buffer], items: Callable[[Buffer], np.ndarray]) -> set[int]:
    found: set[int] = set()
    for b in buffers:
        if b.size:
            for part in range(0, b.dtype.itemsize, 4):
                found.update((b.address + part + items(b) * b.dtype.itemsize).tolist())
    return found
