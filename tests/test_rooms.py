"""Imports go one way: the room map of the guide, enforced on every import statement of the package."""

from __future__ import annotations

import ast
import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
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
    "measure": CORE | RECORD | {"view"},
    "nn": CORE | {"ops", "structure"},
    "layers": LAYERS,
    "torch": {"errors", "store", "view"} | RECORD,
    "data": {"errors", "store"},
    "training": TRAINING,
    "distributed": TRAINING | {"training"},
    "model": TRAINING | {"training"},
    "applications": TRAINING | {"training", "model"},
    "study": TRAINING | {"training", "model", "applications"},
    "onnx": TRAINING | {"training", "model"},
    "sklearn": TRAINING | {"training", "model"},
    "play": TRAINING | {"training", "model", "applications"},
    "keras": TRAINING | {"training", "model"},
    "cli": {"errors", "store", "launch", "distributed", "study", "play", "guide"},
    "guide": {"errors"},
    "__main__": {"cli"},
}


def rooms() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        first = path.relative_to(PACKAGE).parts[0]
        found.setdefault(first.removesuffix(".py"), []).append(path)
    found.pop("__init__")
    return found


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every import at run time, also within functions; name "" for a plain import."""
    waiting: list[ast.AST] = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.expr):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports at run time."""
    names = [f"tinyres.{name}" if module == "tinyres" and name else module for module, name in imports(path)]
    return {name.split(".")[1] for name in names if name.startswith("tinyres.")} - {"_core"}


def imported_files(path: Path) -> set[Path]:
    """The files of the package that a file imports."""
    found = set()
    for module, name in imports(path):
        if module.partition(".")[0] == "tinyres":
            base = PACKAGE.joinpath(*module.split(".")[1:])
            ways = (base / f"{name}.py", base / name / "__init__.py", base.with_suffix(".py"), base / "__init__.py")
            found.add(next((way for way in ways if way.is_file()), path))
    return found - {path}


def circles() -> set[frozenset[str]]:
    """Every set of files that import one another in a circle."""
    files = sorted(PACKAGE.rglob("*.py"))
    reached = {file: imported_files(file) for file in files}
    for middle in files:
        for file in files:
            if middle in reached[file]:
                reached[file] = reached[file] | reached[middle]
    names = {file: file.relative_to(PACKAGE).as_posix().removesuffix(".py") for file in files}
    return {
        frozenset(names[other] for other in files if other in reached[file] and file in reached[other])
        for file in files
        if file in reached[file]
    }


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


TENSOR_NODE_OP = frozenset(f"engine/{name}" for name in ("tensor", "op", "primitives", "layout", "backward"))
LAYER_SYMBOLIC_TREE = frozenset(f"nn/{name}" for name in ("layer", "symbolic", "operators"))


def test_only_natural_circles_of_files_are_left() -> None:
    """A Tensor's backward runs ops on Tensors; calling a Layer on a Symbolic records a Layer."""
    assert circles() <= {TENSOR_NODE_OP, LAYER_SYMBOLIC_TREE}


def test_a_trace_is_read_judged_and_shown_without_an_engine(tmp_path: Path) -> None:
    """The record's rooms load without all others; a saved trace opens in a program that cannot compute one."""
    import tinyres as tr

    x = tr.tensor([1.0, 2.0], requires_grad=True, name="x")
    trace = tr.Graph(tr.sum(tr.tanh(x) + x)).trace()
    trace.save(tmp_path / "trace.json")
    program = f"""
import sys, types
package = types.ModuleType("tinyres")
package.__path__ = [{str(PACKAGE)!r}]
sys.modules["tinyres"] = package
import tinyres.structure.structure, tinyres.trace, tinyres.view
trace = tinyres.trace.Trace.load({str(tmp_path / "trace.json")!r})
from tinyres.trace.lint import lint_trace
lint_trace(trace), trace.verdict()
trace.export({str(tmp_path / "report.html")!r})
rooms = sorted({{name.split(".")[1] for name in sys.modules if name.startswith("tinyres.")}})
print(" ".join(rooms))
print(trace)
"""
    rooms, _, text = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.partition("\n")
    assert rooms == "errors store structure trace view"
    assert text.strip() == str(trace).strip()


def run(program: str, cwd: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd, env=environment).stdout


def test_an_import_loads_no_room_before_it_is_asked_for(tmp_path: Path) -> None:
    program = """
import sys
import tinyres as tr
def rooms(): return {name.split(".")[1] for name, m in sys.modules.items() if name[:8] == "tinyres." and m.__spec__}
print(*rooms())
tr.Sequential([tr.layers.Dense(2)])
print(*rooms())
"""
    imported, model = (set(line.split()) - {"_core"} for line in run(program, tmp_path).splitlines())
    assert imported <= LAYERS | {"capture", "layers", "optim"}
    assert model <= imported | {"structure", "data", "training", "model"}


def test_pickled_records_show_themselves_where_no_trace_was_made(tmp_path: Path) -> None:
    import tinyres as tr

    x = tr.tensor([1.0, 2.0], requires_grad=True, name="x")
    trace = tr.Graph(tr.sum(tr.tanh(x) + x)).trace()
    records = [trace, trace.verdict(), *trace.forks, *trace.nodes, tr.compare(a=trace, b=trace)]
    (tmp_path / "records.pickle").write_bytes(pickle.dumps(records))
    program = "import pickle; print(*pickle.load(open('records.pickle', 'rb')), sep='\\n')"
    assert run(program, tmp_path) == "\n".join(map(str, records)) + "\n"


ROOT = PACKAGE.parent
SOURCES = sorted(
    path
    for folder in ("tinyres", "csrc", "tests", "bench")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".c", ".h", ".def", ".sh", ".mjs")
)


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    found = {}
    for path in SOURCES:
        for node in ast.walk(parsed(path)) if path.suffix == ".py" else ():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 60:
                    found[f"{path.relative_to(ROOT)}: {node.name}"] = length
    assert found == {}
