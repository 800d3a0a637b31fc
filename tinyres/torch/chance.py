"""The loss of the best answer that ignores the input, where the last call of a loss tells it."""

from __future__ import annotations

import math
from typing import Any

from tinyres.torch.library import torch

_DEFAULTS = {"weight": None, "size_average": None, "reduce": None, "ignore_index": -100, "label_smoothing": 0.0}


def chance_of(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> float | None:
    """Of a cross-entropy all classes alike, of a squared error the mean of the targets: their variance."""
    given = dict(zip(("input", "target"), args)) | options
    x, target = given.pop("input", None), given.pop("target", None)
    as_usual = given.pop("reduction", "mean") == "mean" and all(_DEFAULTS.get(k, v) == v for k, v in given.items())
    if not (as_usual and len(args) <= 2 and isinstance(x, torch.Tensor) and isinstance(target, torch.Tensor)):
        return None
    if name == "cross_entropy" and not target.is_floating_point() and x.dim() > 1:
        return math.log(x.shape[1])
    if name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        return math.log(2)
    if name == "mse_loss" and target.dim():
        return float(target.detach().double().var(dim=0, unbiased=False).mean())
    return None
