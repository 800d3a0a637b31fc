"""Captured steps of nets of images: fusions as in dense nets, bit for bit as eager, and temporaries of many sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.backends import native
from tinyres.capture.passes import PASSES
from tinyres.capture.plan import _Arena, place_temporaries
from tinyres.kernels.record import ACCUMULATE, RELU

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 12, 12, 3)).astype("float32")
Y = RNG.integers(0, 5, 8)


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = native.threads() if native.AVAILABLE else 0
    yield
    if before:
        native.set_threads(before)


def net() -> tr.Model:
    tr.manual_seed(0)
    inputs = tr.Input(shape=X.shape[1:])
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    for filters in (16, 24):
        shortcut = layers.Conv2D(filters, 1, strides=2, use_bias=False)(x)
        x = layers.Conv2D(filters, 3, strides=2, padding="same")(x)
        x = layers.ReLU()(x)
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, shortcut]))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return tr.Model(inputs, layers.Dense(5)(x))


def step_of(model: tr.Model) -> tr.optim.Optimizer:
    optimizer = tr.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        optimizer.zero_grad()
        loss = tr.losses.softmax_cross_entropy(model(x, training=True), y)
        loss.backward()
        optimizer.step()
        return loss

    return step  # type: ignore[return-value]


def after(step: object, model: tr.Model, count: int = 4) -> bytes:
    losses = [float(step(tr.tensor(X), tr.tensor(Y, dtype="int64"))) for _ in range(count)]  # type: ignore[operator]
    return b"".join([np.array(losses).tobytes(), *[w.tobytes() for w in model.get_weights()]])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("passes", ["none", *[f"-{name}" for name in PASSES], ",".join(PASSES)])
def test_captured_as_eager_bit_for_bit(passes: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if native.AVAILABLE:
        native.set_threads(threads)
    eager = net()
    expected = after(step_of(eager), eager)
    monkeypatch.setenv("TINYRES_PASSES", passes)
    model = net()
    assert after(tr.capture(step_of(model)), model) == expected  # type: ignore[arg-type]


def test_relu_mask_and_sum_become_epilogues_of_convolutions() -> None:
    model = net()
    step = tr.capture(step_of(model))  # type: ignore[arg-type]
    step(tr.tensor(X), tr.tensor(Y, dtype="int64"))
    calls = [call for call in step.program.program.calls if call.kernel.name.startswith("conv2d")]
    forward = [call for call in calls if call.kernel.name == "conv2d"]
    backward = [call for call in calls if call.kernel.name == "conv2d_to_input"]
    assert len(forward) == 7 and len(backward) == 6
    assert sum(bool(call.flags & RELU) for call in forward) == 3
    masked = [call for call in backward if call.ins[call.kernel.input("mask")] >= 0]
    assert len(masked) == 4 and sum(bool(call.flags & ACCUMULATE) for call in backward) == 2


def test_temporaries_of_many_sizes_share_memory() -> None:
    model = net()
    step = tr.capture(step_of(model))  # type: ignore[arg-type]
    step(tr.tensor(X), tr.tensor(Y, dtype="int64"))
    program = step.program.program
    _, arena = place_temporaries(program)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, call in enumerate(program.calls):
        for slot in (*call.outs, *call.ins):
            if slot >= 0 and program.slots[slot].role == "temporary":
                base = program.slots[slot].base
                first.setdefault(base, i)
                last[base] = i
    live = [sum(program.slots[b].nbytes for b in first if first[b] <= i <= last[b]) for i in range(len(program.calls))]
    assert arena <= 1.25 * max(live)


def test_memory_is_given_out_without_overlap() -> None:
    random = np.random.default_rng(0)
    arena = _Arena()
    taken: dict[int, int] = {}
    for _ in range(2000):
        if taken and random.random() < 0.5:
            offset = list(taken)[random.integers(len(taken))]
            arena.give(offset, taken.pop(offset))
        else:
            size = 64 * int(random.choice([1, 1, 2, 3, 8, 40, 64]))
            offset = arena.take(size)
            assert all(offset + size <= other or other + room <= offset for other, room in taken.items())
            taken[offset] = size
            assert offset + size <= arena.end
        assert max((o + s for o, s in taken.items()), default=0) <= arena.end
