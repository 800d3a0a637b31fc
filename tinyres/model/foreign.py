"""Weights that go by the names of other libraries: PyTorch's in safetensors files, Keras' in .weights.h5 and .keras.

How a weight stands there is told by its layer (`layouts`); here names are matched, and all is checked before any weight
is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinyres.engine.tensor import Parameter
from tinyres.errors import ArgumentError, FileError
from tinyres.nn.functional import Functional
from tinyres.nn.layer import Layer
from tinyres.nn.layouts import Layout
from tinyres.store import tensors
from tinyres.store.hdf5 import read_keras
from tinyres.store.opening import PathLike
from tinyres.structure.names import listed

Names = Mapping[str, str] | Callable[[str], str] | None

TORCH_SUFFIXES, KERAS_SUFFIXES = (".safetensors",), (".h5", ".keras")
WEIGHTS_ALONE = dict.fromkeys(TORCH_SUFFIXES + KERAS_SUFFIXES, "build the model, then call its load_weights")
REWRITTEN = dict.fromkeys(  # pickles, which may run anything
    (".pt", ".pth", ".bin"), 'in PyTorch, safetensors.torch.save_file(net.state_dict(), "net.safetensors")'
)


class Place(NamedTuple):
    """A weight, and where it stands in another library's file."""

    name: str
    parameter: Parameter
    layout: Layout
    there: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Loaded:
    """What became of the weights of a model. Truthy if all have been found.

    matched: names of those that were taken over. missing: those that the file has not. reshaped: (name, shape that the
    file would have to have, shape that it has). unused: what else the file has, by its names there.
    """

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    unused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not (self.missing or self.reshaped)

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} weights matched"]
        if self.missing:
            parts.append(f"{len(self.missing)} are not in the file: {listed(self.missing)}")
        if self.reshaped:
            told = [f"{name} must be {wanted} there and is {got}" for name, wanted, got in self.reshaped]
            parts.append(f"{len(self.reshaped)} have another shape: {listed(told)}")
        if self.unused:
            parts.append(f"{len(self.unused)} of the file are not used: {listed(self.unused)}")
        return "; ".join(parts)


def load(op: str, model: Layer, path: PathLike, suffix: str, names: Names, strict: bool) -> Loaded:
    """Take over what a file of this suffix holds, whole or not at all."""
    if suffix in TORCH_SUFFIXES:
        return _taken(op, path, list(_torch_places(op, model, names)), tensors.read_safetensors(op, path), strict)
    if names is not None:
        raise ArgumentError(
            f"[{op}] names are for safetensors files; got names for {path}, whose layers go by order; leave it out"
        )
    with read_keras(op, path) as stored:
        return _taken(op, path, list(_keras_places(model, "")), stored, strict)


def save(op: str, model: Layer, path: PathLike, names: Names) -> None:
    """Write all weights to a safetensors file, by PyTorch's names and in its shapes."""
    parts: dict[str, dict[int, np.ndarray]] = {}
    for place in _torch_places(op, model, names):
        own, part = parts.setdefault(place.there, {}), place.layout.part[0]
        if part in own:
            raise ArgumentError(
                f"[{op}] each weight has a name of its own; got {place.there!r} for {place.name} and another; "
                "let names= tell the layers apart"
            )
        own[part] = place.layout.there(place.parameter.numpy())
    whole = {name: [own[i] for i in sorted(own)] for name, own in parts.items()}
    arrays = {name: np.concatenate(own) if len(own) > 1 else own[0] for name, own in whole.items()}
    tensors.write_safetensors(op, path, arrays)


def _taken(op: str, path: PathLike, places: list[Place], stored: tensors.Stored, strict: bool) -> Loaded:
    shapes = stored.shapes
    there = [p for p in places if p.there in shapes]
    fitting = [p for p in there if shapes[p.there] == p.shape]
    known = {p.there for p in places} | {name for name in shapes if name.rpartition(".")[2] in _COUNTERS}
    loaded = Loaded(
        matched=tuple([p.name for p in fitting]),
        missing=tuple([p.name for p in places if p.there not in shapes]),
        reshaped=tuple([(p.name, p.shape, shapes[p.there]) for p in there if shapes[p.there] != p.shape]),
        unused=tuple([name for name in shapes if name not in known and not name.startswith(_NOT_OF_LAYERS)]),
    )
    if not fitting or (strict and (not loaded or loaded.unused)):
        raise FileError(
            f"[{op}] the file must be of the same architecture; of {path}, {loaded}; build the model as the other was, "
            "say by names= what its layers are called there, or take over what fits: strict=False"
        )
    arrays = [p.layout.here(stored.read(p.there), p.parameter.shape) for p in fitting]
    for place, array in zip(fitting, arrays):
        place.parameter.assign(array.astype(place.parameter.dtype, copy=False))
    return loaded


_COUNTERS = ("num_batches_tracked",)  # of PyTorch's BatchNorm, which nothing here counts
_NOT_OF_LAYERS = ("optimizer/", "metrics/", "_metrics/")


def _torch_places(op: str, model: Layer, names: Names) -> Iterator[Place]:
    for path, layer, leaf, parameter in model.owned_weights():
        layout = layer.layout_of(leaf)
        called = _called(op, path, names)
        own = layout.name or leaf
        yield Place(
            f"{path}/{leaf}" if path else leaf, parameter, layout, f"{called}.{own}" if called else own,
            layout.shape_there(parameter.shape),
        )  # fmt: skip


def _called(op: str, path: str, names: Names) -> str:
    """What a layer is called in PyTorch."""
    if not (names is None or callable(names) or isinstance(names, Mapping)):
        raise ArgumentError(
            f"[{op}] names is a dict or a function from a layer's path to its name there; got {type(names).__name__}; "
            "leave it out where the names are the same"
        )
    found = names(path) if callable(names) else (names or {}).get(path, path.replace("/", "."))
    if not isinstance(found, str):
        raise ArgumentError(f"[{op}] a name is a string; got {found!r} for {path}; let names= give one for each path")
    return found


def _keras_places(layer: Layer, group: str) -> Iterator[Place]:
    """The weights of a layer and of those in it, where Keras puts them: layers of a model by class and number."""
    trained, kept = layer._own_weights()
    for i, (leaf, parameter) in enumerate({**trained, **kept}.items()):
        at = layer.layout_of(leaf).keras or f"vars/{i}"
        yield Place(f"{layer.path}/{leaf}", parameter, Layout(), f"{group}{at}", parameter.shape)
    if not isinstance(layer, Functional) or not layer.steps:
        for name, item in layer._attributes():
            if isinstance(item, Layer):
                yield from _keras_places(item, f"{group}{name}/")
        return
    counts: Counter[str] = Counter()
    for _, inner in layer._in_weight_order():
        kind = inner.keras_kind
        called = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        yield from _keras_places(inner, f"{group}layers/{called}/")
