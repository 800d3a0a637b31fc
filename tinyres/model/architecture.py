"""Models as JSON and back: the layers with their constructors' arguments, and the calls between them.

A functional model is written as its layers and the list of calls that built it, and read by calling the layers again
in that order. A subclassed one is written as its class, its arguments and the shapes it was built on. Classes are
found by name among the layers that are defined when the file is read; nothing in a file is ever executed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.op import OPS
from tinyres.engine.state import name_scope, no_grad, preserving
from tinyres.engine.tensor import FLOATS, Parameter, Tensor, tensor
from tinyres.errors import ArgumentError, FileError
from tinyres.launch import DryRecorder, recording
from tinyres.nn.functional import Functional
from tinyres.nn.initializers import INITIALIZERS, Initializer
from tinyres.nn.layer import LAYERS, Layer
from tinyres.nn.operators import Input, InputLayer, OpLayer
from tinyres.nn.symbolic import Symbolic
from tinyres.ops.random import preserving_generator
from tinyres.training.batches import placeholder

_FLOATS = {str(dtype): dtype for dtype in FLOATS}

KIND = "$"  # marks what JSON has no form for


def every_layer(layer: Layer) -> Iterator[Layer]:
    """The layer and all layers within it, outer ones first."""
    yield layer
    for inner in layer.layers:
        yield from every_layer(inner)


def encode_layer(layer: Layer) -> dict[str, Any]:
    """A layer as JSON. Raises ArgumentError for an argument that cannot be written down."""
    kind: dict[str, Any] = {"class": type(layer).__name__, "name": layer.name, "dtype": str(layer.dtype)}
    if isinstance(layer, Functional) and layer.steps:
        return {**kind, "graph": _encode_graph(layer)}
    if isinstance(layer, InputLayer):
        return {**kind, "input": list(layer.shape)}
    if isinstance(layer, OpLayer):
        constants = {str(i): _encode_constant(layer, t) for i, t in layer.constants.items()}
        return {**kind, "op": layer.op.name, "attrs": _encode(layer, layer.attrs), "constants": constants}
    config = {key: _encode(layer, value) for key, value in layer.config().items()}
    if isinstance(layer, Functional) and layer.built:
        return {**kind, "config": config, "built_on": layer.built_on}  # type: ignore[attr-defined]
    return {**kind, "config": config}


def decode_layer(record: Mapping[str, Any]) -> Layer:
    """The layer that `encode_layer` wrote, new. Raises FileError if its class is not known."""
    if "graph" in record:
        return _decode_graph(record)
    if "op" in record:
        if record["op"] not in OPS:
            raise FileError(f"[load] the file uses the op {record['op']!r}, which is not defined; define it, then load")
        constants = {int(i): _decode_constant(value) for i, value in record["constants"].items()}
        return OpLayer(OPS[record["op"]], _decode(record["attrs"]), constants, record["name"])  # constants have dtypes
    layer = _class(record["class"]).from_config({key: _decode(value) for key, value in record["config"].items()})
    if record["dtype"] != str(layer.dtype):
        layer._set_dtype(_FLOATS[record["dtype"]])
    if "built_on" in record:
        _build_on(layer, record["built_on"])
    return layer


def _build_on(layer: Layer, samples: Any) -> None:
    """Run a subclassed model once on placeholders, which makes its weights."""
    one, described = samples
    held = [placeholder(np.empty((0, *shape), dtype), 1) for shape, dtype in described]
    dry = DryRecorder("read no values in the call of a model")
    with recording(dry), preserving(), preserving_generator(), no_grad():
        layer(held[0] if one else held)


def _class(name: str) -> type[Layer]:
    if name not in LAYERS:
        raise FileError(
            f"[load] the file has a layer of class {name}, which is not defined; import or define the class, then load"
        )
    return LAYERS[name]


def _encode_graph(model: Functional) -> dict[str, Any]:
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
        return _encode(model, value)

    calls = []
    for call in model.calls:
        arguments = [structure(call.args), structure(call.kwargs)]
        for symbolic in _symbolics(call.outputs):
            slots.setdefault(symbolic, len(slots))
        calls.append([number[id(call.layer)], call.scope, *arguments, [slots[s] for s in _symbolics(call.outputs)]])
    return {
        "layers": [encode_layer(layer) for layer in layers],
        "inputs": [[number[id(s.producer.layer)], s.producer.scope, str(s.dtype)] for s in model.inputs],
        "calls": calls,
        "outputs": [slots[s] for s in model.outputs],
        "single": [model._single_input, model._single_output],
    }


def _decode_graph(record: Mapping[str, Any]) -> Layer:
    graph = record["graph"]
    slots: dict[int, Symbolic] = {}
    layers: dict[int, Layer] = {}
    for i, scope, dtype in graph["inputs"]:
        with _scope(scope):
            slots[len(slots)] = Input(graph["layers"][i]["input"], graph["layers"][i]["name"], dtype)
    for i, layer_record in enumerate(graph["layers"]):
        if "input" not in layer_record:
            layers[i] = decode_layer(layer_record)

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
        return _decode(value)

    for i, scope, args, kwargs, outputs in graph["calls"]:
        with _scope(scope):
            result = layers[i](*structure(args), **structure(kwargs))
        for slot, symbolic in zip(outputs, _symbolics(result)):
            slots[slot] = symbolic
    inputs = [slots[i] for i in range(len(graph["inputs"]))]
    found = [slots[i] for i in graph["outputs"]]
    single_input, single_output = graph["single"]
    made = LAYERS["Sequential" if record["class"] == "Sequential" else "Model"]
    model = made.from_graph(  # type: ignore[attr-defined]
        inputs[0] if single_input else inputs, found[0] if single_output else found, record["name"]
    )
    model.dtype = _FLOATS[record["dtype"]]
    return model


def _scope(path: str) -> contextlib.AbstractContextManager[None]:
    return name_scope(path) if path else contextlib.nullcontext()


def _symbolics(structure: Any) -> list[Symbolic]:
    if isinstance(structure, (list, tuple)):
        return [s for item in structure for s in _symbolics(item)]
    return [structure]


def _encode(layer: Layer, value: Any) -> Any:
    """An argument of a layer as JSON."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else {KIND: "float", "value": str(float(value))}
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if isinstance(value, (list, tuple)):
        return _tagged_sequence(value, [_encode(layer, item) for item in value])
    if isinstance(value, dict) and all(isinstance(key, str) and key != KIND for key in value):
        return {key: _encode(layer, item) for key, item in value.items()}
    if isinstance(value, Layer):
        return {KIND: "layer", "value": encode_layer(value)}
    if isinstance(value, Initializer) and value.name:
        return {KIND: "initializer", "name": value.name, "value": _encode(layer, value.config())}
    if isinstance(value, slice):
        return {KIND: "slice", "value": [_encode(layer, n) for n in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {KIND: "ellipsis"}
    if isinstance(value, np.dtype):
        return {KIND: "dtype", "value": value.name}
    if isinstance(value, np.ndarray):
        return _encode_array(layer, value)
    name = getattr(value, "__name__", "")
    if callable(value) and getattr(ops, name, None) is value:
        return {KIND: "op", "value": name}
    raise ArgumentError(
        f"[save] a file keeps numbers, strings, arrays and lists of them; {layer.path} was made with "
        f"{name or type(value).__name__}, a {type(value).__name__}; use a named one, or an own layer with config()"
    )


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    if kind is None:
        return {key: _decode(item) for key, item in value.items()}
    content = value["value"] if kind == "layer" else _decode(value.get("value"))
    if kind == "initializer":
        return INITIALIZERS[value["name"]](**content)
    if kind == "array":
        return np.array(content, dtype=value["dtype"]).reshape(value["shape"])
    return _DECODERS[kind](content)


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "tuple": tuple,
    "slice": lambda parts: slice(*parts),
    "ellipsis": lambda _: Ellipsis,
    "dtype": np.dtype,
    "layer": decode_layer,
    "op": lambda name: getattr(ops, name),
}


def _tagged_sequence(value: list[Any] | tuple[Any, ...], items: list[Any]) -> Any:
    return items if isinstance(value, list) else {KIND: "tuple", "value": items}


def _encode_array(layer: Layer, array: np.ndarray) -> dict[str, Any]:
    values = [_encode(layer, value) for value in array.reshape(-1).tolist()]
    return {KIND: "array", "dtype": str(array.dtype), "shape": list(array.shape), "value": values}


def _encode_constant(layer: Layer, t: Tensor) -> dict[str, Any]:
    if isinstance(t, Parameter):  # its values stand with the weights
        return {"parameter": t.name, "shape": list(t.shape), "dtype": str(t.dtype)}
    return _encode_array(layer, t.numpy())


def _decode_constant(value: Mapping[str, Any]) -> Tensor:
    if "parameter" in value:
        return Parameter(np.zeros(value["shape"]), value["parameter"].rpartition("/")[2], dtype=value["dtype"])
    array = _decode(dict(value))
    return tensor(array, dtype=array.dtype)
