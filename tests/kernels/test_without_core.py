"""What an import says where the C core is not there: which package was imported, why it has no core, and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tinyres as tr
from tinyres.backends import native
from tinyres.errors import ArgumentError

pytestmark = pytest.mark.slow

PACKAGE = Path(tr.__file__).parent
# An editable install would lend its core to any tinyres that is imported.
ALONE = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]; "
SAY = ALONE + "import warnings; warnings.simplefilter('error'); import tinyres"
COUNT = "import tinyres.backends.native as n; print(n.threads())"


def _run(program: str, *folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), **environment}
    cwd = folders[0].parent  # python -c looks there first
    return subprocess.run([sys.executable, "-c", program], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture()
def tree(tmp_path: Path) -> Path:
    """A checkout whose package has no core."""
    home = tmp_path / "checkout"
    shutil.copytree(PACKAGE, home / "tinyres", ignore=shutil.ignore_patterns("_core.*", "_no_core.txt", "__pycache__"))
    (home / "csrc").mkdir()
    (home / "csrc" / "build_ffi.py").write_text("")
    return home


def test_a_source_tree_that_shadows_the_installed_package_says_so(tree: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    (installed / "tinyres").mkdir(parents=True)
    (installed / "tinyres" / "_core.abi3.so").write_bytes(b"")
    told = _run(SAY, tree, installed).stderr
    assert "this source tree shadows the installed tinyres" in told
    assert f"run: python3 -m pip install -e {tree}" in told
    assert "compiler" not in told


def test_a_source_tree_that_was_never_built_names_the_command(tree: Path) -> None:
    told = _run(SAY, tree).stderr
    assert f"a source tree: {tree} has no core of its own; run: python3 -m pip install -e {tree}" in told


def test_a_package_installed_without_a_compiler_says_so(tree: Path) -> None:
    shutil.rmtree(tree / "csrc")
    assert "no C compiler, no Python.h, or TINYRES_NO_EXT=1; install again with a C compiler" in _run(SAY, tree).stderr


def test_what_the_compiler_said_is_kept(tree: Path) -> None:
    (tree / "tinyres" / "_no_core.txt").write_text("fatal error: Python.h: No such file or directory\n")
    said = "has no core of its own (fatal error: Python.h: No such file or directory); run: python3 -m pip install -e"
    assert said in _run(SAY, tree).stderr
    shutil.rmtree(tree / "csrc")
    told = _run(ALONE + "import tinyres; print(tinyres.info()['native core'])", tree).stdout
    assert told.startswith("not there: not built at install time: fatal error: Python.h: No such file")


def test_a_package_in_an_archive_says_so_and_works(tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (tree / "tinyres").rglob("*"):
            file.write(path, path.relative_to(tree))
    assert f"it cannot be loaded out of the archive {archive}; unpack it, or pip install tinyres" in (
        _run(SAY, archive).stderr
    )
    done = _run("import tinyres as tr; print((tr.tensor([1.0, 2.0]) * 2).sum().item())", archive)
    assert done.stdout == "6.0\n"


@pytest.mark.skipif(not native.AVAILABLE, reason="threads are the core's")
@pytest.mark.parametrize("value", ["0x2", "-1", "10" * 12, "65537", "", " ", "2.0", "²", "٣"])
def test_an_environment_with_no_number_of_threads_is_refused(value: str) -> None:
    done = _run(COUNT, PACKAGE.parent, TINYRES_THREADS=value)
    assert done.returncode == 1
    rule = "[backend] TINYRES_THREADS must be a number of threads in decimal digits, 1..65536, or 0 for all CPUs; got "
    assert rule in done.stderr.splitlines()[-1]


@pytest.mark.skipif(not native.AVAILABLE, reason="threads are the core's")
@pytest.mark.parametrize("count", [-1, 10**12, 2**31, 2.0, "2", True, None])
def test_set_threads_takes_a_count_in_range(count: object) -> None:
    before = native.threads()
    with pytest.raises(ArgumentError, match=r"\[set_threads\] the number of threads is an int in 1\.\.65536, or 0 "):
        tr.set_threads(count)  # type: ignore[arg-type]
    assert native.threads() == before
