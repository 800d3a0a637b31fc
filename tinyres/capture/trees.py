"""Nested arguments and results: which leaves are data, and everything else as a hashable shape of the nest.

A leaf's own part of the shape is (shape, type code, whether it wants a gradient: None for an array).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from tinyres.engine.tensor import Tensor
from tinyres.errors import CaptureError


def flatten(tree: Any) -> tuple[list[Any], Hashable]:
    """The Tensors and arrays of nested tuples, lists and dicts, and a hashable key that rebuilds the nest.

    Other values are constants of the key. Raises CaptureError for a constant that cannot be one (not hashable).
    """
    leaves: list[Any] = []
    return leaves, _key(tree, leaves)


def unflatten(key: Any, leaves: Sequence[Any]) -> Any:
    """The nest that `flatten` took apart, with other leaves."""
    iterator = iter(leaves)
    return _build(key, iterator)


def _key(tree: Any, leaves: list[Any]) -> Any:
    if isinstance(tree, np.ndarray):
        leaves.append(tree)
        return tree.shape, tree.dtype.char, None
    if isinstance(tree, Tensor):
        leaves.append(tree)
        return tree.shape, tree.dtype.char, tree.requires_grad
    if isinstance(tree, (tuple, list)):
        before = len(leaves)
        items = tuple([_key(item, leaves) for item in tree])
        if type(tree) is tuple and len(leaves) == before and all(item[0] == "constant" for item in items):
            return "constant", items, tree  # the items tell 1 from True
        return type(tree).__name__, items
    if isinstance(tree, dict):
        return "dict", tuple(tree), tuple([_key(item, leaves) for item in tree.values()])
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
    if kind == "constant":
        return key[2]
    if kind == "dict":
        return dict(zip(key[1], [_build(item, leaves) for item in key[2]]))
    items = [_build(item, leaves) for item in key[1]]
    return tuple(items) if kind == "tuple" else items
