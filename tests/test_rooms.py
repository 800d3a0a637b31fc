"""Imports go one way: the room map of the README, enforced on every import statement of the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tinyres"

KERNELS = {"errors", "store", "kernels"}
CORE = KERNELS | {"backends", "launch", "engine"}
RECORD = {"structure", "trace"}  # plain data: nothing of the engine
LAYERS = CORE | {"structure", "ops", "nn"}
TRAINING = LAYERS | RECORD | {"layers", "optim", "capture", "measure", "view", "data"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "store": {"errors"},
    "kernels": {"errors", "store"},
    "backends": KERNELS,
    "launch": KERNELS | {"backends"},
    "engine": KERNELS | {"backends", "launch"},
    "ops": CORE,
    "optim": CORE,
    "capture": CORE,
    "structure": set(),
    "trace": {"errors", "store", "structure"},
    "view": {"errors", "store"} | RECORD,
    "measure": CORE | RECORD,
    "nn": CORE | {"ops", "structure"},
    "layers": LAYERS,
    "data": {"errors", "store"},
    "training": TRAINING,
    "model": TRAINING | {"training"},
    "study": TRAINING | {"training", "model"},
    "keras": TRAINING | {"training", "model"},
    "cli": {"errors", "store", "launch", "study"},
    "__main__": {"cli"},
}


def rooms() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        first = path.relative_to(PACKAGE).parts[0]
        found.setdefault(first.removesuffix(".py"), []).append(path)
    found.pop("__init__")
    return found


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports at run time; imports for type checkers only do not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            names += [f"tinyres.{a.name}" for a in node.names] if module == "tinyres" else [module]
    return {name.split(".")[1] for name in names if name.startswith("tinyres.")} - {"_core"}


def test_every_room_is_on_the_map() -> None:
    assert set(rooms()) == set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_rooms_above_it(room: str) -> None:
    for path in rooms().get(room, []):
        wrong = imported_rooms(path) - MAY_IMPORT[room] - {room}
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(wrong))}"


def test_the_map_has_no_cycles() -> None:
    order: list[str] = []
    while len(order) < len(MAY_IMPORT):
        ready = [r for r in MAY_IMPORT if r not in order and MAY_IMPORT[r] <= set(order)]
        assert ready, f"a cycle among {set(MAY_IMPORT) - set(order)}"
        order += ready
