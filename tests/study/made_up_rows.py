"""Rows as experiments give them, with made-up numbers: for tests of what is said of them and what is not."""

from __future__ import annotations

from typing import Any

from tinyres.study.spread import Factor, Spread

SEEDS = 3


def around(mean: float | None, sd: float = 0.01) -> Spread:
    """Three seeds of this mean and standard deviation; None: all diverged."""
    return Spread((None,) * SEEDS if mean is None else (mean - sd, mean, mean + sd))


def factor(mean: float, sd: float = 1.1) -> Factor:
    """Three seeds of this geometric mean, a factor sd apart."""
    return Factor((mean / sd, mean, mean * sd))


def trained(train: float | None, test: float | None = None, sd: float = 0.01, rate: str = "0.01") -> dict[str, Any]:
    """What a sweep says of a net with these errors."""
    errors = around(train, sd)
    moving = {"train_moving": errors, "test_moving": errors}
    validation = {"0.01": [0.1] * SEEDS, "0.03": [0.2] * SEEDS}
    test_errors = around(train if test is None else test, sd)
    return {"rate": 0.01, "rate_text": rate, "train": errors, "test": test_errors, **moving, "validation": validation}
