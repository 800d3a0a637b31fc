"""The native backend: the C core `tinyres._core`, if it was built and matches the list of kernels in Python.

`NATIVE` is the backend; `run(calls, count)`, the C function behind it, walks `count` packed calls and gives -1, or the
index of the call whose value check failed.
Without a core `AVAILABLE` is False and `reason` says why; nothing here warns.

Environment: TINYRES_ISA and TINYRES_THREADS choose the instruction set and the number of threads at import.
"""

from __future__ import annotations

import importlib
import numbers
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tinyres.kernels  # fills KERNELS
from tinyres.backends.backend import Launch
from tinyres.backends.buffers import Buffer
from tinyres.errors import ArgumentError, BackendError
from tinyres.kernels.dtypes import FLOAT64
from tinyres.kernels.forms import HOSTED
from tinyres.kernels.record import CALL_BYTES, KERNELS, Kernel


def _load() -> tuple[Any, str]:
    """The core's functions and "", or None and why there is none."""
    try:
        core = importlib.import_module("tinyres._core")
    except ModuleNotFoundError:
        return None, _why_missing(Path(tinyres.kernels.__file__).parents[2])
    except ImportError as error:
        return None, f"it cannot be loaded: {error}; install tinyres again"
    listed = _listed(core.lib, core.ffi)
    mismatch = _mismatch(core.lib.tr_sizeof_call(), listed)
    if mismatch:
        return None, f"it does not match this version of tinyres: {mismatch}; install tinyres again"
    for native_id, name in enumerate(listed):
        KERNELS[name].native_id = native_id
    return core.lib, ""


def _why_missing(home: Path) -> str:
    """Why there is no core beside the package in this folder, and what to do."""
    for parent in (home, *home.parents):
        if parent.is_file():
            return f"it cannot be loaded out of the archive {parent}; unpack it, or pip install tinyres"
    said = _said_by_compiler(home)
    if (home / "csrc" / "build_ffi.py").is_file():
        shadows = "this source tree shadows the installed tinyres" if _installed_elsewhere(home) else "a source tree"
        why = f" ({said})" if said else ""
        return f"{shadows}: {home} has no core of its own{why}; run: python3 -m pip install -e {home}"
    why = said or "no C compiler, no Python.h, or TINYRES_NO_EXT=1"
    return f"not built at install time: {why}; install again with a C compiler"


def _said_by_compiler(home: Path) -> str:
    """What ended the build of the core: csrc/compiling.py has written it beside the package's modules."""
    try:
        return (home / "tinyres" / "_no_core.txt").read_text(errors="replace").strip()
    except OSError:
        return ""


def _installed_elsewhere(home: Path) -> bool:
    """Whether another folder of the module path has a tinyres with a core."""
    others = [Path(entry or ".") for entry in sys.path]
    return any(next((other / "tinyres").glob("_core.*"), None) for other in others if other.resolve() != home.resolve())


def _listed(lib: Any, ffi: Any) -> dict[str, list[str]]:
    """The core's list of kernels, in the order of their ids: name -> `_facts`."""
    columns = "name", "outs", "ins", "args", "scalars", "flush"
    texts = [getattr(lib, f"tr_kernel_{column}") for column in columns]
    rows = ([ffi.string(text(i)).decode() for text in texts] for i in range(lib.tr_kernel_count()))
    return {name: facts for name, *facts in rows}


def _facts(kernel: Kernel) -> list[str]:
    """What both lists say of a kernel: outs, ins, args, scalars, and whether it flushes subnormal numbers."""
    return [kernel.outs, kernel.ins, " ".join(kernel.args), " ".join(kernel.scalars), kernel.flush]


def _mismatch(call_bytes: int, listed: dict[str, list[str]]) -> str:
    """How the core differs from KERNELS; "" where they agree."""
    if call_bytes != CALL_BYTES:
        return f"a call has {call_bytes} bytes there and {CALL_BYTES} here"
    here = {kernel.name: _facts(kernel) for kernel in KERNELS.values()}
    for name in sorted(listed.keys() | here.keys()):
        if listed.get(name) != here.get(name):
            return f"kernel {name} is {listed.get(name, 'missing')} there and {here.get(name, 'missing')} here"
    return ""


