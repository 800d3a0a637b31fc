"""Sequential: a Model that is a stack of layers."""

from __future__ import annotations

from typing import Any

from tinyres.model.model import Model
from tinyres.nn.sequential import SequentialStructure


class Sequential(SequentialStructure, Model):
    """Layers one after the other, each called on the output of the one before.

    layers: in order; the first may be a tr.Input, without one the first data tells the shape.
    Raises ArgumentError for anything else.

    >>> import numpy as np
    >>> import tinyres as tr
    >>> model = tr.Sequential([tr.Input(shape=(4,)), tr.layers.Dense(8, activation="relu"), tr.layers.Dense(3)])
    >>> model(np.zeros((2, 4))).shape
    (2, 3)
    """

    @classmethod
    def from_graph(cls, inputs: Any, outputs: Any, name: str | None) -> Sequential:
        """A stack of layers that are connected already."""
        model = cls(name=name)
        model._entry, model._exit = inputs, outputs
        model.connect(inputs, outputs)
        model._stack = [call.layer for call in model.calls]
        return model
