"""Keras' names, for a tutorial whose two import lines are changed: `import tinyres as tf`, `from tinyres import layers`."""

from __future__ import annotations

from tinyres.model import Model, Sequential
from tinyres.nn import layers
from tinyres.nn.operators import Input

__all__ = ["Input", "Model", "Sequential", "layers"]
