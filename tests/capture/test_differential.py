"""Random programs of state changes, with captured steps and with the same steps in eager: bit for bit the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from changing_world import program


def assert_same(seed: int, eager: list[Any], captured: list[Any]) -> None:
    for i, (one, other) in enumerate(zip(eager, captured, strict=True)):
        assert other == one, f"program {seed} differs at action {i}"


def assert_all_same(seeds: range) -> None:
    for seed in seeds:
        assert_same(seed, program(seed, False), program(seed, True))


def assert_same_in_two_threads(seeds: range) -> None:
    eager = [program(seed, False, alone=False) for seed in seeds]
    with ThreadPoolExecutor(2) as threads:
        for seed, one, other in zip(seeds, eager, threads.map(lambda seed: program(seed, True, alone=False), seeds)):
            assert_same(seed, one, other)


@pytest.mark.parametrize("first", range(0, 90, 30))
def test_random_programs_are_the_same_captured(first: int) -> None:
    assert_all_same(range(first, first + 30))


@pytest.mark.slow
def test_random_programs_are_the_same_captured_in_two_threads_at_once() -> None:
    assert_same_in_two_threads(range(100, 130))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 10_000, 500))
def test_many_random_programs_are_the_same_captured(first: int) -> None:
    assert_all_same(range(first, first + 500))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 11_000, 500))
def test_many_random_programs_are_the_same_captured_in_two_threads_at_once(first: int) -> None:
    assert_same_in_two_threads(range(first, first + 500))
