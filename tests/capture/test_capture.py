"""Capture: recorded once, replayed in C, bit for bit what eager computes; and every way in which it can go wrong."""

from __future__ import annotations

import gc
import re
import threading
import tracemalloc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.backends import buffers, native
from tinyres.backends.buffers import Buffer, pending_writes
from tinyres.capture.passes import PASSES
from tinyres.errors import ArgumentError, CaptureError, GradientError, ShapeError, TinyresError
from tinyres.launch import door

OPTIMIZERS = {
    "sgd": lambda params: tr.optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda params: tr.optim.Adam(params, lr=0.01, clip_norm=0.5),
    "adamw": lambda params: tr.optim.AdamW(params, lr=0.01, weight_decay=0.1),
}


class Net:
    """Two residual blocks with everything that keeps state: BatchNorm, dropout, an optimizer."""

    def __init__(self, optimizer: str = "adam", dropout: float = 0.2) -> None:
        tr.manual_seed(3)
        inputs = x = tr.Input(shape=(12,))
        for i in range(2):
            with tr.name_scope(f"block{i}"):
                shortcut = x
                x = layers.Dense(12, activation="relu")(x)
                x = layers.BatchNorm()(x)
                x = layers.Dropout(dropout)(x)
                x = layers.Dense(12)(x)
                x = layers.Activation("relu")(layers.Add()([x, shortcut]))
        self.model = tr.Model(inputs, layers.Dense(4)(x))
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())

    def step(self, x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        loss = tr.losses.softmax_cross_entropy(self.model(x, training=True), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def everything(self) -> list[np.ndarray]:
        return [*self.model.get_weights(), *[p.grad.numpy() for p in self.model.parameters() if p.grad is not None]]


@pytest.fixture
def keep_threads() -> Iterator[None]:
    before = native.threads()
    yield
    tr.set_threads(before)


@pytest.fixture
def keep_backend() -> Iterator[None]:
    before = tr.backend()
    yield
    tr.set_backend(before)


def batches(steps: int, n: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, 12)).astype("f4"), rng.integers(0, 4, n)) for _ in range(steps)]


def trained(step, net: Net, steps: int = 100, schedule: bool = True) -> tuple[list[float], list[np.ndarray]]:
    losses = []
    for i, (x, y) in enumerate(batches(steps)):
        if schedule and i % 10 == 0:
            net.optimizer.lr = 0.05 / (1 + i)
        losses.append(float(step(tr.tensor(x), tr.tensor(y, dtype="int64"))))
    return losses, net.everything()


def assert_identical(a: tuple[list[float], list[np.ndarray]], b: tuple[list[float], list[np.ndarray]]) -> None:
    assert a[0] == b[0]
    assert len(a[1]) == len(b[1])
    for one, other in zip(a[1], b[1]):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_replay_is_eager_bit_for_bit(optimizer: str, threads: int, keep_threads: None) -> None:
    tr.set_threads(threads)
    eager = Net(optimizer)
    expected = trained(eager.step, eager)
    captured = Net(optimizer)
    assert_identical(trained(tr.capture(captured.step), captured), expected)


