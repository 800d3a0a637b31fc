"""Models as ONNX files: what is trained here runs where ONNX runs.

    tr.onnx.export(model, "net.onnx")

`exporting` runs a model on two batches while every op is recorded, and writes each op as `writing` says.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinyres.errors import refuse_name

if TYPE_CHECKING:
    from tinyres.onnx.exporting import export

__all__ = ["export"]

_MODULES = {"export": "tinyres.onnx.exporting"}


def __getattr__(name: str) -> Any:
    """What is here, each loaded when it is first asked for."""
    if name not in _MODULES:
        refuse_name(__name__, name, __all__)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
