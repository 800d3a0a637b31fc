"""How layers get their names: Keras' (`dense`, `dense_1`), counted per model and scope.

There is no process-wide counter, so two nets that are built alike have the same names, whatever was built before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tinyres.errors import ArgumentError


class Candidate(NamedTuple):
    """A layer that needs a unique path: its scope, its name if it has one, and whether the user chose that name."""

    scope: str
    name: str | None
    chosen: bool
    default: str


def snake_case(class_name: str) -> str:
    """The default name of a layer class, as Keras forms it: BatchNormalization is batch_normalization."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name.lstrip("_"))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def checked_name(owner: str, name: str | None) -> str | None:
    """The name as given. Raises ArgumentError unless it is None or printable text without "/"."""
    if name is not None and (not isinstance(name, str) or not name or "/" in name or not name.isprintable()):
        raise ArgumentError(f'[{owner}] a name is a non-empty string without "/"; got {name!r}; use name_scope for "/"')
    return name


def joined(scope: str, name: str) -> str:
    """`scope/name`, or just the name outside of any scope."""
    return f"{scope}/{name}" if scope else name


def unique_paths(owner: str, candidates: Sequence[Candidate]) -> list[str]:
    """One path per candidate, all different; only names that no user chose get a number.

    Raises ArgumentError if the user gave the same name twice in one scope.
    """
    taken: set[str] = set()
    for candidate in candidates:
        if candidate.chosen:
            path = joined(candidate.scope, candidate.name or candidate.default)
            if path in taken:
                raise ArgumentError(f'[{owner}] names must be unique; got "{path}" for two layers; rename one of them')
            taken.add(path)
    paths = []
    for candidate in candidates:
        path = joined(candidate.scope, candidate.name or candidate.default)
        if not candidate.chosen:
            base, count = joined(candidate.scope, candidate.default), 0
            while path in taken:
                count += 1
                path = f"{base}_{count}"
            taken.add(path)
        paths.append(path)
    return paths
