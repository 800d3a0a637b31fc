"""Models out of JSON: what `architecture` wrote, rebuilt by making the layers and calling them again in that order.

Classes and ops are found by name among those that are defined when the file is read; nothing in a file is executed.
What it says is judged before it is used: attributes by what the op declares, sizes by what stands in the file, shapes
by the ops themselves in a run in which no kernel runs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.attributes import judge
from tinyres.engine.op import DEFINED_OPS
from tinyres.engine.state import name_scope, no_grad, preserving
from tinyres.engine.tensor import FLOATS, Parameter, Tensor, tensor
from tinyres.launch import DryRecorder, recording
from tinyres.model.architecture import KIND, flat_symbolics
from tinyres.nn.initializer import INITIALIZER_CLASSES, INITIALIZERS
from tinyres.nn.layer import LAYERS, Layer
from tinyres.nn.operators import Input, OpLayer
from tinyres.nn.regularizers import REGULARIZER_CLASSES
from tinyres.nn.symbolic import Symbolic, symbolics
from tinyres.ops.random import preserving_generator
from tinyres.store.definitions import path_of
from tinyres.training.batches import placeholder

_FLOATS = {str(dtype): dtype for dtype in FLOATS}
LARGEST = 1 << 31  # elements of one tensor for a batch of a few samples


class Reader:
    """Rebuilds one model. given: classes and ops by the path that the file calls them, before those defined.

    elements: how many elements the weights in the file have in all.
    """

    def __init__(self, given: Mapping[str, Any] | None, elements: int) -> None:
        self.given = given
        self.elements = elements
        self._decoders: dict[str, Callable[[Any], Any]] = {
            "tuple": tuple,
            "slice": lambda parts: slice(*parts),
            "ellipsis": lambda _: Ellipsis,
            "dtype": _numbers,
            "layer": self.layer,
            "op": _function,
            "float": float,  # in files of version 1
        }

    def layer(self, record: Mapping[str, Any]) -> Layer:
        """The layer that was written, new. Raises FileError if its class is not known."""
        if "graph" in record:
            return self.graph(record)
        if "op" in record:
            op = DEFINED_OPS.find(record["op"], self.given)
            constants = {int(i): self.constant(value) for i, value in record["constants"].items()}
            attrs = self.value(record["attrs"])
            judge(op, attrs, "load")
            return OpLayer(op, attrs, constants, record["name"])  # constants have dtypes
        config = {key: self.value(value) for key, value in record["config"].items()}
        layer = LAYERS.find(record["class"], self.given).from_config(config)
        if record["dtype"] != str(layer.dtype):
            layer._set_dtype(_FLOATS[record["dtype"]])
        if "built_on" in record:
            _build_on(layer, record["built_on"])
        return layer

    def graph(self, record: Mapping[str, Any]) -> Layer:
        graph = record["graph"]
        slots: dict[int, Symbolic] = {}
        layers: dict[int, Layer] = {}
        for i, scope, dtype in graph["inputs"]:
            with _scope(scope):
                _check_size(graph["layers"][i]["input"])
                slots[len(slots)] = Input(graph["layers"][i]["input"], graph["layers"][i]["name"], dtype)
        for i, layer_record in enumerate(graph["layers"]):
            if "input" not in layer_record:
                layers[i] = self.layer(layer_record)

        def structure(value: Any) -> Any:
            if isinstance(value, list):
                return [structure(item) for item in value]
            if isinstance(value, dict):
                if value.get(KIND) == "slot":
                    return slots[value["value"]]
                if value.get(KIND) == "tuple":
                    return tuple([structure(item) for item in value["value"]])
                if KIND not in value:
                    return {key: structure(item) for key, item in value.items()}
            return self.value(value)

        for i, scope, args, kwargs, outputs in graph["calls"]:
            arguments, named = structure(args), structure(kwargs)
            if next(symbolics((arguments, named)), None) is None:
                raise ValueError("a layer is called on numbers")
            with _scope(scope):
                result = layers[i](*arguments, **named)
            for symbolic in flat_symbolics(result):
                _check_size(symbolic.shape)
            for slot, symbolic in zip(outputs, flat_symbolics(result)):
                slots[slot] = symbolic
        inputs = [slots[i] for i in range(len(graph["inputs"]))]
        found = [slots[i] for i in graph["outputs"]]
        single_input, single_output = graph["single"]
        sequential = LAYERS["tinyres.Sequential"]
        stacked = record["class"] in (path_of(sequential.__module__, sequential.__qualname__), "Sequential")
        made = sequential if stacked else LAYERS["tinyres.Model"]
        model = made.from_graph(  # type: ignore[attr-defined]
            inputs[0] if single_input else inputs, found[0] if single_output else found, record["name"]
        )
        model.dtype = _FLOATS[record["dtype"]]
        return model

    def value(self, value: Any) -> Any:
        """An argument of a layer."""
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = value.get(KIND)
        if kind is None:
            return {key: self.value(item) for key, item in value.items()}
        content = value["value"] if kind == "layer" else self.value(value.get("value"))
        if kind == "initializer":
            by_name = "name" in value  # in files of version 1
            cls = INITIALIZERS[value["name"]] if by_name else INITIALIZER_CLASSES.find(value["class"], self.given)
            return cls(**content)
        if kind == "regularizer":
            return REGULARIZER_CLASSES.find(value["class"], self.given)(**content)
        if kind == "array":
            return _array(content, value["dtype"]).reshape(value["shape"])
        return self._decoders[kind](content)

    def constant(self, value: Mapping[str, Any]) -> Tensor:
        if "parameter" in value:
            self.elements -= math.prod(value["shape"])
            if self.elements < 0:
                raise ValueError(f"a Parameter of shape {value['shape']} has more elements than the file holds")
            return Parameter(np.zeros(value["shape"]), value["parameter"].rpartition("/")[2], dtype=value["dtype"])
        array = self.value(dict(value))
        return tensor(array, dtype=array.dtype)


def _build_on(layer: Layer, samples: Any) -> None:
    """Run a subclassed model once on placeholders, which makes its weights."""
    one, described = samples
    for shape, _ in described:
        _check_size(shape)
    held = [placeholder(np.empty((0, *shape), _numbers(dtype)), 1) for shape, dtype in described]
    dry = DryRecorder("read no values in the call of a model")
    with recording(dry), preserving(), preserving_generator(), no_grad():
        layer(held[0] if one else held)


def _check_size(shape: Any) -> None:
    """Refuse tensors that no file of ours has, before there is memory for them."""
    if math.prod(size for size in shape if size is not None) > LARGEST:
        raise ValueError(f"a tensor of shape {tuple(shape)} is too large")


def _numbers(name: Any) -> np.dtype:
    """The dtype of this name, if it is one of numbers."""
    dtype = np.dtype(name) if isinstance(name, str) else None
    if dtype is None or dtype.kind not in "biuf":
        raise ValueError(f"{name!r} is no dtype of numbers")
    return dtype


def _array(content: Any, name: Any) -> np.ndarray:
    """The array of these elements; text is as wide as its longest element, whatever the file says."""
    if isinstance(name, str) and name[:2] in ("<U", ">U"):
        return np.array(content, np.str_)
    return np.array(content, _numbers(name))


def _function(name: Any) -> Any:
    """The public op of this name."""
    if name not in ops.__all__:
        raise ValueError(f"{name!r} is no op")
    return getattr(ops, name)


def _scope(path: str) -> contextlib.AbstractContextManager[None]:
    return name_scope(path) if path else contextlib.nullcontext()
