"""Names of layers out of names of nodes: "/layer1/layer1.0/conv1/Conv" is the layer conv1 in the scope layer1/0.

PyTorch names nodes after modules, here or in what it notes about a node; tinyres after layers. What has no path of
names keeps its own name, outside of scopes.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from typing import Any

_TORCH = "pkg.torch.onnx.name_scopes"
_MOST = 2  # nodes of one layer: a product and its activation
_ASIDE = ("Identity", "Transpose")  # they stand beside what a layer is


class Place:
    """Where a layer stands. scope: the path around it. name: the last part of its own."""

    def __init__(self, scope: str, name: str) -> None:
        self.scope = scope
        self.name = name


def places_of(nodes: Sequence[Any]) -> list[Place]:
    """A place for each node; no two of them are the same."""
    paths = [_path(node) for node in nodes]
    owners = [path[:-1] for path in paths]
    counts = Counter(owner for owner, node in zip(owners, nodes) if node.op_type not in _ASIDE)
    containers = {owner[:length] for owner in owners for length in range(len(owner))}
    taken: set[tuple[str, ...]] = set()
    seen: Counter[tuple[str, ...]] = Counter()
    places = []
    for node, path, owner in zip(nodes, paths, owners):
        kind = plain_name(node.op_type.lower())
        aside = node.op_type in _ASIDE
        seen[owner] += not aside
        if not owner:
            wanted: tuple[str, ...] = (path[-1] or kind,)
        elif owner in containers or counts[owner] > _MOST:
            wanted = (*owner, kind)
        else:
            wanted = owner if seen[owner] == 1 and not aside else (*owner[:-1], f"{owner[-1]}_{kind}")
        found, again = wanted, 0
        while found in taken or found in containers:
            again += 1
            found = (*wanted[:-1], f"{wanted[-1]}_{again}")
        taken.add(found)
        places.append(Place("/".join(found[:-1]), found[-1]))
    return places


def _path(node: Any) -> tuple[str, ...]:
    """The modules around a node, and its own name."""
    for entry in node.metadata_props:
        if entry.key == _TORCH:
            parts = _noted(entry.value)
            if len(parts) > 1:
                return (*filter(None, map(plain_name, parts[-2].split("."))), plain_name(parts[-1]))
    parts = [part for part in node.name.split("/") if part]
    for i in range(len(parts) - 1, 0, -1):  # PyTorch repeats the path within a list of modules: layer1/layer1.0
        if parts[i].startswith(parts[i - 1] + "."):
            parts[i - 1 : i + 1] = [parts[i]]
    split = [piece for part in parts[:-1] for piece in part.split(".") if piece]
    return (*map(plain_name, split), plain_name(parts[-1] if parts else ""))


def _noted(text: str) -> list[str]:
    """The list of names in a note of PyTorch's; none if it is something else."""
    try:
        found = ast.literal_eval(text) if len(text) < 10_000 else []
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return found if isinstance(found, list) and all(isinstance(part, str) for part in found) else []


def plain_name(name: str) -> str:
    """A name as layers may have it."""
    return "".join(c if c.isprintable() and c not in "/@" else "_" for c in name).strip()[:200]
