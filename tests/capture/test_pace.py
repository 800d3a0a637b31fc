"""The choice by the clock among ways to the same results."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinyres.capture import pace


class Machine:
    """Instead of the core: each function takes so many seconds."""

    def __init__(self, alone: float, shared: float) -> None:
        self.seconds = {"alone": alone, "shared": shared}
        self.now = 0.0
        self.ran: list[str] = []

    def running(self, name: str) -> Callable[[], int]:
        def run() -> int:
            self.ran.append(name)
            self.now += self.seconds[name]
            return -1

        return run

    def choice(self) -> pace.FasterOf:
        return pace.FasterOf(self.running("alone"), self.running("shared"))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    def made(*args: float) -> Machine:
        machine = Machine(*args)
        monkeypatch.setattr(pace, "perf_counter", lambda: machine.now)
        return machine

    return made


def runs(machine: Machine, choice: pace.FasterOf, count: int) -> list[str]:
    machine.ran.clear()
    for _ in range(count):
        assert choice.run() == -1
    return machine.ran.copy()


@pytest.mark.parametrize(("alone", "shared", "faster"), [(2.0, 1.0, "shared"), (1.0, 2.0, "alone")])
def test_the_faster_list_is_found_and_kept(
    alone: float, shared: float, faster: str, machine: Callable[..., Machine]
) -> None:
    m, trial = machine(alone, shared), 2 * pace.SPAN * pace.ROUNDS
    choice = m.choice()
    assert sorted(runs(m, choice, trial)) == ["alone"] * (trial // 2) + ["shared"] * (trial // 2)
    assert set(runs(m, choice, pace.STAY)) == {faster}
    assert len(set(runs(m, choice, trial))) == 2  # it may have changed: tried again


def test_the_fastest_of_three_is_found(machine: Callable[..., Machine]) -> None:
    m = machine(2.0, 1.5)
    m.seconds["halves"] = 1.0
    choice = pace.FasterOf(*map(m.running, ("alone", "halves", "shared")))
    assert len(set(runs(m, choice, 3 * pace.SPAN * pace.ROUNDS))) == 3
    assert set(runs(m, choice, pace.STAY)) == {"halves"}


def test_a_hopeless_trial_ends_at_once(machine: Callable[..., Machine]) -> None:
    m = machine(1.0, 50.0)
    assert runs(m, m.choice(), pace.STAY).count("shared") == 1
