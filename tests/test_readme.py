"""The README and the guide hold what they say: snippets run, outputs are as printed, commands are CI's."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_growth import ADDED
from test_rooms import MAY_IMPORT

import tinyres as tr
from tinyres.engine.op import OPS
from tinyres.layers.blocks import PRESETS
from tinyres.study.experiments import EXPERIMENTS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "tinyres" / "guide").glob("*.md"))}
MANUAL = "\n".join([README, *PAGES.values()])
FENCE = re.compile(r"(?:<!-- (?P<note>[^>]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
BLOCKS = [match.groupdict() for match in FENCE.finditer(MANUAL)]
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def noted(kind: str) -> dict[str, tuple[str, str]]:
    """Blocks under `<!-- kind: name, remark -->`: name -> (remark, text).

    The remark of a snippet tells where it runs, that of an output how far its numbers may be off: "within 0.05".
    """
    found = {}
    for block in BLOCKS:
        key, _, rest = (block["note"] or "").partition(": ")
        if key == kind:
            name, _, remark = rest.partition(", ")
            found[name] = (remark, block["text"])
    return found


TYPED = [(block["note"], block["text"]) for block in BLOCKS if (block["note"] or "").startswith("typed: ")]
SNIPPETS, OUTPUTS = noted("snippet"), noted("output")
# Without them a snippet is skipped.
LIBRARIES = {"dask", "joblib", "mlflow", "mpi4py", "onnx", "onnxruntime", "optuna", "pandas", "polars", "sklearn"}
LIBRARIES |= {"tensorboardX", "wandb"}
ROUNDING = 1e-6  # how far outputs may be from the README's where nothing is said


@pytest.fixture(autouse=True)
def _only_the_library_s_ops() -> Iterator[None]:
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


def run(name: str) -> tuple[dict[str, Any], str]:
    """The names a snippet leaves, and what it printed; what it builds on runs first, in the same namespace."""
    remark, text = SNIPPETS[name]
    where, _, which = remark.removeprefix("slow").strip().removeprefix("foreign").strip().partition(" ")
    if where == "after":
        names, _ = run(which)
    elif where == "in":
        module = which.removesuffix(".py").removeprefix("tests/").replace("/", ".")
        names = {**vars(importlib.import_module(module)), "__name__": "readme"}
    else:
        names = {"__name__": "readme"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, f"README: {name}", "exec"), names)
    return names, printed.getvalue()


def shape_of(text: str) -> list[str]:
    """The lines without what may differ between machines: numbers, bars, spacing, and the backend's name."""
    lines = []
    for line in text.replace("native/", "").splitlines():
        line = re.sub(r"\b(generic|avx2|avx512|neon|reference)\b", "ISA", line)
        lines.append(" ".join(NUMBER.sub("N", line).rstrip("# ").split()))
    return lines


def numbers_of(text: str) -> list[float]:
    text = re.sub(r"native/\w+", "", text)
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def assert_like(printed: str, promised: str, within: float) -> None:
    """The same lines, and every number within a factor of 1 ± within of the README's."""
    assert shape_of(printed) == shape_of(promised)
    np.testing.assert_allclose(numbers_of(printed), numbers_of(promised), rtol=within)


def test_every_python_block_is_a_snippet_or_typed_by_a_test() -> None:
    for block in BLOCKS:
        if block["language"] == "python":
            assert re.match(r"snippet: |typed: ", block["note"] or ""), f"nothing runs this block:\n{block['text']}"
    assert len(SNIPPETS) == sum((block["note"] or "").startswith("snippet: ") for block in BLOCKS), "a name comes twice"


def marks_of(name: str) -> list[pytest.MarkDecorator]:
    """slow: trains or loads for most of a second; CI runs it. foreign: another library warns of its own old age."""
    told = SNIPPETS[name][0].split(" after ")[0].split()
    marks = {"slow": pytest.mark.slow, "foreign": pytest.mark.filterwarnings("ignore")}
    return [marks[word] for word in told if word in marks]


OTHERS = [
    pytest.param(name, marks=marks_of(name))
    for name in sorted(SNIPPETS.keys() - {"first screen", "add an op", "add a row"})
]


@pytest.mark.parametrize("name", OTHERS)
def test_a_snippet_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        _, printed = run(name)
    except ImportError as error:
        if not isinstance(error, tr.errors.MissingExtraError) and str(error.name).partition(".")[0] not in LIBRARIES:
            raise
        pytest.skip(str(error))
    if name in OUTPUTS:
        remark, promised = OUTPUTS[name]
        assert_like(printed, promised, float(remark.removeprefix("within ")) if remark else ROUNDING)


def test_the_first_screen_prints_what_the_readme_shows() -> None:
    names, printed = run("first screen")
    promised = OUTPUTS["first screen"][1]
    accuracies = {line.split()[0]: float(line.split()[-1]) for line in printed.splitlines()[:2]}
    assert accuracies["residual"] > 0.9
    assert accuracies["plain"] < accuracies["residual"] - 0.2
    # The traces are of fresh weights: they differ between machines by rounding only.
    assert_like("\n".join(printed.splitlines()[2:]), "\n".join(promised.splitlines()[2:]), 0.06)
    assert all(trace.audit().ok for trace in names["traces"].values())
    plain, residual = tr.compare(**names["traces"]).flows
    assert plain.rate == pytest.approx(0.49, abs=0.03)
    assert residual.rate == pytest.approx(1.10, abs=0.05)
    for block in names["traces"]["residual"].blocks:
        assert 0.5 < block.skip < 0.85
        assert block.skip + block.branch == pytest.approx(1, abs=1e-6)