@pytest.mark.parametrize("passes", ["none", *PASSES, *[f"-{name}" for name in PASSES]])
def test_every_choice_of_passes_is_bit_for_bit_neutral(passes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    eager = Net()
    expected = trained(eager.step, eager, steps=12)
    monkeypatch.setenv("TINYRES_PASSES", passes)
    captured = Net()
    assert_identical(trained(tr.capture(captured.step), captured, steps=12), expected)


def test_the_reference_backend_replays_what_it_computes(keep_backend: None) -> None:
    tr.set_backend("reference")
    eager = Net()
    expected = trained(eager.step, eager, steps=10)
    captured = Net()
    assert_identical(trained(tr.capture(captured.step), captured, steps=10), expected)


def test_unknown_passes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYRES_PASSES", "fusion9")
    with pytest.raises(ArgumentError, match="TINYRES_PASSES names passes; got fusion9"):
        tr.capture(lambda x: x + 1.0)(np.ones(2))


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


def test_an_exception_halfway_leaves_everything_as_it_was() -> None:
    net = Net()
    before = net.everything()
    marker = tr.tensor(np.ones(12))
    net.model.parameters()[0].grad = tr.tensor(np.full(net.model.parameters()[0].shape, 7.0))

    def failing(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        net.step(x, y)
        return x @ marker.reshape(3, 4)

    (x, y) = batches(1)[0]
    with pytest.raises(ShapeError, match="matmul"):
        tr.capture(failing)(x, y)
    assert door.recorder is None
    for one, other in zip(before, net.model.get_weights()):
        np.testing.assert_array_equal(one, other)
    assert net.model.parameters()[0].grad.numpy().max() == 7.0
    assert net.model.parameters()[1].grad is None


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


def test_a_label_out_of_range_stops_the_list_and_changes_nothing() -> None:
    net = Net()
    step = tr.capture(net.step)
    (x, y), (x2, y2) = batches(2)
    step(x, y)
    before = net.everything()
    with pytest.raises(TinyresError, match="label"):
        step(x2, np.where(np.arange(8) == 5, 4, y2))
    for one, other in zip(before, net.everything()):
        np.testing.assert_array_equal(one, other)
    after = float(step(x2, y2))
    reference = Net()
    for pair in ((x, y), (x2, y2)):
        expected = reference.step(*[tr.tensor(a, dtype=a.dtype) for a in pair])
    assert after == float(expected), "the generator went on as if the failed step had not been"


def test_check_finite_stops_before_the_update_and_names_the_node() -> None:
    net = Net("sgd")
    step = tr.capture(net.step, check_finite=True)
    (x, y), (x2, y2) = batches(2)
    step(x, y)
    before = net.everything()
    x2[3, 2] = np.inf
    with pytest.raises(GradientError, match=r"\[check_finite\] the loss must be finite; block0/dense"):
        step(x2, y2)
    for one, other in zip(before, net.everything()):
        np.testing.assert_array_equal(one, other)


def test_check_reports_a_branch_that_depends_on_the_call() -> None:
    calls = []

    def step(x: tr.Tensor) -> tr.Tensor:
        calls.append(1)
        return x + 1.0 if len(calls) % 2 else x * 2.0

    with pytest.raises(CaptureError, match="they part at call 0"):
        tr.capture(step, check=True)(np.ones(3))


def test_check_passes_for_a_right_step() -> None:
    eager = Net()
    expected = trained(eager.step, eager, steps=3)
    net = Net()
    assert_identical(trained(tr.capture(net.step, check=True), net, steps=3), expected)


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


def test_every_pass_finds_its_work_in_a_residual_net() -> None:
    net = Net()

    def step(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        _ = net.model(x).sum()  # nobody sees this
        return net.step(x, y)

    captured = tr.capture(step, check_finite=True)
    captured(*batches(1)[0])
    done = {name: int(re.search(r"\d+", note)[0]) for name, note in captured.program.program.notes.items()}
    assert set(done) >= {"dead", "relu", "accumulate", "mask", "guard", "update"}
    assert all(done.values()), done


def test_dead_calls_are_removed_and_checks_are_not() -> None:
    @tr.capture
    def step(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        tr.losses.softmax_cross_entropy(x * 3.0, y)
        return x + 1.0

    step(np.ones((2, 4), "f4"), np.array([0, 1]))
    assert [call.kernel.name for call in step.program.program.calls] == ["check_labels", "add"]


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


def test_the_listing_shows_calls_sizes_and_memory() -> None:
    net = Net()
    step = tr.capture(net.step)
    with pytest.raises(CaptureError, match="call the step once"):
        _ = step.program
    step(*batches(1)[0])
    text = str(step.program)
    assert "matmul" in text and "block0/dense" in text and "MFLOP" in text and "before planning" in text
    assert step.program.executable.arena_bytes < step.program.executable.unplanned_bytes
