"""The files that come with tinyres: read where the package lies, also out of an archive; told where one is missing."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import tinyres as tr
from tinyres.data.bundled import bundled
from tinyres.errors import FileError

PACKAGE = pathlib.Path(tr.__file__).parent
PROGRAM = """
import tinyres as tr
print(tr.data.load_digits()[0][0].shape, tr.data.load_fashion()[1][0].shape, tr.data.load_plays())
"""


def test_what_is_missing_is_told() -> None:
    words = r"\[load_digits\] the data comes with tinyres, but none.npz is missing; install tinyres again"
    with pytest.raises(FileError, match=words):
        bundled("load_digits", "data", "none.npz")


@pytest.mark.slow
def test_it_is_read_out_of_an_archive(tmp_path: pathlib.Path) -> None:
    """It was said to be missing, and that tinyres is to be installed again."""
    shutil.copytree(PACKAGE, tmp_path / "tree" / "tinyres", ignore=shutil.ignore_patterns("_core*", "__pycache__"))
    archive = shutil.make_archive(str(tmp_path / "package"), "zip", tmp_path / "tree")
    command = [sys.executable, "-W", "ignore::RuntimeWarning", "-c", PROGRAM]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TINYRES_")}
    done = subprocess.run(
        command, cwd=tmp_path, env={**environment, "PYTHONPATH": archive}, capture_output=True, text=True
    )
    assert done.stdout.startswith("(1437, 64) (500, 28, 28, 1) <Text plays: 669261"), done.stderr
