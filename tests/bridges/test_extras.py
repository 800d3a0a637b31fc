"""Libraries that extras bring load when they are asked for; where one is missing, the error says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIBRARIES = ("sklearn", "joblib", "pandas", "polars", "onnx", "tensorboardX", "mlflow", "wandb")
ASKED = {
    "sklearn": ("sklearn", "tr.sklearn.Classifier"),
    "onnx": ("onnx", "tr.onnx.export"),
    "frames": ("polars", "tr.History().to_polars()"),
    "tensorboard": ("tensorboardX", "tr.callbacks.TensorBoard()"),
    "mlflow": ("mlflow", "tr.callbacks.MLflow()"),
    "wandb": ("wandb", "tr.callbacks.WandB()"),
}


def run(program: str) -> str:
    root = Path(__file__).resolve().parents[2]
    program = f"import sys; sys.path.insert(0, {str(root)!r})\n{program}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_tinyres_imports_none_of_them() -> None:
    program = f"import tinyres as tr; tr.sklearn, tr.onnx; print([name for name in {LIBRARIES} if name in sys.modules])"
    assert run(program).strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("extra", ASKED)
def test_a_missing_library_is_told_with_its_extra(extra: str) -> None:
    library, asking = ASKED[extra]
    program = f"""
sys.modules[{library!r}] = None
import tinyres as tr
try:
    {asking}
except tr.errors.MissingExtraError as error:
    print(error)
"""
    assert f"python3 -m pip install 'tinyres[{extra}]'" in run(program)
