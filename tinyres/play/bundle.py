"""Modules of the page as one script, for where a module cannot load another."""

from __future__ import annotations

import re
from importlib.resources import files

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:const|let|function|class) (\w+)", re.MULTILINE)


def source(name: str) -> str:
    """The text of a module, by its path in the site."""
    shared = name.removeprefix("view/")
    room, path = ("tinyres.play", f"static/{name}") if shared == name else ("tinyres.view", shared)
    return files(room).joinpath(path).read_text(encoding="utf-8")


def imported(first: str) -> list[str]:
    """The modules that this one imports, directly or by others, and itself; each behind those it imports."""
    found: list[str] = []

    def visit(name: str) -> None:
        for path in re.findall(r'^import [^"]* from "\./([^"]+)";$', source(name), re.MULTILINE):
            if path not in found:
                visit(path)
        found.append(name)

    visit(first)
    return found


def bundled(first: str) -> str:
    """A script that does what this module does: each module is a function, which gives what the module exports."""
    parts = ["const modules = {};"]
    for name in imported(first):
        text = source(name)
        exported = ", ".join(_EXPORT.findall(text))
        text = _IMPORT.sub(lambda found: f'const {{{found[1].replace(" as ", ": ")}}} = modules["{found[2]}"];', text)
        text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
        parts.append(f'modules["{name}"] = (() => {{\n{text}\nreturn {{ {exported} }};\n}})();')
    return "\n".join(parts)
