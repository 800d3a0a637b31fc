"""SequentialStructure: a Functional that is a stack of layers, connected when the shape of its input is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyres.errors import ArgumentError, ShapeError
from tinyres.nn.functional import Functional
from tinyres.nn.layer import Layer
from tinyres.nn.operators import Input, InputLayer
from tinyres.nn.symbolic import Symbolic, forget_calls


class SequentialStructure(Functional):
    """Layers one after the other; the first may be an Input, without one the first call tells the shape.

    layers: Layers in order. Raises ArgumentError for anything else.
    """

    def __init__(self, layers: Sequence[Layer | Symbolic] | None = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self._stack: list[Layer] = []
        self._entry: Symbolic | None = None
        self._exit: Symbolic | None = None
        if layers is not None and not isinstance(layers, (list, tuple)):
            got = type(layers).__name__
            raise ArgumentError(f"[Sequential] it takes a list of layers; got {got}; write Sequential([...])")
        for layer in layers or ():
            self._append(layer)
        self._reconnect()

    @classmethod
    def from_graph(cls, inputs: Any, outputs: Any, name: str | None) -> SequentialStructure:
        """A stack of layers that are connected already."""
        model = cls(name=name)
        model._entry, model._exit = inputs, outputs
        model.connect(inputs, outputs)
        model._stack = [call.layer for call in model.calls]
        return model

    def add(self, layer: Layer | Symbolic) -> None:
        """Put a layer on top."""
        self._append(layer)
        self._reconnect()

    def pop(self) -> Layer:
        """Take the last layer off, and return it."""
        if not self._stack:
            raise ArgumentError("[Sequential] it has no layers yet; got pop; add some first")
        last = self._stack.pop()
        if self._entry is not None:
            self._enter(self._entry)
        self._reconnect()
        return last

    def build(self, input_shape: Any) -> None:
        """Connect the layers for an input of this shape."""
        if not self._stack:
            raise ArgumentError("[Sequential] it has no layers yet; got called; add some first")
        if not isinstance(input_shape, tuple) or len(input_shape) < 2:
            raise ShapeError(
                f"[Sequential] it takes a batch, (n, ...); got shape {input_shape}; for one sample use x.reshape(1, -1)"
            )
        self._enter(Input(shape=input_shape[1:]))
        self._reconnect()

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the Input."""
        return list(self._stack)

    def _append(self, layer: Any) -> None:
        if isinstance(layer, Symbolic) and isinstance(layer.producer.layer, InputLayer) and not self._stack:
            self._enter(layer)
        elif isinstance(layer, InputLayer) and not self._stack:
            self._enter(Input(layer.shape, layer.name, layer.dtype))
        elif isinstance(layer, Layer):
            if self._entry is None and not self._stack and layer.sample_shape is not None:
                self._enter(Input(layer.sample_shape))
            if self._exit is not None:
                self._exit = layer(self._exit)
            self._stack.append(layer)
        else:
            raise ArgumentError(
                f"[Sequential] it takes layers, with an Input only at the beginning; got {layer!r}; "
                "for branches use tr.Model(inputs, outputs)"
            )

    def _enter(self, entry: Symbolic) -> None:
        self._entry = self._exit = entry
        for layer in self._stack:
            forget_calls(layer)
            self._exit = layer(self._exit)

    def _reconnect(self) -> None:
        if self._entry is not None and self._stack:
            self.connect(self._entry, self._exit)
