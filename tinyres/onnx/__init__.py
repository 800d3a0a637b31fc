"""Models as ONNX files: what is trained here runs where ONNX runs, and nets of other libraries are read and traced.

    tr.onnx.export(model, "net.onnx")
    model = tr.onnx.load("net.onnx")

`exporting` runs a model on two batches while every op is recorded, and writes each op as `writing` says; `loading`
builds a model out of a graph, each node as `reading` says, once `checking` has found nothing wrong with the file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinyres.errors import refuse_name

if TYPE_CHECKING:
    from tinyres.onnx.exporting import export
    from tinyres.onnx.loading import load

__all__ = ["export", "load"]

_MODULES = {"export": "tinyres.onnx.exporting", "load": "tinyres.onnx.loading"}


def __getattr__(name: str) -> Any:
    """Both functions, each loaded when it is first asked for."""
    if name not in _MODULES:
        refuse_name(__name__, name, __all__)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
