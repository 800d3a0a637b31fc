"""The contenders by name, and how to get one ready."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import peers
from steps.task import Size, batch_of, first_weights

Step = Callable[[], object]

# name: (library that must be there, module, function)
CONTENDERS: dict[str, tuple[str, str, str]] = {
    "tinyres captured": ("tinyres", "in_tinyres", "captured"),
    "tinyres captured, 2 threads": ("tinyres", "in_tinyres", "captured_on_two_threads"),
    "tinyres eager": ("tinyres", "in_tinyres", "eager"),
    "numpy by hand": ("numpy", "in_numpy", "by_hand"),
    "torch eager": ("torch", "in_torch", "eager"),
    "torch fused optimizer": ("torch", "in_torch", "fused"),
    "jax jit": ("jax", "in_jax", "unrolled"),
    "jax jit, scanned": ("jax", "in_jax", "scanned"),
}
OURS = "tinyres captured"


def available() -> list[str]:
    """The contenders whose library is installed."""
    return [name for name, (library, _, _) in CONTENDERS.items() if peers.installed(library)]


def make(name: str, size: Size) -> Step:
    """A contender's step at this size, from the shared weights, on the shared batch."""
    _, module, function = CONTENDERS[name]
    return getattr(importlib.import_module(f"steps.{module}"), function)(size, first_weights(size), *batch_of(size))
