"""Nested arguments and results: which leaves are data, and everything else as a hashable shape of the nest.

A leaf's own part of the shape is (shape, type code, whether it wants a gradient: None for an array; "computed" where
the gradient would flow on from it). A Parameter is no data: a step may change it, so it stands for itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from tinyres.engine.bundle import Bundle
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.errors import CaptureError


class _Itself:
    """An object as a part of a key: equal to itself only."""

    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


def flatten(tree: Any, fixed: bool = False) -> tuple[list[Any], Hashable]:
    """The Tensors and arrays of nested tuples, lists and dicts, and a hashable key that rebuilds the nest.

    fixed: all Tensors that the user made with requires_grad stand for themselves, as Parameters do. Other values are
    constants of the key. Raises CaptureError for a constant that cannot be one (not hashable).
    """
    leaves: list[Any] = []
    return leaves, _key(tree, leaves, fixed)


def unflatten(key: Any, leaves: Sequence[Any]) -> Any:
    """The nest that `flatten` took apart, with other leaves."""
    iterator = iter(leaves)
    return _build(key, iterator)


def leaf_names(key: Any, count: int, alone: str, fn: Callable[..., Any] | None = None) -> list[str]:
    """What the `count` leaves of a nest are called, by the keys and places that lead to them: "x", "x/0".

    alone: the name of one that is no part of a nest. fn: the nest is (args, kwargs) of a call of it, and its parameters
    give the names.
    """
    nest = unflatten(key, [_Mark(i) for i in range(count)])
    if fn is not None:
        nest = dict(inspect.signature(fn).bind(*nest[0], **nest[1]).arguments)
    names = {mark.number: "/".join(way) or alone for mark, way in _marks(nest, ())}
    return [names[i] for i in range(count)]


class _Mark:
    """Stands for the leaf of this number."""

    def __init__(self, number: int) -> None:
        self.number = number


def _marks(nest: Any, way: tuple[str, ...]) -> Iterator[tuple[_Mark, tuple[str, ...]]]:
    if isinstance(nest, _Mark):
        yield nest, way
    elif isinstance(nest, Bundle):
        for i, tensor in enumerate(nest.tensors()):
            yield from _marks(tensor, (*way, str(i)))
    elif isinstance(nest, (tuple, list, dict)):
        for key, item in nest.items() if isinstance(nest, dict) else enumerate(nest):
            yield from _marks(item, (*way, str(key)))


def _key(tree: Any, leaves: list[Any], fixed: bool) -> Any:
    if isinstance(tree, np.ndarray):
        leaves.append(tree)
        return tree.shape, tree.dtype.char, None
    if isinstance(tree, Tensor):
        if isinstance(tree, Parameter) or (fixed and tree.requires_grad and tree.is_leaf):
            return "itself", _Itself(tree)
        leaves.append(tree)
        return tree.shape, tree.dtype.char, tree.requires_grad and (tree.is_leaf or "computed")
    if isinstance(tree, Bundle):
        return "bundle", _Itself(tree), tuple([_key(item, leaves, fixed) for item in tree.tensors()])
    if isinstance(tree, (tuple, list)):
        before = len(leaves)
        items = tuple([_key(item, leaves, fixed) for item in tree])
        if type(tree) is tuple and len(leaves) == before and all(item[0] == "constant" for item in items):
            return "constant", items, tree  # the items tell 1 from True
        return type(tree).__name__, items
    if isinstance(tree, dict):
        return "dict", tuple(tree), tuple([_key(item, leaves, fixed) for item in tree.values()])
    try:
        hash(tree)
    except TypeError:
        raise CaptureError(
            f"[capture] arguments and results are Tensors, arrays, hashable constants, and nests of them; "
            f"got {type(tree).__name__}; pass it as an array or keep it outside"
        ) from None
    return "constant", type(tree), tree


def _build(key: Any, leaves: Any) -> Any:
    kind = key[0]
    if isinstance(kind, tuple):
        return next(leaves)
    if kind == "itself":
        return key[1].held
    if kind == "constant":
        return key[2]
    if kind == "dict":
        return dict(zip(key[1], [_build(item, leaves) for item in key[2]]))
    if kind == "bundle":
        return key[1].held.made_of([_build(item, leaves) for item in key[2]])
    items = [_build(item, leaves) for item in key[1]]
    return tuple(items) if kind == "tuple" else items
