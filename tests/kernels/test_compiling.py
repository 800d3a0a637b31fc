"""The core is compiled side by side, and what a compiler that fails says is kept; the compilers here are scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# Takes two empty sources through the command of the core, in a tree of its own.
BUILD = """
import sys
sys.path.insert(0, sys.argv[1])
from compiling import build_core
from setuptools import Distribution, Extension

class build_optional(build_core):
    def build_extensions(self):
        self.extensions[0].optional = True
        super().build_extensions()

sources = ["a.c", "isa_generic.c", "isa_avx512_tiles.c"]
core = Extension("tinyres._core", sources=sources)
command = Distribution({"name": "tinyres", "ext_modules": [core], "cmdclass": {"build_ext": build_optional}})
command = command.get_command_obj("build_ext")
command.build_lib, command.build_temp = "lib", "temp"
command.ensure_finalized()
command.run()
"""
# Does what a compiler does to its outputs, and notes in which order sources have come.
COMPILER = """#!/bin/sh
{first}
while [ $# -gt 0 ]; do
    case $1 in -o) : > "$2" ;; -c) echo "$2" >> order.txt ;; esac
    shift
done
"""


@pytest.fixture()
def tree(tmp_path: Path) -> Path:
    for name in ("a.c", "isa_generic.c", "isa_avx512_tiles.c"):
        (tmp_path / name).write_text("")
    return tmp_path


def build(tree: Path, first: str = "", **environment: str) -> str:
    compiler = tree / "compiler"
    compiler.write_text(COMPILER.format(first=first))
    compiler.chmod(0o755)
    env = {**os.environ, "CC": str(compiler), "MAX_JOBS": "1", "PATH": f"{tree}:/usr/bin:/bin", **environment}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(ROOT / "csrc")], cwd=tree, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def reason(tree: Path) -> str:
    return (tree / "lib" / "tinyres" / "_no_core.txt").read_text()


def test_each_source_has_its_line_and_the_longest_begins(tree: Path) -> None:
    printed = build(tree)
    for name in ("a.c", "isa_generic.c", "isa_avx512_tiles.c"):
        assert f"compiled {name} in 0." in printed
    assert (tree / "order.txt").read_text().split() == ["isa_avx512_tiles.c", "isa_generic.c", "a.c"]
    assert not (tree / "lib" / "tinyres" / "_no_core.txt").exists()


def test_ccache_stands_before_the_compiler_where_it_is(tree: Path) -> None:
    (tree / "ccache").write_text('#!/bin/sh\necho "$1" >> cached.txt\nexec "$@"\n')
    (tree / "ccache").chmod(0o755)
    build(tree)
    assert (tree / "cached.txt").read_text().split() == [str(tree / "compiler")] * 3


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("exit 1", "ended with status 1: it said nothing"),
        (
            "echo \"cc: error: unrecognized command-line option '-std=gnu11'\" >&2; exit 4",
            "ended with status 4: cc: error: unrecognized command-line option '-std=gnu11'",
        ),
        (
            'echo "a.c: In function:" >&2; echo "a.c:1: fatal error: Python.h: No such file" >&2; exit 1',
            "ended with status 1: a.c:1: fatal error: Python.h: No such file",
        ),
    ],
)
def test_what_a_compiler_that_fails_says_is_kept_until_it_works(tree: Path, first: str, said: str) -> None:
    build(tree, first)
    assert reason(tree) == f"{tree / 'compiler'} {said}\n"
    build(tree)
    assert not (tree / "lib" / "tinyres" / "_no_core.txt").exists()


def test_a_compiler_that_is_not_there_is_named(tree: Path) -> None:
    build(tree, CC="/no/compiler")
    assert reason(tree) == "/no/compiler: No such file or directory\n"
