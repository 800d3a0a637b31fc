"""Seeds of random tests: a few in the run that a developer waits for, all of them where slow tests run."""

from __future__ import annotations

from typing import Any

import pytest


def seeds(count: int, quick: int) -> list[Any]:
    """Parameters 0..count, those from `quick` on marked as slow."""
    return [pytest.param(seed, marks=[pytest.mark.slow] if seed >= quick else []) for seed in range(count)]
