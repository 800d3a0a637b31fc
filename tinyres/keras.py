"""Keras' names, for a tutorial whose import lines become `import tinyres as tf` and `from tinyres import layers`."""

from __future__ import annotations

from tinyres import layers
from tinyres.model import Model, Sequential
from tinyres.nn.operators import Input

__all__ = ["Input", "Model", "Sequential", "layers"]
