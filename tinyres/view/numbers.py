"""How numbers read in tables and sentences: three digits, "-" for what there is not."""

from __future__ import annotations

import math
from collections.abc import Iterable


def number(x: float | None) -> str:
    """Three significant digits: 64.2, 0.767, 1234, 1.17e-06; "-" for None."""
    if x is None:
        return "-"
    if not math.isfinite(x):
        return str(x)
    size = abs(x)
    if size == 0:
        return "0"
    if 1e-3 <= size < 999.5:
        return f"{x:#.3g}".rstrip(".")
    if 999.5 <= size < 99999.5:
        return f"{x:.0f}"
    return f"{x:.2e}"


def ratio(x: float | None) -> str:
    """A share or ratio of ordinary size: 0.649."""
    return f"{x:.3f}" if x is not None and abs(x) < 99.9995 else number(x)


def strength(x: float | None) -> str:
    """A ratio that is read at a glance: 0.74."""
    return f"{x:.2f}" if x is not None and (x == 0 or 0.005 <= abs(x) < 999.5) else number(x)


def are_whole(skips: Iterable[float | None], branches: Iterable[float | None]) -> bool:
    """Whether what came over skip and branch is all that came, to the digits that are shown, wherever both are told."""
    return all(s is None or b is None or abs(s + b - 1.0) < 0.0015 for s, b in zip(skips, branches))
