"""The idx format of MNIST and Fashion-MNIST, plain or compressed by gzip, read from files that are there.

Format: two bytes 0, one for the type, one for the number of axes, the sizes as big-endian int32, the values.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tinyres.errors import FileError
from tinyres.store.opening import PathLike, checked_path, opened

_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MOST_BYTES = 1 << 30  # of values in one file: twenty times the images of MNIST
_GZIP = b"\x1f\x8b"

Split = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def read_idx(path: PathLike) -> npt.NDArray[np.generic]:
    """The array in an idx file, as it stands there; names need not end in .gz for what is compressed.

    Raises FileError for a file that is missing, damaged or something else; memory is taken for what is there.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes([7, 2, 1]))
    >>> read_idx(file).tolist()
    [7, 2, 1]
    """
    with opened("read_idx", path, "an idx file") as file:
        name = os.path.basename(checked_path("read_idx", path))
        compressed = file.read(2) == _GZIP
        file.seek(0)
        try:
            if not compressed:
                return _array(file, os.fstat(file.fileno()).st_size)
            with gzip.open(file) as unpacked:
                return _array(unpacked, None)  # type: ignore[arg-type]
        except (ValueError, EOFError, OSError, zlib.error) as error:
            raise FileError(
                f"[read_idx] an idx file must be complete; {name!r} is damaged or something else ({error}); give a "
                "file of the form that MNIST is published in"
            ) from error


def _array(file: BinaryIO, size: int | None) -> npt.NDArray[np.generic]:
    """size: of the file in bytes, if that is known."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not head[3]:
        raise ValueError("it does not begin as one")
    sizes = file.read(4 * head[3])
    if len(sizes) != 4 * head[3]:
        raise ValueError("its sizes are cut off")
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">i4"))
    dtype = np.dtype(_TYPES[head[2]])
    count = math.prod(shape) * dtype.itemsize
    if min(shape) < 0 or len(shape) > 6 or count > MOST_BYTES:
        raise ValueError(f"shape {shape} of {dtype} is none that is read, {MOST_BYTES} bytes at most")
    if size is not None and size != 4 + len(sizes) + count:
        raise ValueError(f"an array of shape {shape} has {size - 4 - len(sizes)} bytes")
    values = _exactly(file, count)
    if file.read(1):
        raise ValueError("it is longer than it says")
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _exactly(file: BinaryIO, count: int) -> bytes:
    """So many bytes; a piece at a time, so that a short file takes no memory for a long claim."""
    pieces, left = [], count
    while left:
        piece = file.read(min(left, 1 << 20))
        if not piece:
            raise ValueError(f"{left} of {count} bytes of values are missing")
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def load_mnist(folder: PathLike) -> tuple[Split, Split]:
    """MNIST, Fashion-MNIST or another set in their four files, as ((x_train, y_train), (x_test, y_test)).

    folder: where train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte
    are, with .gz or without. x is float32 (n, height, width, 1) in 0..1, y int64 (n,). Nothing is downloaded. Raises
    FileError, which names the file, for what is missing or damaged.

    >>> load_mnist("nothere")
    Traceback (most recent call last):
        ...
    tinyres.errors.FileError: [load_mnist] the folder must have train-images-idx3-ubyte, with .gz or without; ...
    """
    parts = []
    for part in ("train", "t10k"):
        images, labels = _found(folder, f"{part}-images", 3), _found(folder, f"{part}-labels", 1)
        x, y = read_idx(images), read_idx(labels)
        if x.dtype != np.uint8 or x.ndim != 3 or y.dtype != np.uint8 or y.shape != x.shape[:1] or not x.size:
            raise FileError(
                f"[load_mnist] images are bytes (n, height, width), labels (n,); got {x.dtype} {x.shape} in "
                f"{images.name!r}, {y.dtype} {y.shape} in {labels.name!r}; give files that belong together"
            )
        parts.append((x[..., None].astype(np.float32) / np.float32(255), y.astype(np.int64)))
    return parts[0], parts[1]


def _found(folder: PathLike, stem: str, axes: int) -> Path:
    """The file of the folder that has one of its published names."""
    names = [f"{stem}-idx{axes}-ubyte", f"{stem}.idx{axes}-ubyte"]
    names += [f"{name}.gz" for name in names]
    for name in names:
        path = Path(checked_path("load_mnist", folder)) / name
        try:
            if path.exists():
                return path
        except (OSError, ValueError):
            break
    raise FileError(
        f"[load_mnist] the folder must have {names[0]}, with .gz or without; {os.fspath(folder)!r} has not; get it "
        "from where the set is published"
    )
