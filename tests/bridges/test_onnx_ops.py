"""Each op's form in ONNX, run by onnxruntime beside the op, for the rows of the table of op cases."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import CASES, Case

import tinyres as tr
from tinyres.engine.op import OPS

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from tinyres.onnx.exporting import written
from tinyres.onnx.recording import paired, run_recorded
from tinyres.onnx.writing import REFUSED, WRITERS

# Sums in another order; of large numbers the last bits.
LOOSER = {"exp": 1e-5, "expm1": 1e-5, "pow": 1e-5, "contract": 1e-5, "softplus": 1e-5, "reciprocal": 1e-5}


def test_every_op_is_written_or_refused_with_a_reason():
    own = {name for name, op in OPS.items() if op.module.startswith("tinyres.")}
    assert own == set(WRITERS) | set(REFUSED)
    assert not set(WRITERS) & set(REFUSED)


def in_onnx(run, arrays):
    """What onnxruntime makes of a function's ops."""
    tensors = [tr.tensor(x, dtype=x.dtype) for x in arrays]
    recording = paired(*[run_recorded(lambda: run(*tensors), tensors) for _ in range(2)])
    names = [f"x{i}" for i in range(len(arrays))]
    proto = written(recording, {}, names, [f"y{i}" for i in range(len(recording.outputs))])
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, arrays)))


def ids(case: Case) -> str:
    return f"{case.op}-{[other for other in CASES if other.op == case.op].index(case)}"


WRITTEN = [case for case in CASES if case.op in WRITERS]


@pytest.mark.parametrize("case", WRITTEN, ids=ids)
def test_onnxruntime_gives_what_the_op_gives(case: Case) -> None:
    for shapes in case.shapes:
        arrays = case.inputs(shapes, "float32")
        expected = case.run(*[tr.tensor(x) for x in arrays])
        if any(0 in x.shape for x in [*arrays, expected]):
            continue  # onnxruntime refuses some empty inputs that NumPy takes
        try:
            (found,) = in_onnx(case.run, arrays)
        except Fail as error:
            assert "Integer modulo by zero" in str(error)  # here that is 0, as in NumPy
            continue
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_allclose(
            found, expected.numpy(), rtol=LOOSER.get(case.op, 2e-6), atol=2e-6, err_msg=str(shapes)
        )
