"""The reference: every public name of a package, room by room, with the first sentence of its docstring.

Nothing is listed by hand: rooms and names are what the modules themselves show.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from tinyres.errors import MissingExtraError

_END = re.compile(r"(?<!\bal)\. (?=\W*[A-Z])")  # of a sentence, and not of "et al."


def public(package: ModuleType) -> dict[str, dict[str, Any]]:
    """What a package shows: by room, as "tinyres.layers", its names and what each stands for.

    A thing stands in the room to which the way is shortest, by all its names there; a room with nothing of its own is
    left out. Where a library is not installed, what its names stand for is the MissingExtraError that says so.

    >>> import tinyres
    >>> from tinyres.guide.reference import public
    >>> "Dense" in public(tinyres)["tinyres.layers"], public(tinyres)["tinyres"]["Graph"] is tinyres.Graph
    (True, True)
    """
    rooms: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()
    waiting = [(package.__name__, package)]
    for room, module in waiting:  # grows as it is walked: all of one depth before what is deeper
        new = {name: thing for name, thing in _shown(module) if id(thing) not in seen}
        seen.update(map(id, new.values()))
        own = {name: thing for name, thing in new.items() if not isinstance(thing, ModuleType)}
        waiting += [(f"{room}.{name}", thing) for name, thing in new.items() if name not in own]
        if own:
            rooms[room] = own
    return rooms


def reference(package: ModuleType) -> str:
    """The Markdown of `public`: a heading per room, a line per name.

    >>> import tinyres
    >>> from tinyres.guide.reference import reference
    >>> next(line for line in reference(tinyres).splitlines() if "`abs`" in line)
    '- `abs`: |x|, elementwise.'
    """
    lines = []
    for room, names in public(package).items():
        lines += [f"\n## {room}\n", *(f"- `{name}`: {_said(thing)}" for name, thing in names.items())]
    return "\n".join(lines) + "\n"


def _shown(module: ModuleType) -> Iterator[tuple[str, Any]]:
    # What loads when asked for is public, though dir() has no "torch": `import *` would hide PyTorch's name.
    names = {*vars(module).get("__all__", dir(module)), *vars(module).get("_LAZY_MODULES", ())}
    for name in sorted(name for name in names if not name.startswith("_")):
        try:
            yield name, getattr(module, name)
        except MissingExtraError as error:
            yield name, error


def _said(thing: Any) -> str:
    """The first sentence of a docstring; of a value, what it holds."""
    if isinstance(thing, MissingExtraError):
        return str(thing)
    if not callable(thing):
        told = ", ".join(map(str, thing)) if isinstance(thing, (tuple, dict)) else ""
        return f"{told or type(thing).__name__}."
    paragraph = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    return _END.split(paragraph, maxsplit=1)[0].rstrip(".") + "."
