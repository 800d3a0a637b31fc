"""`.grad` under capture is what it is in eager: what a replay finds there, what it leaves, and what is held stays."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import CaptureError


class Line:
    """One weight, an optimizer that moves it, and w · x as the loss."""

    def __init__(self) -> None:
        self.w = tr.tensor([1.0, 2.0], requires_grad=True)
        self.opt = tr.optim.SGD([self.w], lr=0.25)

    def accumulate(self, x: tr.Tensor) -> None:
        (self.w * x).sum().backward()

    def seen(self) -> list[Any]:
        return [self.w.numpy().tolist(), None if self.w.grad is None else self.w.grad.numpy().tolist()]


def both(run: Callable[[Line, Callable[..., Any]], list[Any]]) -> None:
    """The same with steps of `Line.accumulate` in eager and captured."""
    eager, captured = Line(), Line()
    expected = run(eager, lambda *a: eager.accumulate(*map(tr.tensor, a)))
    assert run(captured, tr.capture(captured.accumulate)) == expected


def test_accumulation_reads_what_grad_is() -> None:
    def rounds(line: Line, accumulate: Callable[..., Any]) -> list[Any]:
        seen = []
        for _ in range(3):
            accumulate(np.ones(2))
            seen += line.seen()
            line.opt.step()
            line.opt.zero_grad()
        return seen

    both(rounds)


def test_several_batches_an_eager_backward_and_an_assignment_between_replays() -> None:
    def rounds(line: Line, accumulate: Callable[..., Any]) -> list[Any]:
        seen = []
        for i in range(4):
            accumulate(np.ones(2))
            accumulate(np.full(2, 3.0))
            seen += line.seen()
            (line.w * line.w).sum().backward()
            accumulate(np.ones(2))
            seen += line.seen()
            line.w.grad = tr.tensor([7.0, float(i)])
            accumulate(np.ones(2))
            accumulate(np.ones((3, 2)))
            seen += line.seen()
            line.opt.step()
            if i % 2:
                line.opt.zero_grad()
        return seen

    both(rounds)


def test_a_gradient_that_is_held_stays_as_it_was() -> None:
    def rounds(line: Line, accumulate: Callable[..., Any]) -> list[Any]:
        held = [tr.tensor([5.0, 5.0])]
        line.w.grad = held[0]
        for i in range(4):
            accumulate(np.full(2, float(i)))
            held.append(line.w.grad)
        return [g.numpy().tolist() for g in held]

    both(rounds)


def test_clearing_at_the_end_of_the_step_and_reading_within_it() -> None:
    def step(line: Line, x: tr.Tensor) -> tr.Tensor:
        before = line.w.grad
        (line.w * x).sum().backward()
        line.opt.step()
        seen = line.w.grad * 1.0 if before is None else line.w.grad - before
        line.opt.zero_grad()
        return seen

    eager, line = Line(), Line()
    captured = tr.capture(lambda x: step(line, x))
    for i in range(4):
        if i == 2:
            eager.w.grad, line.w.grad = tr.tensor([9.0, 1.0]), tr.tensor([9.0, 1.0])
        x = np.full(2, float(i))
        assert captured(x).numpy().tolist() == step(eager, tr.tensor(x)).numpy().tolist()
        assert line.seen() == eager.seen()


@pytest.mark.parametrize("make", [tr.Parameter, lambda v, name: tr.tensor(v, requires_grad=True, name=name)])
def test_leaves_among_the_arguments_get_their_gradient_and_are_moved(make: Callable[..., tr.Tensor]) -> None:
    def run(wrap: Callable[[Any], Any]) -> list[Any]:
        w, v = make([1.0, 2.0], "w"), make([3.0, 4.0], "v")
        opt = tr.optim.SGD([w], lr=0.5)
        w.grad = tr.tensor([100.0, 100.0])

        def step(w: tr.Tensor, v: tr.Tensor) -> None:
            opt.zero_grad()
            (w * v).sum().backward()
            opt.step()

        stepped = wrap(step)
        seen = []
        for _ in range(3):
            stepped(w, v)
            seen += [t.numpy().tolist() for t in (w, v, w.grad, v.grad)]
        other = make([5.0, 6.0], "other")
        stepped(w, other)
        return [*seen, *[t.numpy().tolist() for t in (w, v, w.grad, v.grad, other.grad)]]

    assert run(tr.capture) == run(lambda step: step)


def test_fresh_leaves_as_arguments_share_one_program() -> None:
    slope = tr.capture(lambda x: (x * x).sum().backward())
    for i in range(4):
        x = tr.tensor([float(i)], requires_grad=True)
        slope(x)
        assert x.grad.item() == 2.0 * i
    assert len(slope.programs) == 1


def test_an_old_gradient_of_a_fresh_leaf_is_accumulated_onto() -> None:
    slope = tr.capture(lambda x: (x * x).sum().backward())
    for old in (None, 5.0, 7.0, None):
        x = tr.tensor([3.0], requires_grad=True)
        x.grad = None if old is None else tr.tensor([old])
        held = x.grad
        slope(x)
        slope(x)
        assert x.grad.item() == 12.0 + (old or 0.0)
        assert held is None or held.item() == old


def test_a_gradient_that_would_flow_on_from_an_argument_is_an_error() -> None:
    w = tr.tensor([1.0], requires_grad=True)
    step = tr.capture(lambda x: x.sum().backward())
    with pytest.raises(CaptureError, match=r"\[capture\] a gradient ends at the arguments .* computed from others"):
        step(w * 2.0)
    assert w.grad is None


def test_a_gradient_that_is_an_argument_or_another_gradient() -> None:
    def run(wrap: Callable[[Any], Any]) -> list[Any]:
        a, b = tr.tensor([1.0], requires_grad=True), tr.tensor([2.0], requires_grad=True)

        def step(x: tr.Tensor) -> None:
            (a * b * x).sum().backward()
            b.grad = a.grad
            (a * x).sum().backward()

        def assign(x: tr.Tensor) -> None:
            a.grad = x

        stepped, assigned = wrap(step), wrap(assign)
        seen = []
        for i in range(3):
            stepped(tr.tensor([float(i + 1)]))
            seen += [a.grad.item(), b.grad.item()]
            assigned(tr.tensor([3.0]))
            held = a.grad
            assigned(tr.tensor([4.0]))
            seen += [a.grad.item(), held.item()]
        return seen

    assert run(tr.capture) == run(lambda step: step)


def test_a_refused_first_call_leaves_grad_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    w = tr.tensor([1.0], requires_grad=True)

    def step(x: tr.Tensor) -> tr.Tensor:
        loss = tr.sum(tr.log(w * x))
        loss.backward()
        return loss

    captured = tr.capture(step, check_finite=True)
    with pytest.raises(tr.errors.NonFiniteError):
        captured(np.array([-1.0]))
    assert w.grad is None
    monkeypatch.setenv("TINYRES_PASSES", "nonsense")
    with pytest.raises(tr.errors.ArgumentError, match="TINYRES_PASSES"):
        tr.capture(step)(np.array([1.0]))
    assert w.grad is None
    monkeypatch.delenv("TINYRES_PASSES")
    calls = []

    def changing(x: tr.Tensor) -> None:
        calls.append(1)
        (w * x * float(len(calls))).sum().backward()

    with pytest.raises(CaptureError):
        tr.capture(changing, check=True)(np.array([1.0]))
    assert w.grad is None
    captured(np.array([2.0]))
    assert w.grad.item() == 1.0
    with pytest.raises(tr.errors.NonFiniteError):
        captured(np.array([-1.0]))
    assert w.grad.item() == 1.0


def test_an_interrupt_after_the_recording_leaves_grad_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    w = tr.tensor([1.0], requires_grad=True)
    step = tr.capture(lambda x: (w * x).sum().backward())

    def interrupted(program: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("tinyres.capture.step"), "Executable", interrupted)
        with pytest.raises(KeyboardInterrupt):
            step(np.array([3.0]))
    assert w.grad is None
    step(np.array([3.0]))
    assert w.grad.item() == 3.0
