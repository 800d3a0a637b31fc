"""The libraries that tinyres is compared with, where they are installed, each held to one thread."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def load(name: str) -> Any:
    """torch or jax, ready to be timed."""
    module = importlib.import_module(name)
    if name == "torch":
        module.set_num_threads(1)
    return module


def openblas_sgemm() -> ctypes.c_void_p | None:
    """The cblas_sgemm (64-bit sizes) of the OpenBLAS that NumPy's wheel brings, or None if it brings another one."""
    numpy_folder = Path(np.__file__).parent
    for folder in (numpy_folder.parent / "numpy.libs", numpy_folder / ".dylibs"):
        for path in sorted(folder.glob("libscipy_openblas64_*")):
            function = ctypes.CDLL(str(path)).scipy_cblas_sgemm64_
            return ctypes.cast(function, ctypes.c_void_p)
    return None


def versions() -> str:
    """The installed peers and their versions, for the line above a table."""
    names = [name for name in ("numpy", "torch", "jax") if installed(name)]
    return ", ".join(f"{name} {importlib.import_module(name).__version__}" for name in names)
