"""Compiles the C core to WebAssembly: `python3 -m tinyres.play.build`.

The module is `tr.wasm`: the kernels of csrc for 128-bit vectors, without threads, and nothing that it imports. Relaxed
SIMD stays off: what it rounds is left to the machine, and a page would no longer give the bits of TINYRES_ISA=generic.
A second one, `page.wasm`, has only the kernels that nets of the page run: half of it, so that the page opens sooner.
WebAssembly has no way to count subnormal numbers as 0, which is the one thing in which it may differ.

Needs `zig` (`python3 -m pip install 'tinyres[page]'` brings it) or a clang for wasm32-wasi, and the folder csrc of the
sources.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from tinyres.errors import ArgumentError, MissingExtraError
from tinyres.layers.blocks import PRESETS
from tinyres.play.nets import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, Net
from tinyres.play.record import Recorded
from tinyres.play.wasm import COMMAND, PAGE_WASM, WASM

CSRC = Path(__file__).resolve().parents[2] / "csrc"
SOURCES = ("dispatch.c", "run.c", "isa_generic.c", "isa_generic_tiles.c", "wasm/pool_alone.c")
EXPORTS = ("malloc", "free", "tr_run", "tr_sizeof_call", "tr_kernel_count", "tr_kernel_name")

_KERNEL = re.compile(r"^TR_KERNEL\((?P<name>\w+),.*\n(?:[ \t].*\n)*", re.MULTILINE)

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


def build(target: Path = WASM, csrc: Path = CSRC, only: Collection[str] | None = None) -> Path:
    """Compile csrc to `target`, whole or not at all; only: the kernels that it is to have, by name, None: all.

    Raises ArgumentError without sources, or where they fail.
    """
    if not (csrc / "kernels.def").is_file():
        raise ArgumentError(
            f"[build] the sources of the core are needed; got no kernels.def in {csrc}; run this in a checkout or an "
            "unpacked source distribution of tinyres"
        )
    command = compiler()
    with tempfile.TemporaryDirectory() as folder:
        made, sources = Path(folder) / "tr.wasm", csrc
        if only is not None:
            sources = Path(shutil.copytree(csrc, Path(folder) / "csrc"))
            kernels = sources / "kernels.def"
            kernels.write_text(_chosen(kernels.read_text(encoding="utf-8"), only), encoding="utf-8")
        arguments = [*command, *FLAGS, f"-I{sources}", *(str(sources / name) for name in SOURCES), "-o", str(made)]
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


def _chosen(kernels: str, only: Collection[str]) -> str:
    """kernels.def with the lines of these kernels alone."""
    return _KERNEL.sub(lambda found: found[0] if found["name"] in only else "", kernels)


def kernels_of_the_page() -> set[str]:
    """What nets of the page run: each block, each activation, each optimizer and each initialiser is recorded once."""
    nets = [Net(block, blocks=1, units=4, optimizer=optimizer) for block in PRESETS for optimizer in OPTIMIZERS]
    nets += [Net(blocks=1, units=4, activation=activation) for activation in ACTIVATIONS]
    nets += [Net(blocks=1, units=4, initializer=initializer) for initializer in INITIALIZERS]
    return {kernel for net in nets for kernel in Recorded(net).file().header["kernels"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """What the command runs."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Compile the C core to WebAssembly, for the page.")
    parser.add_argument(
        "--to", type=Path, default=WASM, help="where tr.wasm goes, and page.wasm beside it (default: the package)"
    )
    target = parser.parse_args(arguments).to
    for made in (build(target), build(target.with_name(PAGE_WASM.name), only=kernels_of_the_page())):
        print(f"{made}: {made.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
