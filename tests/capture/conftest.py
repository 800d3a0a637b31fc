"""Fixtures that put back what a test changes for the whole process."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator

import pytest

import tinyres as tr
from tinyres.backends import native


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


class Always:
    """Instead of the choice by the clock: a shared list at every run, each in turn."""

    def __init__(self, alone: Callable[[], int], *shared: Callable[[], int]) -> None:
        turns = itertools.cycle(shared)
        self.run = lambda: next(turns)()


@pytest.fixture
def always_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share every list among workers, whatever it gains."""
    plan = importlib.import_module("tinyres.capture.plan")
    monkeypatch.setattr(plan, "worth_sharing", lambda planned: True)
    monkeypatch.setattr(plan, "FasterOf", Always)
