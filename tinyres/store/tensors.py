"""Files of other libraries that hold named arrays: safetensors. Nothing is trusted that the bytes do not bear out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinyres.errors import FileError, MissingExtraError
from tinyres.store import archive
from tinyres.store.opening import PathLike, opened
from tinyres.store.replacing import replacing

SAFETENSORS = archive.Format("safetensors", 1, "a safetensors file", "save_weights or safetensors.torch.save_file")
_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


class Stored(NamedTuple):
    """What a file holds. shapes: by name, of arrays of floats. read: gives one of these arrays."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


def read_safetensors(op: str, path: PathLike) -> Stored:
    """The arrays of floats in a safetensors file; bfloat16 as float32. Raises FileError for what is none."""
    library = _safetensors(op)
    with opened(op, path, SAFETENSORS.what) as file, archive.explained(op, path, SAFETENSORS):
        entries = dict(library.deserialize(file.read()))
        arrays = {name: _array(entry) for name, entry in entries.items() if entry["dtype"] in (*_DTYPES, "BF16")}
    return Stored({name: array.shape for name, array in arrays.items()}, arrays.__getitem__)


def write_safetensors(op: str, path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays, whole or not at all."""
    data = _safetensors(op).numpy.save(dict(arrays), metadata={"format": "pt"})
    with replacing(path) as file:
        file.write(data)


def refuse_missing(op: str, what: str, library: str) -> FileError | MissingExtraError:
    """The error for a library that is not installed."""
    return MissingExtraError(
        f"[{op}] {what} by {library}, which is not installed; got such a path; "
        "python3 -m pip install 'tinyres[weights]', or use a .npz file"
    )


def _array(entry: Mapping[str, Any]) -> np.ndarray:
    if entry["dtype"] == "BF16":  # the upper half of a float32
        bits = np.frombuffer(entry["data"], np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(entry["shape"])
    return np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _safetensors(op: str) -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise refuse_missing(op, "safetensors files are read and written", "safetensors") from None
    return safetensors
