"""Capture: recorded once, replayed in C, bit for bit what eager computes; and every way in which it can go wrong."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from stateful_net import OPTIMIZERS, Net, assert_identical, trained

import tinyres as tr
from tinyres import layers
from tinyres.backends import buffers
from tinyres.backends.buffers import Buffer, pending_writes
from tinyres.errors import CaptureError, GradientError, TinyresError
from tinyres.launch import door


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_replay_is_eager_bit_for_bit(optimizer: str, threads: int, keep_threads: None) -> None:
    tr.set_threads(threads)
    eager = Net(optimizer)
    expected = trained(eager.step, eager)
    captured = Net(optimizer)
    assert_identical(trained(tr.capture(captured.step), captured), expected)


def test_the_reference_backend_replays_what_it_computes(keep_backend: None) -> None:
    tr.set_backend("reference")
    eager = Net()
    expected = trained(eager.step, eager, steps=10)
    captured = Net()
    assert_identical(trained(tr.capture(captured.step), captured, steps=10), expected)


def test_new_shapes_are_captured_anew_and_cached() -> None:
    runs = []

    @tr.capture
    def double(x: tr.Tensor) -> tr.Tensor:
        runs.append(x.shape)
        return x * 2.0

    for n in (4, 3, 4, 3, 4):
        np.testing.assert_array_equal(double(np.arange(n) * 1.0).numpy(), 2.0 * np.arange(n))
    assert runs == [(4,), (3,)]


def test_constants_are_part_of_the_signature() -> None:
    scale = tr.capture(lambda x, factor, flip=False: -x * factor if flip else x * factor)
    assert scale(np.ones(1), 2.0).item() == 2.0
    assert scale(np.ones(1), 3.0).item() == 3.0
    assert scale(np.ones(1), 3.0, flip=True).item() == -3.0


def test_constants_of_other_types_are_other_signatures() -> None:
    step = tr.capture(lambda x, options: x * (2.0 if options[0] is True else 5.0))
    assert step(np.ones(1), (True, "a")).item() == 2.0
    assert step(np.ones(1), (1, "a")).item() == 5.0
    assert step(np.ones(1), (True, "a")).item() == 2.0


def test_nested_results_and_the_same_array_twice() -> None:
    step = tr.capture(lambda pair: {"sum": pair[0] + pair[1], "parts": [pair[0], 7]})
    x = np.array([1.0, 2.0], "f4")
    result = step((x, x))
    np.testing.assert_array_equal(result["sum"].numpy(), [2.0, 4.0])
    np.testing.assert_array_equal(result["parts"][0].numpy(), x)
    assert result["parts"][1] == 7


def test_returned_values_are_copies() -> None:
    double = tr.capture(lambda x: x * 2.0)
    first = double(np.array([1.0]))
    double(np.array([5.0]))
    assert first.item() == 2.0


def test_gradients_accumulate_over_replays_without_zero_grad() -> None:
    w = tr.Parameter(np.array([2.0]), "w")

    @tr.capture
    def accumulate(x: tr.Tensor) -> None:
        (w * x).sum().backward()

    for _ in range(3):
        accumulate(np.array([5.0]))
    assert w.grad.item() == 15.0
    w.grad = None
    accumulate(np.array([5.0]))


def test_two_losses_in_one_step_accumulate_as_in_eager() -> None:
    w = tr.Parameter(np.array([2.0]), "w")

    def step(x: tr.Tensor) -> tr.Tensor:
        w.grad = None
        (w * x).sum().backward()
        loss = (w * w).sum()
        loss.backward()
        return loss

    captured = tr.capture(step)
    for x in (1.0, 3.0):
        step(tr.tensor([x]))
        expected = w.grad.item()
        captured(np.array([x]))
        assert w.grad.item() == expected == x + 4.0


def test_the_learning_rate_is_honoured() -> None:
    w = tr.Parameter(np.array([1.0]), "w")
    optimizer = tr.optim.SGD([w], lr=1.0)

    @tr.capture
    def step() -> tr.Tensor:
        loss = (w * 1.0).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step()
    assert w.item() == 0.0
    optimizer.lr = 10.0
    step()
    assert w.item() == -10.0


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (lambda x, net: float(x.sum()), r"\[item\] a value cannot be read while a step is being captured"),
        (lambda x, net: x.numpy(), r"\[numpy\] a value cannot be read"),
        (lambda x, net: np.asarray(x), r"\[numpy\] a value cannot be read"),
        (lambda x, net: bool((x > 0).sum()), r"cannot"),
        (lambda x, net: tr.Parameter([1.0], "p"), r"\[parameter\] a parameter cannot be created"),
        (lambda x, net: layers.Dense(3)(x), r"\[layer\] <Dense dense, not built> cannot be built"),
        (lambda x, net: tr.optim.SGD(net.model.parameters(), lr=0.1), r"cannot"),
        (lambda x, net: net.model.parameters()[0].assign(0), r"\[assign\] .* cannot be assigned"),
        (lambda x, net: setattr(net.optimizer, "lr", 0.1), r"\[lr\] the learning rate cannot be set while"),
        (lambda x, net: tr.capture(lambda z: z)(x), r"\[capture\] another step cannot be called"),
        (lambda x, net: tr.manual_seed(1), r"cannot"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_the_remedy(inside, words: str) -> None:
    net = Net()

    def step(x: tr.Tensor) -> tr.Tensor:
        inside(x, net)
        return x

    with pytest.raises(TinyresError, match=words) as caught:
        tr.capture(step)(np.ones((2, 12), "f4"))
    assert "return the Tensor from the step" in str(caught.value) or isinstance(caught.value, TinyresError)
    assert door.recorder is None


def test_a_leaked_tensor_cannot_be_read() -> None:
    leaked = []

    @tr.capture
    def step(x: tr.Tensor) -> tr.Tensor:
        leaked.append(x * 3.0)
        return leaked[-1] + 1.0

    step(np.ones(2))
    with pytest.raises(CaptureError, match="made inside a captured step .* return it from the step"):
        leaked[0].numpy()
    with pytest.raises(CaptureError, match="made inside a captured step"):
        leaked[0] + 1.0


def test_a_saved_value_that_a_replay_changed_is_an_error() -> None:
    w = tr.Parameter(np.ones((3, 3)), "w")
    optimizer = tr.optim.SGD([w], lr=0.1)

    @tr.capture
    def step(x: tr.Tensor) -> tr.Tensor:
        loss = (x @ w).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = tr.tensor(np.ones((3, 3)), requires_grad=True)
    loss = (x @ w).sum()
    step(np.ones((3, 3)))
    with pytest.raises(GradientError, match="w .* was changed in place"):
        loss.backward()


@pytest.mark.slow
def test_ten_thousand_captures_leave_nothing_behind() -> None:
    def once() -> weakref.ref[Buffer]:
        step = tr.capture(lambda x: x * 2.0 + 1.0)
        step(x)
        return weakref.ref(step.program.executable._arena)

    def kept_by(captures: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in range(captures):
            once()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return kept

    x = tr.tensor(np.ones(1000))
    assert not any(once()() for _ in range(9_000))
    kept_by(200)
    assert kept_by(800) < 100_000, "more than a hundred bytes for each capture that is gone"
    assert not pending_writes


def test_notes_of_writes_settle_while_their_writers_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector once took the last writer between the question whether there is one and the answer."""

    class Vanishing(dict):
        def __bool__(self) -> bool:
            return True

    buffer = Buffer(1, np.dtype("float32"))
    monkeypatch.setattr(buffers, "pending_writes", Vanishing({1: [buffer], 2: []}))
    buffers.settle_writes()
    assert buffer.version == 1 and len(buffers.pending_writes) == 0


def test_two_threads_train_two_nets_at_once() -> None:
    expected = []
    for name in OPTIMIZERS:
        net = Net(name, dropout=0.0)
        expected.append(trained(net.step, net, steps=40))
    nets = [Net(name, dropout=0.0) for name in OPTIMIZERS]
    results: dict[int, tuple[list[float], list[np.ndarray]]] = {}

    def work(i: int) -> None:
        results[i] = trained(tr.capture(nets[i].step), nets[i], steps=40)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(nets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, wanted in enumerate(expected):
        assert_identical(results[i], wanted)