_lib, reason = _load()
AVAILABLE: bool = _lib is not None


def _require() -> Any:
    if _lib is None:
        raise BackendError(f"[backend] this needs the C core, which is not there: {reason}")
    return _lib


def _run_without_core(calls: bytes, count: int) -> int:
    return int(_require().tr_run(calls, count))


# Bound to the C function itself: a Python frame in between would cost as much as a small kernel.
run = _lib.tr_run if AVAILABLE else _run_without_core


class Native:
    """Takes calls whose floats are float32."""

    name = "native"

    def takes(self, kernel: Kernel, outs: Sequence[Buffer], ins: Sequence[Buffer]) -> bool:
        """Whether the core has it, and no float operand is float64."""
        if kernel.form is HOSTED:
            return False
        return kernel.float_operand < 0 or (*outs, *ins)[kernel.float_operand].dtype is not FLOAT64

    def run(self, calls: Sequence[Launch]) -> int:
        """Run the calls in one crossing into C; -1, or the index of the call whose value check failed."""
        packed = self.pack(calls)
        if packed is None:
            raise BackendError("[backend] the C core takes float32 only; got a call on float64; run it with NumPy")
        return run(packed, len(calls))

    def pack(self, calls: Sequence[Launch]) -> bytes | None:
        """The calls as C structs, one behind the other; None where one of them is not for this backend."""
        packed = [
            kernel.pack_buffers(outs, ins, args, scalars, flags) for kernel, outs, ins, args, scalars, flags in calls
        ]
        try:
            return b"".join(packed)  # type: ignore[arg-type]
        except TypeError:  # one of them is None
            return None


NATIVE = Native()


def cost(call: bytes) -> float:
    """What a packed call costs on one fast core, in ns: the core's estimate from its sizes."""
    return float(_require().tr_call_cost(call))


def isas() -> dict[str, bool]:
    """Every instruction set the core was compiled for, worst first, and whether this machine supports it."""
    lib = _require()
    ffi = importlib.import_module("tinyres._core").ffi
    return {
        ffi.string(lib.tr_isa_name(isa)).decode(): bool(lib.tr_isa_supported(isa)) for isa in range(lib.tr_isa_count())
    }


def isa() -> str:
    """The instruction set in use."""
    return list(isas())[_require().tr_isa_current()]


def select_isa(name: str) -> None:
    """Run all further calls with this instruction set; BackendError if it is unknown or not supported here."""
    known = isas()
    if not known.get(name):
        supported = ", ".join(known_name for known_name, is_supported in known.items() if is_supported)
        what = "is not supported by this machine" if name in known else "is not known"
        raise BackendError(f"[backend] the instruction set {name!r} {what}; choose one of: {supported}")
    _require().tr_isa_select(list(known).index(name))


# More than any machine has; the core itself uses at most 64.
MOST_THREADS = 65536


def threads() -> int:
    """The number of threads a call may use, the calling one included."""
    return int(_require().tr_get_threads())


def set_threads(count: int) -> int:
    """Use at most `count` threads (0: one for each CPU this process may use); gives the number in force.

    Raises ArgumentError for another count, BackendError without the C core.

    >>> import tinyres as tr
    >>> tr.set_threads(1)
    1
    >>> tr.set_threads(0) >= 1
    True
    """
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or not 0 <= count <= MOST_THREADS:
        raise ArgumentError(
            f"[set_threads] the number of threads is an int in 1..{MOST_THREADS}, or 0 for all CPUs; got {count!r}; "
            "choose one"
        )
    return int(_require().tr_set_threads(int(count)))


def _configure() -> None:
    name = os.environ.get("TINYRES_ISA", "")
    if name:
        select_isa(name)
    count = os.environ.get("TINYRES_THREADS")
    if count is not None:
        if not (count.isascii() and count.isdecimal() and len(count) <= 8 and int(count) <= MOST_THREADS):
            raise BackendError(
                "[backend] TINYRES_THREADS must be a number of threads in decimal digits, "
                f"1..{MOST_THREADS}, or 0 for all CPUs; got {count[:40]!r}; unset it"
            )
        set_threads(int(count))


if AVAILABLE:
    _configure()
