"""Windows in captured steps: a call on a part of a buffer is a call on that memory, whatever else shares it.

A launch on a window of a temporary once replayed on other memory: eager 45.68, captured -3.4e20.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from races import find_race
from seeds import seeds

import tinyres as tr
from tinyres import kernels
from tinyres.backends import native
from tinyres.backends.buffers import ABSENT, Buffer, Window
from tinyres.capture.passes import PASSES
from tinyres.capture.workers import PlacedCall, Share, plan_workers
from tinyres.engine.layout import strided_copy
from tinyres.engine.op import OPS, Context, Gradients, Op, apply
from tinyres.errors import CaptureError, NonFiniteError
from tinyres.kernels.dtypes import FLOAT32, INT64
from tinyres.kernels.record import TRANSPOSE_A, TRANSPOSE_B
from tinyres.launch import launch

CHOICES = ["all", "none", *PASSES, *[f"-{name}" for name in PASSES]]
WAYS = [("native", 1), ("native", 2), ("reference", 1)] if native.AVAILABLE else [("reference", 1)]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    ops, backend = dict(OPS), tr.backend()
    threads = native.threads() if native.AVAILABLE else 0
    yield
    OPS.clear()
    OPS.update(ops)
    tr.set_backend(backend)
    if native.AVAILABLE:
        native.set_threads(threads)


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
def way(request: pytest.FixtureRequest) -> None:
    backend, threads = request.param
    tr.set_backend(backend)
    if backend == "native":
        native.set_threads(threads)


def window(buffer: Buffer, first: int, size: int) -> Window:
    """`size` elements of a buffer from `first` on."""
    return Window(buffer, first * buffer.dtype.itemsize, size, buffer.dtype)


# A batched product that launches one matmul for each matrix.


def product(out: Buffer, a: tr.Tensor, b: tr.Tensor, flags: int) -> None:
    batch, m, n = a.shape[0], a.shape[1], b.shape[2]
    k = a.shape[2]
    if flags & TRANSPOSE_A:
        m, k = k, m
    if flags & TRANSPOSE_B:
        n = b.shape[1]
    for i in range(batch):
        operands = window(a.buffer, i * m * k, m * k), window(b.buffer, i * k * n, k * n), ABSENT, ABSENT
        launch(kernels.matmul, (window(out, i * m * n, m * n),), operands, (m, n, k), (), flags)


def product_shape(a: tr.Tensor, b: tr.Tensor, flags: int) -> tuple[int, ...]:
    rows = a.shape[2] if flags & TRANSPOSE_A else a.shape[1]
    return a.shape[0], rows, b.shape[1] if flags & TRANSPOSE_B else b.shape[2]


def product_vjp(g: tr.Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    return batched(g, b, TRANSPOSE_B), batched(a, g, TRANSPOSE_A)


def batched(a: tr.Tensor, b: tr.Tensor, flags: int = 0) -> tr.Tensor:
    op = Op("batched", shape=product_shape, forward=product, vjp=product_vjp, saves=(0, 1))
    return apply(op, (a, b), flags)


BATCH, ROWS, UNITS = 3, 96, 128  # enough to wake a second worker


def batched_step() -> tuple[Callable[[tr.Tensor], tr.Tensor], list[tr.Parameter]]:
    rng = np.random.default_rng(0)
    weights = [tr.Parameter(rng.normal(size=(BATCH, UNITS, UNITS)) * UNITS**-0.5, f"w{i}") for i in range(3)]
    optimizer = tr.optim.SGD(weights, lr=0.1, momentum=0.9)

    def step(x: tr.Tensor) -> tr.Tensor:
        h = x * 0.5
        shortcut = h
        h = tr.relu(batched(h, weights[0]))
        h = tr.relu(batched(h, weights[1]) + shortcut)
        h = h + batched(h.reshape(BATCH * ROWS, UNITS).reshape(BATCH, ROWS, UNITS), weights[2])
        loss = tr.mean(tr.square(h))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, weights


def outcome(step: Callable[[tr.Tensor], tr.Tensor], weights: Sequence[tr.Parameter]) -> list[bytes]:
    rng = np.random.default_rng(1)
    losses = [step(tr.tensor(rng.normal(size=(BATCH, ROWS, UNITS)))).numpy().tobytes() for _ in range(3)]
    gradients = [w.grad for w in weights if w.grad is not None]
    return losses + [t.numpy().tobytes() for t in (*weights, *gradients)]


@pytest.mark.parametrize("passes", CHOICES)
def test_a_product_of_windows_is_captured_bit_for_bit(passes: str, way: None, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = outcome(*batched_step())
    if passes != "all":
        monkeypatch.setenv("TINYRES_PASSES", passes)
    step, weights = batched_step()
    assert outcome(tr.capture(step), weights) == expected


def test_a_relu_of_a_window_becomes_its_epilogue() -> None:
    def step(x: tr.Tensor) -> tr.Tensor:
        sums, out = Buffer(512, FLOAT32), Buffer(512, FLOAT32)
        for i in range(2):
            part, place = window(x.buffer, 256 * i, 256), window(sums, 256 * i, 256)
            launch(kernels.matmul, (place,), (part, part, ABSENT, ABSENT), (16, 16, 16))
            launch(kernels.relu, (window(out, 256 * i, 256),), (window(sums, 256 * i, 256),), (256,))
        return tr.Tensor(out, (2, 16, 16), FLOAT32)

    x = np.random.default_rng(0).normal(size=(2, 16, 16)).astype("f4")
    captured = tr.capture(step)
    np.testing.assert_array_equal(captured(x).numpy(), step(tr.tensor(x)).numpy())
    assert len(captured.program.program.calls) == 2
    assert re.search(r"matmul +16x16x16 +o\d+\[256:512\] +<- i\d+\[256:512\]", str(captured.program))


def test_a_window_that_is_returned_and_one_of_another_type() -> None:
    """Half of a buffer goes out; the bytes of its floats are read as integers; the whole is a window of itself."""

    def step(x: tr.Tensor) -> tuple[tr.Tensor, tr.Tensor]:
        whole = Buffer(8, FLOAT32)
        launch(kernels.square, (Window(whole, 0, 8, FLOAT32),), (x.buffer,), (8,))
        launch(kernels.neg, (window(window(whole, 2, 4), 2, 2),), (window(whole, 4, 2),), (2,))
        bits = Buffer(2, INT64)
        strided_copy(bits, Window(whole, 16, 2, INT64), (2,), (1,), (1,))
        return tr.Tensor(window(whole, 2, 4), (4,), FLOAT32), tr.Tensor(bits, (2,), INT64)

    captured = tr.capture(step)
    for first in (1.0, 3.0):
        half, bits = captured(np.arange(first, first + 8, dtype="f4"))
        squares = np.square(np.arange(first, first + 8, dtype="f4"))
        squares[4:6] *= -1
        np.testing.assert_array_equal(half.numpy(), squares[2:6])
        np.testing.assert_array_equal(bits.numpy(), squares[4:8].view("i8"))


def test_a_failed_check_restores_windows_of_state() -> None:
    state = tr.tensor(np.zeros(8))

    @tr.capture
    def step(x: tr.Tensor) -> tr.Tensor:
        launch(kernels.add, (window(state.buffer, 2, 4),), (window(state.buffer, 2, 4), x.buffer), (1, 4))
        y = state * 1.0
        launch(kernels.check_finite, (), (y.buffer,), (8,))
        return y

    step(np.ones(4))
    assert state.numpy().tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    with pytest.raises(NonFiniteError):
        step(np.array([1, np.inf, 1, 1]))
    assert state.numpy().tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_a_window_has_the_version_of_its_base() -> None:
    base = Buffer(4, FLOAT32)
    base.array[:] = 0
    part = window(window(base, 1, 3), 1, 2)
    assert (part.base, part.offset) == (base, 8)
    hyper = Buffer(8, np.dtype("float64"))
    hyper.array[:] = 0.1, 0, 0, 0, 0, 1, 0, np.inf
    launch(kernels.sgd, (part, ABSENT), (window(base, 0, 2), hyper), (2,))
    assert base.version == part.version == 1


def test_a_leaked_window_cannot_be_read() -> None:
    leaked: list[tr.Tensor] = []

    @tr.capture
    def step(x: tr.Tensor) -> tr.Tensor:
        between = x * 3.0
        leaked.append(tr.Tensor(window(between.buffer, 0, 1), (1,), FLOAT32))  # no call has it
        leaked.append(tr.Tensor(window(between.buffer, 1, 1), (1,), FLOAT32))
        return leaked[1] + 1.0

    assert step(np.array([1.0, 2.0])).item() == 7.0
    for tensor in leaked:
        with pytest.raises(CaptureError, match="made inside a captured step .* return it from the step"):
            tensor.numpy()
    with pytest.raises(CaptureError, match="made inside a captured step"):
        leaked[1] + 1.0


# Random lists of calls on windows of inputs, outputs, state and temporaries, some of which overlap.

SIDE = 16
ITEMS = SIDE * SIDE
LENGTH = 4 * ITEMS
KINDS = ["map", "mask", "add", "twice", "matmul", "accumulate", "relu of matmul", "masked", "sum", "fill", "update"]


class RandomList:
    """The same random calls at every run."""

    def __init__(self, seed: int, calls: int = 14) -> None:
        self.seed, self.calls = seed, calls
        rng = np.random.default_rng(seed)
        self.state = tr.tensor(rng.normal(size=LENGTH))
        self.hyper = Buffer(8, np.dtype("float64"))
        self.hyper.array[:] = 0.1, 0, 0, 0, 0, 1, 0, np.inf

    def step(self, x: tr.Tensor) -> tr.Tensor:
        self.rng = np.random.default_rng(self.seed)
        out = Buffer(LENGTH, FLOAT32)
        self.bases = [Buffer(LENGTH, FLOAT32) for _ in range(4)] + [out, self.state.buffer]
        self.written = [*self.bases]
        for scale, base in enumerate(self.bases[:-1], 1):
            self.launch(kernels.clip, base, x.buffer, args=(LENGTH,), scalars=(-scale, scale))
        self.bases.append(x.buffer)
        check = int(self.rng.integers(self.calls))
        for i in range(self.calls):
            if i == check:
                launch(kernels.check_finite, (), (self.source(),), (ITEMS,))
            self.make(self.rng.choice(KINDS))
        for base in self.bases[:4]:
            self.launch(kernels.add, out, out, base, args=(1, LENGTH), flags=int(self.rng.integers(2)) << 19)
        return tr.Tensor(out, (LENGTH,), FLOAT32)

    def launch(self, kernel, out, *ins, args=(ITEMS,), scalars=(), flags=0) -> None:
        launch(kernel, (out,), ins, args, scalars, flags)

    def part(self, bases: Sequence[Buffer]) -> Window:
        """A matrix somewhere; half of them begin at a multiple of their size."""
        base = bases[self.rng.integers(len(bases))]
        step = ITEMS if self.rng.random() < 0.6 else ITEMS // 4
        first = step * int(self.rng.integers((LENGTH - ITEMS) // step + 1))
        inside = window(base, first, ITEMS)
        return (
            window(window(base, first - first % ITEMS, LENGTH - first + first % ITEMS), first % ITEMS, ITEMS)
            if (self.rng.random() < 0.3)
            else inside
        )

    def source(self) -> Window:
        return self.part(self.bases)

    def target(self, *apart: Buffer) -> Window:
        """A matrix that overlaps none of these."""
        while True:
            out = self.part(self.written)
            if all(abs(out.address - other.address) >= 4 * max(out.size, other.size) for other in apart):
                return out

    def source_apart(self, out: Buffer) -> Window:
        while True:
            found = self.source()
            if abs(out.address - found.address) >= 4 * ITEMS:
                return found

    def scratch(self) -> Buffer:
        """A whole buffer, or a window of a larger one."""
        if self.rng.random() < 0.5:
            return Buffer(ITEMS, FLOAT32)
        return window(Buffer(2 * ITEMS, FLOAT32), ITEMS * int(self.rng.integers(2)), ITEMS)

    def matmul(self, out: Buffer, a: Buffer, b: Buffer) -> None:
        flags = int(self.rng.integers(4))
        self.launch(kernels.matmul, out, a, b, ABSENT, ABSENT, args=(SIDE, SIDE, SIDE), flags=flags)

    def make(self, kind: str) -> None:
        a, b = self.source(), self.source()
        if kind == "map":
            if self.rng.random() < 0.3:  # in place
                a = out = self.part(self.written)
            else:
                out = self.target(a)
            self.launch([kernels.relu, kernels.tanh, kernels.neg][self.rng.integers(3)], out, a)
        elif kind == "mask":
            self.launch(kernels.relu_grad, self.target(a, b), a, b)
        elif kind == "add":
            self.launch(kernels.add, self.target(a, b), a, b, args=(1, ITEMS), flags=1 << 19)
        elif kind == "twice":
            self.launch(kernels.add, self.target(a), a, a, args=(1, ITEMS), flags=1 << 19)
        elif kind == "matmul":
            self.matmul(self.target(a, b), a, b)
            self.shrink()
        elif kind in ("accumulate", "relu of matmul", "masked"):
            between = self.scratch()
            self.matmul(between, a, b)
            if kind == "accumulate":
                total = self.target()
                self.launch(kernels.add, total, *self.shuffled(total, between), args=(1, ITEMS), flags=1 << 19)
                return
            result, used = (self.scratch(), True) if self.rng.random() < 0.6 else (self.target(), False)
            if kind == "masked":
                self.launch(kernels.relu_grad, result, between, self.source_apart(result))
            else:
                self.launch(kernels.relu, result, between)
            if used:
                total = self.target()
                self.launch(kernels.add, total, total, result, args=(1, ITEMS), flags=1 << 19)
        elif kind == "sum":
            self.launch(kernels.sum, window(self.target(a), 0, SIDE), a, args=(1, SIDE, SIDE), scalars=(0.1,))
        elif kind == "fill":
            self.launch(kernels.fill, self.target(), scalars=(0.25,))
        else:
            place = self.part([self.state.buffer])
            gradient = self.part(self.bases[:4])
            launch(kernels.sgd, (place, ABSENT), (gradient, self.hyper), (ITEMS,))

    def shuffled(self, a: Buffer, b: Buffer) -> tuple[Buffer, Buffer]:
        return (a, b) if self.rng.random() < 0.5 else (b, a)

    def shrink(self) -> None:
        """Keep values finite: one buffer between -1 and 1."""
        base = self.written[self.rng.integers(len(self.written))]
        self.launch(kernels.clip, base, base, args=(LENGTH,), scalars=(-1, 1))

    def outcome(self, step: Callable[[tr.Tensor], tr.Tensor]) -> list[bytes]:
        rng = np.random.default_rng(2)
        results = [step(tr.tensor(rng.normal(size=LENGTH))).numpy().tobytes() for _ in range(2)]
        return [*results, self.state.numpy().tobytes()]


@pytest.mark.parametrize("seed", seeds(150, 30))
def test_a_random_list_on_windows_is_captured_bit_for_bit(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for backend, threads in WAYS:
        tr.set_backend(backend)
        if backend == "native":
            native.set_threads(threads)
        eager = RandomList(seed)
        expected = eager.outcome(eager.step)
        for passes in (CHOICES[0], CHOICES[1 + seed % (len(CHOICES) - 1)]):
            monkeypatch.delenv("TINYRES_PASSES", raising=False)
            if passes != "all":
                monkeypatch.setenv("TINYRES_PASSES", passes)
            captured = RandomList(seed)
            assert captured.outcome(tr.capture(captured.step)) == expected, (backend, threads, passes)


@pytest.mark.skipif(not native.AVAILABLE, reason="workers belong to the native core")
@pytest.mark.parametrize("seed", seeds(60, 15))
def test_no_two_workers_race_on_windows(seed: int) -> None:
    step = tr.capture(RandomList(seed).step)
    step(np.zeros(LENGTH, np.float32))
    executable = step.program.executable
    placed = [PlacedCall(call, *executable.operands(call), 1000.0) for call in executable.program.calls]
    planned = plan_workers(placed)
    for count in (2, 3):
        assert find_race(planned, count) is None
    assert find_race([(call, Share(share.way, share.count)) for call, share in planned], 2) is not None
