"""How the C core is compiled: its sources side by side, with a line for each; what a compiler that fails says is kept.

Used by setup.py and by `python3 csrc/build_ffi.py`; never imports tinyres. MAX_JOBS says how many compilers run at once
(default: one per CPU); ccache is used where it is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

# What takes long, the longest first: begun last, it would be waited for alone.
LONGEST = ("isa_avx512_tiles", "isa_avx512", "isa_neon_tiles", "isa_neon", "isa_generic", "isa_avx2_tiles", "isa_avx2")

REASON = "_no_core.txt"  # beside the package's modules; tinyres/backends/native.py reads it
MOST_SAID = 300


def jobs() -> int:
    """How many compilers run at once."""
    asked = os.environ.get("MAX_JOBS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(compile_sources: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """The compile method of a compiler, for all sources at once."""

    def compile_told(source: str, **options: Any) -> list[str]:
        start = time.monotonic()
        objects = compile_sources([source], **options)
        print(f"compiled {source} in {time.monotonic() - start:.1f} s", flush=True)
        return objects

    def begins(source: str) -> int:
        return LONGEST.index(Path(source).stem) if Path(source).stem in LONGEST else len(LONGEST)

    def compile_all(sources: list[str], **options: Any) -> list[str]:
        workers = ThreadPoolExecutor(jobs())
        try:
            started = {
                source: workers.submit(compile_told, source, **options) for source in sorted(sources, key=begins)
            }
            return [name for source in sources for name in started[source].result()]
        finally:
            workers.shutdown(cancel_futures=True)  # where one has failed the others need not begin

    return compile_all


def said_by(command: list[str]) -> str:
    """What a command that fails says: its first line about an error, else its last line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    line = (errors or lines[-1:] or ["it said nothing"])[0]
    return f"{command[0]} ended with status {done.returncode}: {line}"[:MOST_SAID]


def noting(run: Callable[..., Any], notes: list[str]) -> Callable[..., Any]:
    """A method by which a compiler runs commands; what one that fails says is noted: it is run once more for that."""

    def run_noted(command: list[str], **options: Any) -> Any:
        try:
            return run(command, **options)
        except (ExecError, subprocess.CalledProcessError, OSError):
            notes.append(said_by(command))
            raise

    return run_noted


class build_core(build_ext):
    """Compiles side by side; notes why there is no core beside the package's modules."""

    def run(self) -> None:
        places = [Path(self.build_lib) / "tinyres"]
        if self.inplace:
            places.append(Path("tinyres"))
        self.reason = ""
        super().run()
        for place in places:
            (place / REASON).unlink(missing_ok=True)
            if self.reason:
                place.mkdir(parents=True, exist_ok=True)
                (place / REASON).write_text(self.reason + "\n")

    def build_extension(self, extension: Extension) -> None:
        compiler = self.compiler
        ccache, command = shutil.which("ccache"), getattr(compiler, "compiler_so", None)
        if ccache and command and Path(command[0]).stem != "ccache":
            compiler.compiler_so = [ccache, *command]
        compiler.compile = side_by_side(compiler.compile)
        notes: list[str] = []
        for method in ("spawn", "call"):  # the second is what newer releases of setuptools run
            if hasattr(compiler, method):
                setattr(compiler, method, noting(getattr(compiler, method), notes))
        try:
            super().build_extension(extension)
        except (CCompilerError, ExecError, PlatformError) as error:
            self.reason = notes[0] if notes else str(error)
            raise
