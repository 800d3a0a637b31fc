"""The error bounds of the elementary functions, on a sample; bench/ulp.py proves them over all inputs."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tinyres.backends import native

ISAS = [name for name, supported in native.isas().items() if supported] if native.AVAILABLE else []


def _bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ulp", Path(__file__).parents[2] / "bench" / "ulp.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["ulp"] = module
    spec.loader.exec_module(module)
    return module


ulp = _bench()

# The worst inputs that the full scan has found, and where a function changes its method.
HARD = {
    "exp": [5.201929, -5.8606462, -27.379068, 88.722839, 88.722847, -87.33654, -87.33655, -103.97208, -103.97209],
    "log": [1.4009095, 1.5627851, 0.70710677, 0.70710683, 1.4142135, 1.4142137, 1.1754944e-38, 1e-45],
    "tanh": [8.14447975, -8.14486694, 0.17725779, 0.17328680, 0.51986039, 0.86643398, 1.2130076, 9.0109, 10.0],
    "sigmoid": [-1.0993261, -1.1137725, -87.5, -103.9, 17.5, 88.0],
    "softplus": [-0.8808527, -0.7524354, -0.88137358, -0.88137364, 17.0, -104.0],
    "sqrt": [2.0, 3.0, 1e-45],
    "reciprocal": [3.0, 1e-39, 3.4e38],
    "erf": [1.0, 1.0074356, -1.0564705, 3.9, 5.0, 1e-39],
    "log1p": [-1.0, -0.99999994, -0.29289322, 0.41421357, 0.42937675, 1e-39, 1.7e38],
    "expm1": [0.36814973, 0.38925225, -0.34657359, 0.34657359, 88.72284, -17.4, -20.0, 1e-39],
    "sin": [3.1415927, 1.5707964, 1048576.0, 1e30, 1e-39, -0.076917075],
    "cos": [3.1415927, 1.5707964, 1048576.0, 1e30, 1e-39, -1.345367],
    "gelu": [-0.75, -5.0, -13.102455, -13.317631, -14.2, 16.0, 1e-39],
    "silu": [-5.1234169, -87.3, -103.9, -104.0, 88.0, 1e-39],
}


@pytest.fixture(autouse=True)
def _restore_isa() -> Iterator[None]:
    before = native.isa() if native.AVAILABLE else None
    yield
    if before:
        native.select_isa(before)


def test_the_core_is_there() -> None:
    assert native.AVAILABLE or os.environ.get("TINYRES_NO_EXT") == "1", native.reason


@pytest.mark.parametrize("name", sorted(ulp.TRUTH) if ISAS else [])
def test_errors_stay_within_their_bounds(name: str) -> None:
    everywhere = np.arange(0, 1 << 32, 10007, dtype=np.uint32)
    ordinary = np.concatenate([np.linspace(-110, 110, 100_001), np.linspace(-2, 2, 100_001)]).astype(np.float32)
    around = np.array(HARD[name], np.float32).view(np.uint32)[:, None] + np.arange(-64, 65, dtype=np.int64)
    bits = np.concatenate([everywhere, ordinary.view(np.uint32), around.astype(np.uint32).ravel()])
    for isa, (error, x) in zip(ISAS, ulp.worst(name, bits, ISAS), strict=True):
        assert error <= ulp.BOUNDS[name], f"{name}({x!r}) is off by {error} ulp on {isa}"


def test_the_measure_of_errors() -> None:
    one = np.float32(1)
    result = np.array([one, np.nextafter(one, np.float32(2)), np.inf, np.inf, np.nan, 0, 1e-45], np.float32)
    truth = np.array([1, 1, 2.0**128 - 2.0**103, 1e300, np.nan, np.nan, 0])
    assert ulp.error_in_ulp(result, truth).tolist() == [0, 1, 0.5, 0, 0, np.inf, 1]
