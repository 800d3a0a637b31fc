"""Compiles the C core to WebAssembly: `python3 -m tinyres.play.build`.

The module is `tr.wasm`: the kernels of csrc for 128-bit vectors, without threads, and nothing that it imports. Relaxed
SIMD stays off: what it rounds is left to the machine, and a page would no longer give the bits of TINYRES_ISA=generic.
WebAssembly has no way to count subnormal numbers as 0, which is the one thing in which it may differ.

Needs `zig` (`python3 -m pip install 'tinyres[page]'` brings it) or a clang for wasm32-wasi, and the folder csrc of the
sources.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tinyres.errors import ArgumentError, MissingExtraError
from tinyres.play.wasm import COMMAND, WASM

CSRC = Path(__file__).resolve().parents[2] / "csrc"
SOURCES = ("dispatch.c", "run.c", "isa_generic.c", "wasm/pool_alone.c")
EXPORTS = ("malloc", "free", "tr_run", "tr_sizeof_call", "tr_kernel_count", "tr_kernel_name")

# What csrc/build_ffi.py says of the core, for a machine of 128-bit vectors and without threads.
FLAGS = (
    "--target=wasm32-wasi",
    "-mexec-model=reactor",
    "-mcpu=generic+simd128+bulk_memory",
    "-std=gnu11",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wall",
    "-g0",
    "-lm",
    "-Wl,--strip-all",
    *(f"-Wl,--export={name}" for name in EXPORTS),
)


def compiler() -> list[str]:
    """The command of a compiler for wasm32-wasi: TINYRES_WASM_CC, or zig's. Raises MissingExtraError."""
    chosen = os.environ.get("TINYRES_WASM_CC")
    if chosen:
        return shlex.split(chosen)
    if importlib.util.find_spec("ziglang") is None:
        raise MissingExtraError(
            "[build] the page needs a compiler for WebAssembly; ziglang is not installed; run: python3 -m pip install "
            "'tinyres[page]', or set TINYRES_WASM_CC to a clang with a wasm32-wasi libc"
        )
    return [sys.executable, "-m", "ziglang", "cc"]


def build(target: Path = WASM, csrc: Path = CSRC) -> Path:
    """Compile csrc to `target`, whole or not at all. Raises ArgumentError without sources, or where they fail."""
    if not (csrc / "kernels.def").is_file():
        raise ArgumentError(
            f"[build] the sources of the core are needed; got no kernels.def in {csrc}; run this in a checkout or an "
            "unpacked source distribution of tinyres"
        )
    command = compiler()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "tr.wasm"
        arguments = [*command, *FLAGS, f"-I{csrc}", *(str(csrc / name) for name in SOURCES), "-o", str(made)]
        done = subprocess.run(arguments, capture_output=True, text=True)
        if done.returncode:
            raise ArgumentError(
                f"[build] the compiler must take the sources; got from {command[-1]}: {done.stderr.strip()[-2000:]}; "
                f"correct them, or use another compiler"
            )
        staged = target.with_suffix(f".{os.getpid()}")
        staged.write_bytes(made.read_bytes())
        staged.replace(target)
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """What the command runs."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Compile the C core to WebAssembly, for the page.")
    parser.add_argument("--to", type=Path, default=WASM, help="where the module goes (default: into the package)")
    target = build(parser.parse_args(arguments).to)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
