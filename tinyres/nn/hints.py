"""Hints: what is allowed and is seldom meant, said as a warning at the user's line, each kind once in a process."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.engine.state import user_source

if TYPE_CHECKING:
    from tinyres.nn.layer import Layer

_LEAST_AXES = 3  # of images; what has fewer may be numbers of another kind
_said: set[str] = set()


def said(kind: str) -> bool:
    """Whether a hint of this kind was given before."""
    return kind in _said


def hint(kind: str, words: str) -> None:
    """Warn with these words, unless a hint of this kind was given before."""
    if kind in _said:
        return
    _said.add(kind)
    file, line = user_source() or ("", 0)
    warnings.warn_explicit(words, UserWarning, file, line)


def hint_at_raw_bytes(op: str, layer: Layer, x: Any) -> None:
    """Where x is images of bytes, 0 to 255, that the layer's weights read before anything scales them."""
    if said("raw bytes") or not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim < _LEAST_AXES:
        return
    reader = _reader(layer)
    if not reader.weighs or not x.size or x.max() <= 1:
        return
    hint(
        "raw bytes",
        f"[{op}] images of bytes, 0 to 255, are cast and go into {reader.path} as they are; got uint8 of shape "
        f"{x.shape}; weights start out for values of about 1: divide by 255, or begin with layers.Rescaling(1 / 255)",
    )


def _reader(layer: Layer) -> Layer:
    """The layer that computes with what this one is called on: of a graph of layers the first that does."""
    inner = layer.layers if layer.call.__module__.startswith("tinyres.nn.") else []
    first = next((each for each in inner if not each.passes_values), None)
    return layer if first is None else _reader(first)
