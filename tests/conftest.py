"""What holds for every test: the native core is under test, and no test leaves a mark on the next one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

# One thread a process for NumPy and PyTorch: workers that run tests side by side would wait for one another's threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

import tinyres as tr
from tinyres.backends import native
from tinyres.engine.state import state
from tinyres.launch import door


def pytest_configure(config: pytest.Config) -> None:
    if tr.backend() != "native" and not os.environ.get("TINYRES_NO_EXT"):
        why = native.reason or "TINYRES_BACKEND chose another"
        raise pytest.UsageError(
            f"the native core is not under test: {why}. Install with: python3 -m pip install -e '.[test]' "
            "(set TINYRES_NO_EXT=1 to test the reference backend on purpose)"
        )


def _global_state() -> dict[str, Any]:
    return {
        "recorder at the door": door.recorder,
        "backend": tr.backend(),
        "instruction set": native.isa() if native.AVAILABLE else None,
        "threads": native.threads() if native.AVAILABLE else None,
        "gradients enabled": state.grad_enabled,
        "scope": state.scope,
        "recording of all leaves": state.record_all,
        "preserving": state.preserving,
        "NumPy's error handling": np.geterr(),
        "NumPy's global generator": np.random.get_state(legacy=False)["state"]["key"].tobytes(),  # noqa: NPY002
    }


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves global state changed; each test starts from seed 0."""
    tr.manual_seed(0)
    before = _global_state()
    yield
    after = _global_state()
    leaked = [name for name in before if before[name] != after[name]]
    assert not leaked, f"this test leaks: {', '.join(leaked)}"
