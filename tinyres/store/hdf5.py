"""Weights that Keras saved: .weights.h5, and the one inside a .keras file. Read by path, and checked before any memory.

A file may not lead to others: links out of it, and data that stands elsewhere, are refused.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from tinyres.store import archive
from tinyres.store.opening import PathLike, opened
from tinyres.store.tensors import Stored, refuse_missing

KERAS = archive.Format("keras weights", 1, "a file of Keras weights", "model.save_weights of Keras 3")
_WITHIN = "model.weights.h5"
_DEPTH = 64  # of groups


@contextmanager
def read_keras(op: str, path: PathLike) -> Iterator[Stored]:
    """Within, the arrays of floats in a .weights.h5 or .keras file by path. Raises FileError for what is none."""
    library = _h5py(op)
    with opened(op, path, KERAS.what) as file, archive.explained(op, path, KERAS):
        inner = _unpacked(file) if os.fsdecode(path).endswith(".keras") else file
        with library.File(inner, "r") as root:
            found = dict(_arrays(library, root, "", {root.id}))
            shapes = {name: tuple(data.shape) for name, data in found.items()}
            yield Stored(shapes, lambda name: np.asarray(found[name]))


def _arrays(library: Any, group: Any, prefix: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """The arrays in a group. seen: groups that were reached: a file in which two ways lead to one may have no end."""
    if prefix.count("/") > _DEPTH:
        raise ValueError(f"its groups are more than {_DEPTH} deep")
    for name in group:
        if not isinstance(group.get(name, getlink=True), library.HardLink):
            raise ValueError(f"{prefix}{name} is a link")
        item = group[name]
        if isinstance(item, library.Group):
            if item.id in seen:
                raise ValueError(f"a second way leads to {prefix}{name}")
            seen.add(item.id)
            yield from _arrays(library, item, f"{prefix}{name}/", seen)
        elif isinstance(item, library.Dataset) and item.dtype.kind == "f":
            if item.external is not None or item.is_virtual:
                raise ValueError(f"the data of {prefix}{name} stands in another file")
            yield f"{prefix}{name}", item


def _unpacked(file: BinaryIO) -> BinaryIO:
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as packed:
        entry = packed.getinfo(_WITHIN)
        if entry.file_size > max(size, archive.FREE, archive.EXPANSION * size):
            raise ValueError(f"its {size} bytes would unpack to {entry.file_size}")
        return io.BytesIO(packed.read(entry))


def _h5py(op: str) -> Any:
    try:
        import h5py
    except ImportError:
        raise refuse_missing(op, "weights of Keras are read", "h5py") from None
    return h5py
