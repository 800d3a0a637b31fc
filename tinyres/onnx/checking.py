"""An ONNX file as a graph and arrays, once nothing is wrong with it: it may come from anywhere.

onnx checks the graph (no cycles, each op with the inputs and attributes that it takes). Here it is checked that every
array is there in full before memory is taken for it, and that arrays in files of their own lie beside the model.
"""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

import numpy as np

from tinyres.errors import FileError, TinyresError, need_extra
from tinyres.store.opening import PathLike, checked_path, opened

with need_extra("onnx", "models are written and read by the onnx package", "onnx"):
    import onnx
    from onnx import TensorProto, helper, inliner, numpy_helper

OPSETS = (7, 26)  # the ops that are read mean the same in these
LARGEST = 1 << 31  # bytes of a file: protobuf's own bound
_DOMAINS = ("", "ai.onnx")


class Checked(NamedTuple):
    """A graph, its arrays by name, and its opset."""

    graph: Any
    arrays: dict[str, np.ndarray]
    opset: int


def read(path: PathLike) -> Checked:
    """The graph in a file. Raises FileError for what is none, or is damaged."""
    name = checked_path("onnx.load", path)
    with opened("onnx.load", name, "an ONNX file") as file:
        content = file.read(LARGEST)
    try:
        model = onnx.load_model_from_string(content)
        model = _inlined(model)
        opset = _opset_of(model)
        folder = os.path.dirname(os.path.realpath(name))
        arrays = {tensor.name: array_of(tensor, folder) for tensor in model.graph.initializer}
        for tensor in model.graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:  # else the checker looks for it in the working folder
                tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
        onnx.checker.check_model(model)
    except TinyresError:
        raise
    except Exception as error:  # of protobuf, the checker and NumPy
        said = " ".join(str(error).split())[:200]
        raise FileError(
            f"[onnx.load] an ONNX file must be complete and follow the standard; {name!r} does not "
            f"({type(error).__name__}: {said}); export it again"
        ) from error
    return Checked(model.graph, arrays, opset)


def _inlined(model: Any) -> Any:
    """The model with its own functions written out."""
    return inliner.inline_local_functions(model) if model.functions else model


def _opset_of(model: Any) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in _DOMAINS]
    if len(versions) != 1 or not OPSETS[0] <= versions[0] <= OPSETS[1]:
        raise FileError(
            f"[onnx.load] opsets {OPSETS[0]} to {OPSETS[1]} are read; the file has {versions or 'none'}; "
            "export it with opset 18"
        )
    return versions[0]


def array_of(tensor: Any, folder: str | None = None) -> np.ndarray:
    """The values of a TensorProto. folder: where arrays in files of their own lie; None: there are none.

    Raises FileError where they are not all there.
    """
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if tensor.data_type == TensorProto.STRING or dtype.kind not in "biuf":
        raise FileError(f"[onnx.load] arrays are of numbers; {tensor.name!r} is of {dtype}; leave it out of the net")
    if any(n < 0 for n in tensor.dims):
        raise FileError(f"[onnx.load] sizes are not negative; {tensor.name!r} has {list(tensor.dims)}; export it again")
    elements = math.prod(tensor.dims)
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external(tensor, dtype, elements, folder)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != elements * dtype.itemsize:
        raise FileError(
            f"[onnx.load] an array must be there in full; {tensor.name!r} of {list(tensor.dims)} has "
            f"{len(tensor.raw_data)} bytes; export it again"
        )
    return numpy_helper.to_array(tensor)


def _external(tensor: Any, dtype: np.dtype, elements: int, folder: str | None) -> np.ndarray:
    told = {entry.key: entry.value for entry in tensor.external_data}
    size = elements * dtype.itemsize
    place = os.path.realpath(os.path.join(folder or "", told.get("location", "")))
    if folder is None or os.path.isabs(told.get("location", "/")) or not place.startswith(folder + os.sep):
        raise FileError(
            f"[onnx.load] arrays lie in the folder of the model; {tensor.name!r} is said to lie in "
            f"{told.get('location')!r}; put it there"
        )
    offset, length = int(told.get("offset", 0)), int(told.get("length", size))
    with opened("onnx.load", place, "a file of arrays") as file:
        if offset < 0 or length != size or offset + size > os.fstat(file.fileno()).st_size:
            raise FileError(
                f"[onnx.load] an array must be there in full; {tensor.name!r} of {list(tensor.dims)} takes {size} "
                f"bytes from {offset} on of {place!r}; export it again"
            )
        file.seek(offset)
        return np.frombuffer(file.read(size), dtype).reshape(tuple(tensor.dims)).copy()