def test_adding_an_op_takes_one_record_and_one_row() -> None:
    added, _ = run("add an op")
    _, row = SNIPPETS["add a row"]
    case = eval(row, {**vars(importlib.import_module("op_cases.elementwise")), "cube": added["cube"]})
    assert case.op in OPS
    for shapes in case.shapes:
        inputs = case.inputs(shapes, "float32")
        np.testing.assert_allclose(case.run(*map(tr.tensor, inputs)).numpy(), case.oracle(*inputs), rtol=1e-5)
    assert tr.gradcheck(case.run, case.inputs(((2, 3),)), second_order=True)
    lines = [*SNIPPETS["add an op"][1].splitlines(), *row.splitlines()]
    assert sum(bool(line.strip()) for line in lines) < 20


def test_the_kernel_that_is_shown_is_what_test_growth_types() -> None:
    """Four places, each with the file that it goes into; that it builds and passes is shown there."""
    typed = {note.removeprefix("typed: "): text for note, text in TYPED}
    assert list(typed) == [name for name in ADDED if "kernel" in name or name.startswith("csrc/")]
    for path, text in typed.items():
        assert (ROOT / path).exists()
        assert text in "".join(ADDED[path].values())
    assert {block["text"] for block in BLOCKS if block["language"] == "c"} <= set(typed.values())


def test_ci_runs_the_commands_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    ci = ci.replace(" --quiet", "").replace('(cd "$work" && tinyres demo)', "tinyres demo")
    for command in (
        "python3 -m pip install . && tinyres demo",
        "python3 -m pip install -e '.[test]' && python3 -m pytest -n auto",
    ):
        assert f"\n{command}\n" in README
        assert f"\n{command}\n" in ci


def test_the_readme_is_short_and_names_every_page() -> None:
    assert len(README.splitlines()) <= 200
    linked = re.findall(r"\]\((tinyres/guide/[\w-]+\.md)\)", README)
    assert {f"tinyres/guide/{name}" for name in PAGES} == set(linked)
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_map_of_the_rooms_is_the_one_that_is_enforced() -> None:
    text = next(block["text"] for block in BLOCKS if block["text"].startswith("errors\n"))
    stack: list[tuple[int, str]] = []
    above: dict[str, set[str]] = {}
    for line in text.splitlines():
        room, indent = line.split()[0], len(line) - len(line.lstrip())
        stack = [(depth, name) for depth, name in stack if depth < indent]
        beside = re.match(rf" *{room} \(([^)]*)\)", line)
        above[room] = {name for _, name in stack} | set(beside[1].split(", ") if beside else ())
        stack.append((indent, room))
    for _ in above:  # what stands above a room in brackets is above too
        above = {room: names.union(*(above[name] for name in names)) for room, names in above.items()}
    assert set(above) == set(MAY_IMPORT)
    for room in above:
        if "training" not in {room, *above[room]}:  # training and what builds on it may import nearly all
            assert MAY_IMPORT[room] == above[room], room


def test_the_rooms_in_short_are_all_rooms_in_an_order_of_imports() -> None:
    """A room of the README imports only what stands above it, or before it in its line."""
    text = next(block["text"] for block in BLOCKS if block["text"].startswith("errors, "))
    order = [room for line in text.splitlines() for room in line.partition("  ")[0].split(", ")]
    assert sorted(order) == sorted(MAY_IMPORT)
    for room, may in MAY_IMPORT.items():
        assert may <= set(order[: order.index(room)]), room


def test_the_speeds_of_the_readme_are_those_of_the_guide() -> None:
    short, whole = (
        text[text.index("batch/units/blocks") :].partition("```")[0] for text in (README, PAGES["85-speed.md"])
    )
    assert len(short.splitlines()) >= 4 and set(short.splitlines()) <= set(whole.splitlines())


def test_files_that_the_page_on_internals_names_are_there() -> None:
    page = PAGES["90-internals.md"]
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    named = set(re.findall(r"`((?:[\w-]+/)*[\w.-]+\.(?:py|c|h|def|mjs))`", text))
    assert len(named) > 50
    homes = [ROOT, ROOT / "csrc", ROOT / "tinyres" / "capture"]
    assert not [name for name in named if not any((home / name).is_file() for home in homes)]
    mapped = page[page.index("## A map of csrc") :]
    for path in (ROOT / "csrc").iterdir():
        assert path.name.startswith((".", "_")) or f"`{path.name}`" in mapped, f"{path.name} is not on the map of csrc"


def test_every_experiment_and_preset_is_listed() -> None:
    table = MANUAL[MANUAL.index("| `tinyres experiment") :]
    assert re.findall(r"^\| `([\w-]+)` \|", table.partition("\n\n")[0], re.MULTILINE) == list(EXPERIMENTS)
    for name in PRESETS:
        assert f"`{name}`" in MANUAL


def test_every_environment_variable_is_listed() -> None:
    sources = [ROOT / "setup.py", *(ROOT / "csrc").glob("*.py"), *(ROOT / "tinyres").rglob("*.py")]
    read = set(re.findall(r"TINYRES_[A-Z_]*[A-Z]", "".join(path.read_text() for path in sources)))
    assert set(re.findall(r"^\| `(TINYRES_\w+)`", MANUAL, re.MULTILINE)) == read
