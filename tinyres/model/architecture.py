"""Models as JSON: the layers with their constructors' arguments, and the calls between them.

A functional model is written as its layers and the list of calls that built it. A subclassed one is written as its
class, its arguments and the shapes it was built on. Classes and ops are called by module and name (`nets.Gate`;
`tinyres.Dense` for the library's own). `rebuilding` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.attributes import judge
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.errors import ArgumentError
from tinyres.nn.functional import Functional
from tinyres.nn.initializers import Initializer
from tinyres.nn.layer import Layer
from tinyres.nn.operators import InputLayer, OpLayer
from tinyres.nn.regularizers import Regularizer
from tinyres.nn.symbolic import Symbolic
from tinyres.store.definitions import path_of

KIND = "$"  # marks what JSON has no form for


def every_layer(layer: Layer) -> Iterator[Layer]:
    """The layer and all layers within it, outer ones first."""
    yield layer
    for inner in layer.layers:
        yield from every_layer(inner)


def encode_layer(layer: Layer) -> dict[str, Any]:
    """A layer as JSON. Raises ArgumentError for an argument that cannot be written down."""
    return _Writer().layer(layer)


class _Writer:
    """Writes one model, and sees to it that no two things in it go by one name."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}

    def path(self, owner: Layer, path: str, item: Any) -> str:
        """The path, if nothing else in this model has it."""
        if self._named.setdefault(path, item) is not item:
            raise ArgumentError(
                f"[save] a file finds classes and ops by module and name; two that differ are both called {path}, one "
                f"in {owner.path}; give each a name of its own"
            )
        return path

    def class_path(self, owner: Layer, cls: type) -> str:
        return self.path(owner, path_of(cls.__module__, cls.__qualname__), cls)

    def layer(self, layer: Layer) -> dict[str, Any]:
        kind: dict[str, Any] = {
            "class": self.class_path(layer, type(layer)),
            "name": layer.name,
            "dtype": str(layer.dtype),
        }
        if isinstance(layer, Functional) and layer.steps:
            return {**kind, "graph": self.graph(layer)}
        if isinstance(layer, InputLayer):
            return {**kind, "input": list(layer.shape)}
        if isinstance(layer, OpLayer):
            constants = {str(i): self.constant(layer, t) for i, t in layer.constants.items()}
            judge(layer.op, layer.attrs, "save")
            op = self.path(layer, f"{layer.op.path}()", layer.op).removesuffix("()")
            return {**kind, "op": op, "attrs": self.value(layer, layer.attrs), "constants": constants}
        config = {key: self.value(layer, value) for key, value in layer.config().items()}
        if isinstance(layer, Functional) and layer.built:
            return {**kind, "config": config, "built_on": layer.built_on}  # type: ignore[attr-defined]
        return {**kind, "config": config}

    def graph(self, model: Functional) -> dict[str, Any]:
        layers = [layer for _, layer in model._children()]  # Inputs too, which a Sequential does not list
        number = {id(layer): i for i, layer in enumerate(layers)}
        slots: dict[Symbolic, int] = {}
        for symbolic in model.inputs:
            slots[symbolic] = len(slots)

        def structure(value: Any) -> Any:
            if isinstance(value, Symbolic):
                return {KIND: "slot", "value": slots[value]}
            if isinstance(value, (list, tuple)):
                return _tagged_sequence(value, [structure(item) for item in value])
            if isinstance(value, dict):
                return {key: structure(item) for key, item in value.items()}
            return self.value(model, value)

        calls = []
        for call in model.calls:
            arguments = [structure(call.args), structure(call.kwargs)]
            made = flat_symbolics(call.outputs)
            for symbolic in made:
                slots.setdefault(symbolic, len(slots))
            calls.append([number[id(call.layer)], call.scope, *arguments, [slots[s] for s in made]])
        return {
            "layers": [self.layer(layer) for layer in layers],
            "inputs": [[number[id(s.producer.layer)], s.producer.scope, str(s.dtype)] for s in model.inputs],
            "calls": calls,
            "outputs": [slots[s] for s in model.outputs],
            "single": [model._single_input, model._single_output],
        }

    def value(self, layer: Layer, value: Any) -> Any:
        """An argument of a layer as JSON."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (np.integer, np.bool_, np.floating)):
            return value.item()
        if isinstance(value, (list, tuple)):
            return _tagged_sequence(value, [self.value(layer, item) for item in value])
        if isinstance(value, dict) and all(isinstance(key, str) and key != KIND for key in value):
            return {key: self.value(layer, item) for key, item in value.items()}
        if isinstance(value, Layer):
            return {KIND: "layer", "value": self.layer(value)}
        if isinstance(value, Initializer):
            path = self.class_path(layer, type(value))
            return {KIND: "initializer", "class": path, "value": self.value(layer, value.config())}
        if isinstance(value, Regularizer):
            path = self.class_path(layer, type(value))
            return {KIND: "regularizer", "class": path, "value": self.value(layer, value.config())}
        if isinstance(value, slice):
            return {KIND: "slice", "value": [self.value(layer, n) for n in (value.start, value.stop, value.step)]}
        if value is Ellipsis:
            return {KIND: "ellipsis"}
        if isinstance(value, np.dtype):
            return {KIND: "dtype", "value": value.name}
        if isinstance(value, np.ndarray):
            return _array(value)
        name = getattr(value, "__name__", "")
        if callable(value) and getattr(ops, name, None) is value:
            return {KIND: "op", "value": name}
        raise ArgumentError(
            f"[save] a file keeps numbers, strings, arrays and lists of them; {layer.path} was made with "
            f"{name or type(value).__name__}, a {type(value).__name__}; use a named one, or an own layer with config()"
        )

    def constant(self, layer: Layer, t: Tensor) -> dict[str, Any]:
        if isinstance(t, Parameter):  # its values stand with the weights
            return {"parameter": t.name, "shape": list(t.shape), "dtype": str(t.dtype)}
        return _array(t.numpy())


def flat_symbolics(structure: Any) -> list[Symbolic]:
    """The outputs of a call, in order."""
    if isinstance(structure, (list, tuple)):
        return [s for item in structure for s in flat_symbolics(item)]
    return [structure]


def _tagged_sequence(value: list[Any] | tuple[Any, ...], items: list[Any]) -> Any:
    return items if isinstance(value, list) else {KIND: "tuple", "value": items}


def _array(array: np.ndarray) -> dict[str, Any]:
    return {
        KIND: "array",
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "value": array.reshape(-1).tolist(),
    }
