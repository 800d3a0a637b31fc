"""What files call by name: classes and ops, each under its module and name, so that none takes the place of another.

The library's own go by the package alone (`tinyres.Dense`), so that its rooms may move without old files noticing; a
user's go by their module (`nets.Gate`, `__main__.Gate`). Nothing is imported because a file says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from tinyres.errors import ArgumentError, FileError

PACKAGE = "tinyres"
MAIN = "__main__"

T = TypeVar("T")


def path_of(module: str, name: str) -> str:
    """What a file calls the definition of this name in this module.

    >>> path_of("tinyres.layers.dense", "Dense"), path_of("nets", "Dense")
    ('tinyres.Dense', 'nets.Dense')
    """
    return f"{PACKAGE if module.partition('.')[0] == PACKAGE else module}.{name}"


class Definition(NamedTuple):
    """Something that files name, and where it was defined."""

    module: str
    name: str
    item: Any


class Definitions(Generic[T]):
    """Definitions of one kind, by path; a later one of the same module and name replaces the older.

    what: as errors say it, before the path.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._found: dict[str, Definition] = {}

    def add(self, module: str, name: str, item: T) -> None:
        """Let files find this. Raises ArgumentError if another module has the path, as the library has its own."""
        path = path_of(module, name)
        known = self._found.get(path)
        if known is not None and known.module != module:
            raise ArgumentError(
                f"[{name}] a name in tinyres stands for one thing; {path} is defined in {known.module}, "
                f"got it in {module} too; choose another name"
            )
        self._found[path] = Definition(module, name, item)

    def __getitem__(self, path: str) -> T:
        return self._found[path].item

    def find(self, path: Any, given: Mapping[str, Any] | None = None) -> T:
        """The definition that a file calls by this path; `given` stands before what is defined.

        A path without a module, as older files have it, is the library's, else a user's if only one is so called.
        A script's own definitions are found when it is imported as a module, and the other way round.
        Raises FileError if there is none, and says which are similar.
        """
        if given and path in given:
            return given[path]
        if path in self._found:
            return self._found[path].item
        own = [d for d in self._found.values() if path_of(d.module, "").partition(".")[0] != PACKAGE]
        if isinstance(path, str) and "." not in path:
            if f"{PACKAGE}.{path}" in self._found:
                return self[f"{PACKAGE}.{path}"]
            found = [d for d in own if _last(d.name) == path]
        else:
            found = [d for d in own if MAIN in (d.module, _module(path, d.name))]
            found = [d for d in found if _module(path, d.name) is not None]
        if len(found) == 1:
            return found[0].item
        similar = ", ".join(
            f"{d.module}.{d.name}" for d in own if isinstance(path, str) and _last(path) == _last(d.name)
        )
        remedy = (
            f"to take {similar}, give custom_objects={{{path!r}: ...}}" if similar else "import or define it, then load"
        )
        raise FileError(f"[load] the file has {self.what} {path}, which is not defined; {remedy}")


def claim(names: dict[str, Any], name: str, cls: type) -> None:
    """Enter a class into a table by a short name. Raises ArgumentError if another class has that name."""
    known = names.setdefault(name, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ArgumentError(
            f"[{cls.__qualname__}] a name stands for one class; {name!r} is that of "
            f"{known.__module__}.{known.__qualname__}; choose another name"
        )
    names[name] = cls


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _module(path: Any, name: str) -> str | None:
    """The module part of a path that ends in this name; None if it does not."""
    return path[: -len(name) - 1] if isinstance(path, str) and path.endswith(f".{name}") else None
