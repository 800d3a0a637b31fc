"""The C core as an optional extension, and the files of it that a source distribution needs.

Everything else stands in pyproject.toml. Without a C compiler or Python.h, or with TINYRES_NO_EXT=1, the install
succeeds without the core, and tinyres runs on its NumPy backend; `tinyres info` says what the compiler had said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

sys.path.insert(0, "csrc")
from compiling import build_core

TOLD = ("CHANGELOG.md", "CITATION.cff", "SECURITY.md")
CORE = [] if os.environ.get("TINYRES_NO_EXT") == "1" else ["csrc/build_ffi.py:ffibuilder"]


class build_optional_core(build_core):
    """Reports a core that cannot be built and goes on."""

    def build_extensions(self) -> None:
        for extension in self.extensions:
            extension.optional = True
        super().build_extensions()


class sdist_with_core(sdist):
    """Adds the C sources and the tests, which setuptools does not find by itself."""

    def make_release_tree(self, base_dir: str, files: Iterable[str]) -> None:
        roots = ["csrc", "tests", "bench"]
        suffixes = {".c", ".h", ".def", ".py", ".sh", ".npz", ".npy", ".json", ".mjs"}
        extra = [str(p) for root in roots for p in sorted(Path(root).rglob("*")) if p.suffix in suffixes]
        super().make_release_tree(base_dir, sorted({*filter(os.path.exists, files), *extra, *TOLD}))


# On Windows setuptools asks for no CC unless it is told that the compiler takes GCC's options, as Clang does.
WITH_CC = {"compiler": "mingw32"} if sys.platform == "win32" and "CC" in os.environ else {}

setup(
    cffi_modules=CORE,
    cmdclass={"build_ext": build_optional_core, "sdist": sdist_with_core},
    # cffi compiles against the stable ABI: one wheel serves every CPython from 3.10 on.
    options={"bdist_wheel": {"py_limited_api": "cp310"}, "build_ext": WITH_CC},
)
