"""Fans of a kernel by its shape, as initialisers and laws of their variance count them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a kernel: (inputs, outputs), all leading axes of more than two being a receptive field."""
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field
