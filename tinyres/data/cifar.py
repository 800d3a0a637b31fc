"""CIFAR-10 in its published forms, from files that are there: pickles for Python, which are not run, and binary."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyres.data.pickled import read_plain
from tinyres.errors import FileError
from tinyres.store.opening import PathLike, checked_path, opened

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_PIXELS = 3 * 32 * 32
_MOST_BYTES = 1 << 26  # of a file: twice the largest published one
_TRAINING = [f"data_batch_{i}" for i in range(1, 6)]

Split = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
_Raw = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


def load_cifar10(folder: PathLike) -> tuple[Split, Split]:
    """CIFAR-10 as ((x_train, y_train), (x_test, y_test)).

    folder: where data_batch_1 to data_batch_5 and test_batch are, unpacked from the archive for Python, or with .bin
    from the binary one. x is float32 (n, 32, 32, 3) in 0..1, y int64 (n,); CIFAR10_CLASSES has the names. Nothing is
    downloaded, and nothing in a file is run. Raises FileError, which names the file, for what is missing or damaged.

    >>> load_cifar10("nothere")
    Traceback (most recent call last):
        ...
    tinyres.errors.FileError: [load_cifar10] the folder must have data_batch_1 or data_batch_1.bin; 'nothere' ...
    """
    base = Path(checked_path("load_cifar10", folder))
    for suffix, read in (("", _from_pickle), (".bin", _from_binary)):
        paths = [base / (name + suffix) for name in (*_TRAINING, "test_batch")]
        if _is_there(paths[0]):
            parts = [_read(path, read) for path in paths]
            return _split(parts[:-1]), _split(parts[-1:])
    raise FileError(
        f"[load_cifar10] the folder must have data_batch_1 or data_batch_1.bin; {os.fspath(folder)!r} has not; "
        "unpack the archive of CIFAR-10 and give the folder in it"
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _read(path: Path, read: Callable[[bytes], _Raw]) -> _Raw:
    with opened("load_cifar10", path, "a file of CIFAR-10") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if size > _MOST_BYTES:
                raise ValueError(f"it has {size} bytes, more than any of them")
            x, y = read(file.read())
            if x.ndim != 2 or x.shape[1] != _PIXELS or y.shape != x.shape[:1] or not len(x):
                raise ValueError(f"it has images {x.shape} and labels {y.shape}")
            if y.max() >= len(CIFAR10_CLASSES):
                raise ValueError(f"it has a label {y.max()}")
        except Exception as error:  # pickletools and NumPy raise nearly anything for bytes that are not what they claim
            said = " ".join(str(error).split())[:200]
            raise FileError(
                f"[load_cifar10] a file of CIFAR-10 must be complete; {path.name!r} is damaged or something else "
                f"({said}); unpack the archive again"
            ) from error
    return x, y


def _from_pickle(data: bytes) -> _Raw:
    found = read_plain(data)
    if not isinstance(found, dict):
        raise ValueError("it holds no dict")
    named = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in found.items()}
    x, labels = named.get("data"), named.get("labels")
    if not isinstance(x, np.ndarray) or not isinstance(labels, list):
        raise ValueError("it holds no data and labels")
    if not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise ValueError("its labels are no small numbers")
    return x, np.array(labels, np.uint8)


def _from_binary(data: bytes) -> _Raw:
    if len(data) % (1 + _PIXELS):
        raise ValueError(f"{len(data)} bytes are no whole number of images")
    rows = np.frombuffer(data, np.uint8).reshape(-1, 1 + _PIXELS)
    return rows[:, 1:], rows[:, 0]


def _split(parts: list[_Raw]) -> Split:
    planes = np.concatenate([x for x, _ in parts]).reshape(-1, 3, 32, 32)
    x = np.ascontiguousarray(planes.transpose(0, 2, 3, 1), np.float32)
    x /= np.float32(255)
    return x, np.concatenate([y for _, y in parts]).astype(np.int64)
