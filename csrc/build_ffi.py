"""Builds the C core as the cffi module `tinyres._core`.

setup.py names `csrc/build_ffi.py:ffibuilder` in `cffi_modules`; `python csrc/build_ffi.py` builds the same module in
place for development. The cdef is the marked part of tr.h plus one enum constant `TR_ID_<kernel>` per line of
kernels.def, so no declaration is written twice. This file never imports tinyres: at build time there is none.

TINYRES_SANITIZE=address,undefined (or thread) builds with those sanitizers of gcc or clang.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from cffi import FFI

# setuptools wants paths relative to the directory of setup.py, and executes this file from there.
CSRC = "csrc"
SOURCES = [
    *("cpus.c", "dispatch.c", "pool.c", "run.c", "isa_generic.c", "isa_avx2.c", "isa_avx512.c", "isa_neon.c"),
    *("isa_generic_tiles.c", "isa_avx2_tiles.c", "isa_avx512_tiles.c", "isa_neon_tiles.c"),
]
ROOT = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd()

# No -march and no -ffast-math: each isa_*.c names its target itself, and fast-math would switch the whole Python
# process to flushing subnormals.
COMPILE_FLAGS = [
    "-std=gnu11",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-pthread",
    "-Wall",
    "-Wno-psabi",
    "-g0",  # Python's own flags often say -g: that is seven eighths of the size and a quarter of the time
]
LINK_FLAGS = ["-pthread"]


def cdef() -> str:
    """Returns the declarations for cffi: the marked part of tr.h and the enum of kernel ids."""
    header = (ROOT / CSRC / "tr.h").read_text()
    declarations = header.split("/* <cdef> */")[1].split("/* </cdef> */")[0]
    names = re.findall(r"^TR_KERNEL\((\w+),", (ROOT / CSRC / "kernels.def").read_text(), re.MULTILINE)
    ids = ", ".join(f"TR_ID_{name}" for name in names)
    return f"{declarations}\nenum tr_kernel_id {{ {ids}, TR_KERNEL_COUNT }};\n"


def sanitizer_flags() -> list[str]:
    """Returns the compiler and linker flags that TINYRES_SANITIZE asks for."""
    sanitizers = os.environ.get("TINYRES_SANITIZE", "")
    if not sanitizers:
        return []
    # -O1 wins over the -O3 above: with it instrumented vector code takes minutes to compile.
    return [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-O1", "-g"]


def make_ffibuilder() -> FFI:
    """Returns the cffi builder of `tinyres._core`."""
    builder = FFI()
    builder.cdef(cdef())
    depends = [f"{CSRC}/{path.name}" for path in sorted((ROOT / CSRC).iterdir()) if path.suffix in {".c", ".h", ".def"}]
    builder.set_source(
        "tinyres._core",
        '#include "tr.h"',
        sources=[f"{CSRC}/{name}" for name in SOURCES],
        depends=depends,
        include_dirs=[CSRC],
        extra_compile_args=COMPILE_FLAGS + sanitizer_flags(),
        extra_link_args=LINK_FLAGS + sanitizer_flags(),
        libraries=["m"],
    )
    return builder


ffibuilder = make_ffibuilder()


def build_in_place() -> None:
    """Builds `tinyres/_core.abi3.so` beside the Python sources."""
    from compiling import build_core
    from setuptools import Distribution

    os.chdir(ROOT)
    distribution = Distribution(
        {
            "name": "tinyres",
            "cffi_modules": [f"{CSRC}/build_ffi.py:ffibuilder"],
            "cmdclass": {"build_ext": build_core},
        }
    )
    command = distribution.get_command_obj("build_ext")
    # A fresh directory for the object files: two builds at once never share one, and an included file that changed
    # always counts.
    with tempfile.TemporaryDirectory() as objects:
        command.build_temp = objects
        command.build_lib = objects
        command.ensure_finalized()
        command.run()
        for library in Path(objects).glob("tinyres/_core*"):
            if library.suffix in {".so", ".pyd"}:
                target = ROOT / "tinyres" / library.name
                target.parent.mkdir(exist_ok=True)
                staged = target.with_suffix(f".{os.getpid()}")
                staged.write_bytes(library.read_bytes())
                staged.chmod(0o755)
                staged.replace(target)  # atomic: a process that has the old one loaded keeps it
                print(target.relative_to(ROOT))


if __name__ == "__main__":
    build_in_place()
