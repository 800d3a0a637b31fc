"""Models as ONNX files: what is trained here runs where ONNX runs, and nets of other libraries are read and traced.

    tr.onnx.export(model, "net.onnx")
    model = tr.onnx.load("net.onnx")

`exporting` runs a model on two batches while every op is recorded, and writes each op as `writing` says; `loading`
builds a model out of a graph, each node as `reading` says, once `checking` has found nothing wrong with the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import loading

if TYPE_CHECKING:
    from tinyres.onnx.exporting import export
    from tinyres.onnx.loading import load

__all__ = ["export", "load"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loading(__name__, {"export": "tinyres.onnx.exporting", "load": "tinyres.onnx.loading"})
