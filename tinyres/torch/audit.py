"""Does a gradient add up: is what a node was handed the sum of what came over its edges?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinyres.torch.library import torch


def differences(cotangents: Sequence[Any], total: Any) -> Iterator[tuple[str, float]]:
    """What is wrong, and by how much; nothing where all is within k·(u·Σ|g_e| + t) elementwise.

    k edges, u the unit roundoff of the dtype, t its smallest normal number. Where the sum itself is not finite, the
    gradient must not be either.
    """
    parts = [c for c in cotangents if c is not None]
    if not parts or (len(parts) == 1 and parts[0] is total):
        return
    if total is None:
        yield f"{len(parts)} gradients came to it and none was passed on", float("nan")
        return
    exact = torch.zeros(total.shape, dtype=torch.float64, device=total.device)
    magnitude = torch.zeros_like(exact)
    for part in parts:
        exact += part
        magnitude += part.abs()
    numbers = torch.finfo(total.dtype)
    difference = (total - exact).abs()
    tolerance = len(parts) * (numbers.eps / 2 * magnitude + numbers.tiny)
    overflow = ~torch.isfinite(exact) | (magnitude > numbers.max)
    wrong = torch.where(overflow, torch.isfinite(total) & ~torch.isfinite(exact), ~(difference <= tolerance))
    if bool(wrong.any()):
        worst = float(torch.where(wrong, difference, torch.zeros_like(difference)).max())
        yield f"its gradient is not the sum of its {len(parts)} edges, off by up to {worst:.3g}", worst
