"""`tinyres run SCRIPT`: as `python SCRIPT`, to the last line of a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinyres.cli import main

ROOT = Path(__file__).resolve().parents[2]


def run_here(script: str, folder: Path, *args: str) -> int:
    (folder / "train.py").write_text(script)
    return main(["run", str(folder / "train.py"), *args])


def test_the_script_is_the_main_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "beside_the_script.py").write_text("VALUE = 7\n")
    before = sys.argv, sys.path[:]
    script = "import sys, beside_the_script as b\nprint(__name__, sys.argv[1:], b.VALUE, __file__ == sys.argv[0])\n"
    assert run_here(script, tmp_path, "--epochs", "3", "-x") == 0
    assert capsys.readouterr().out == "__main__ ['--epochs', '3', '-x'] 7 True\n"
    assert (sys.argv, sys.path) == before
    del sys.modules["beside_the_script"]


@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no data')", 1, "no data\n"),
        ("raise SystemExit", 0, ""),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("def f(:", 1, "SyntaxError"),
        (
            "import tinyres as tr; tr.tensor([1.0, 2.0]).item()",
            1,
            "tinyres.errors.ShapeError: [item] needs one element",
        ),
    ],
)
def test_how_it_ends(script: str, code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(script, tmp_path) == code
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_a_traceback_is_that_of_python(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("def fail():\n    raise ValueError('a\\nb')\n\n\nfail()\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ways = [[sys.executable, "-m", "tinyres", "run"], [sys.executable]]
    told = [subprocess.run([*way, str(script)], capture_output=True, text=True, env=environment) for way in ways]
    assert told[0].stderr == told[1].stderr and told[0].returncode == told[1].returncode == 1


def test_what_is_no_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none.py")]) == 2
    assert "[run] it runs a Python script; got " in capsys.readouterr().err
