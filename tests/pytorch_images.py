"""Images between tinyres, whose channels stand last, and PyTorch, whose channels stand first."""

from __future__ import annotations

from typing import Any


def channels_first(x: Any) -> Any:
    return x.permute(0, 3, 1, 2)


def channels_last(x: Any) -> Any:
    return x.permute(0, 2, 3, 1)
