"""Learning-rate schedules: Keras' numbers by hand, and that captured steps follow them without being recorded again."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, CaptureError, FileError
from tinyres.optim import SGD, Adam, schedules
from tinyres.optim.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
    WarmupCosine,
)

RULES = [
    (ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 * math.sqrt(0.5), 10: 0.05, 25: 0.1 * 0.5**2.5}),
    (ExponentialDecay(0.1, 10, 0.5, staircase=True), {0: 0.1, 9: 0.1, 10: 0.05, 19: 0.05, 20: 0.025}),
    (InverseTimeDecay(1.0, 2, 0.5), {0: 1.0, 2: 1 / 1.5, 3: 1 / 1.75}),
    (InverseTimeDecay(1.0, 2, 0.5, staircase=True), {1: 1.0, 3: 1 / 1.5}),
    (PolynomialDecay(1.0, 4, 0.2, power=2.0), {0: 1.0, 2: 0.8 * 0.25 + 0.2, 4: 0.2, 9: 0.2}),
    (PolynomialDecay(1.0, 4, 0.0, cycle=True), {0: 1.0, 4: 0.0, 6: 0.25, 8: 0.0}),
    (PiecewiseConstantDecay([2, 4], [3.0, 2.0, 1.0]), {0: 3.0, 2: 3.0, 3: 2.0, 4: 2.0, 5: 1.0, 99: 1.0}),
    (CosineDecay(1.0, 4), {0: 1.0, 1: 0.5 * (1 + math.cos(math.pi / 4)), 2: 0.5, 4: 0.0, 9: 0.0}),
    (CosineDecay(1.0, 4, alpha=0.2), {0: 1.0, 2: 0.6, 4: 0.2, 9: 0.2}),
    (CosineDecay(0.1, 4, warmup_target=1.0, warmup_steps=3), {0: 0.1, 1: 0.4, 3: 1.0, 5: 0.5, 7: 0.0, 8: 0.0}),
    (CosineDecayRestarts(1.0, 2, t_mul=2.0, m_mul=0.5), {0: 1.0, 1: 0.5, 2: 0.5, 4: 0.25, 6: 0.25, 10: 0.125}),
    (CosineDecayRestarts(1.0, 2, t_mul=1.0, alpha=0.1), {0: 1.0, 1: 0.55, 2: 1.0, 7: 0.55}),
    (WarmupCosine(1.0, 4, 8, end=0.1), {0: 0.0, 1: 0.25, 4: 1.0, 6: 0.55, 8: 0.1, 20: 0.1}),
]


@pytest.mark.parametrize(("schedule", "rates"), RULES, ids=lambda v: type(v).__name__)
def test_rates(schedule, rates):
    for step, rate in rates.items():
        assert schedule(step) == pytest.approx(rate, rel=1e-12, abs=1e-15), step
    again = schedules.decode(schedules.encode(schedule))
    assert repr(again) == repr(schedule) and all(again(n) == schedule(n) for n in range(30))


def losses_of(capture, schedule, steps=12, watch=None):
    w = tr.tensor([1.0, -2.0], requires_grad=True)
    opt = SGD([w], learning_rate=schedule, momentum=0.5)

    def step(x):
        loss = ((w - x) ** 2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    run = tr.capture(step) if capture else step
    found = []
    for _ in range(steps):
        assert opt.lr == schedule(opt.steps)
        run(tr.tensor([0.5, 0.5]))
        found.append(w.numpy().tobytes())
    if capture:
        assert len(run.programs) == 1
    return found


@pytest.mark.parametrize("schedule", [s for s, _ in RULES], ids=lambda v: type(v).__name__)
def test_a_captured_step_follows_its_schedule_without_being_recorded_again(schedule):
    assert losses_of(True, schedule) == losses_of(False, schedule)
    constant = [losses_of(True, ExponentialDecay(schedule(0), 1, 1.0))[-1]]
    assert losses_of(True, schedule)[-1] != constant[0]


def test_each_step_takes_the_rate_of_its_number():
    w = tr.tensor([0.0], requires_grad=True)
    opt = SGD([w], lr=PiecewiseConstantDecay([0, 1], [1.0, 10.0, 100.0]))
    for expected in (-1.0, -11.0, -111.0, -211.0):
        w.grad = tr.tensor([1.0])
        opt.step()
        assert w.item() == expected


def test_checked_captures_with_a_schedule_agree_with_python():
    w = tr.tensor([1.0], requires_grad=True)
    opt = SGD([w], lr=ExponentialDecay(0.1, 1, 0.5))

    @tr.capture(check=True)
    def step(x):
        loss = (w * x).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()

    for n in (1, 1, 2):
        step(tr.tensor(np.ones(n)))
    assert w.item() == pytest.approx(1 - 0.1 - 0.05 - 2 * 0.025, rel=1e-6)


def test_a_step_with_a_schedule_is_taken_once_per_recording():
    w = tr.tensor([1.0], requires_grad=True)
    opt = SGD([w], lr=ExponentialDecay(0.1, 1, 0.5))

    @tr.capture
    def twice(x):
        (w * x).sum().backward()
        opt.step()
        opt.step()

    with pytest.raises(CaptureError, match=r"\[sgd\] a step that Python prepares cannot be taken twice"):
        twice(tr.tensor([1.0]))


def model_of(seed=0):
    tr.manual_seed(seed)
    model = tr.Sequential([tr.Input(shape=(3,)), tr.layers.Dense(2)])
    model.compile(Adam(lr=WarmupCosine(0.1, 3, 12)), loss="mse")
    return model


def test_fit_follows_a_schedule_and_goes_on_with_it_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    whole, eager, part = model_of(), model_of(), model_of()
    for model, options in ((whole, {}), (eager, {"capture": False})):
        tr.manual_seed(1)
        model.fit(x, y, batch_size=4, epochs=4, verbose=0, **options)
    tr.manual_seed(1)
    part.fit(x, y, batch_size=4, epochs=2, verbose=0)
    part.save(tmp_path / "m.npz")
    loaded = tr.load(tmp_path / "m.npz")
    assert repr(loaded.optimizer.schedule) == repr(part.optimizer.schedule)
    loaded.fit(x, y, batch_size=4, epochs=4, initial_epoch=2, verbose=0)
    assert [w.tobytes() for w in whole.get_weights()] == [w.tobytes() for w in eager.get_weights()]
    assert [w.tobytes() for w in whole.get_weights()] == [w.tobytes() for w in loaded.get_weights()]


ERRORS = [
    (lambda: SGD(lr=CosineDecay(-1.0, 3)), ArgumentError, r"\[CosineDecay\] initial_learning_rate is a finite number"),
    (
        lambda: CosineDecay(1.0, 0),
        ArgumentError,
        r"\[CosineDecay\] decay_steps is a number of steps, at least 1; got 0",
    ),
    (lambda: PiecewiseConstantDecay([3, 1], [1, 2, 3]), ArgumentError, r"which rise; got boundaries \[3, 1\] and 3"),
    (lambda: PiecewiseConstantDecay([3], [1]), ArgumentError, r"one value more than there are boundaries"),
    (lambda: WarmupCosine(1.0, 5, 5), ArgumentError, r"longer than its warm-up; got total_steps=5, warmup_steps=5"),
    (lambda: CosineDecayRestarts(1.0, 5, t_mul=0.5), ArgumentError, r"t_mul is a number >= 1; got 0.5"),
    (
        lambda: setattr(SGD(lr=CosineDecay(0.1, 3)), "lr", 1.0),
        ArgumentError,
        r"\[sgd\] the learning rate is given by CosineDecay.*; got 1.0; make the optimizer with a number",
    ),
    (
        lambda: schedules.decode({"schedule": "Gone", "config": {}}),
        FileError,
        r"a schedule of class Gone, which is not defined",
    ),
]


@pytest.mark.parametrize(("act", "error", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors(act, error, message):
    with pytest.raises(error, match=message):
        act()
