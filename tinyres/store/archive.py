"""The one file format: an `.npz` with a JSON header and arrays, for models, traces and recordings.

It is written whole or not at all, and read with no pickles. Before memory is taken for anything, its size is checked
against what stands in the file; every array passes its checksum before anybody looks at what it says. Whatever bytes
a file holds, reading ends with its content or in a FileError of one wording.
"""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tinyres.errors import ArgumentError, FileError, TinyresError
from tinyres.store import text
from tinyres.store.opening import PathLike, checked_path, opened
from tinyres.store.replacing import replacing

HEADER = "header"
SUFFIX = ".npy"
EITHER = (".npz", ".json")  # of recordings
FREE = 1 << 26  # bytes that a compressed file may always unpack to
EXPANSION = 100  # beyond that, how many times its own size
HEADER_BYTES = 1 << 24  # of a header that is compressed
TEXT_BYTES = 1 << 28
NAME_BYTES = 1 << 12


class Format(NamedTuple):
    """A kind of file. name, version: as its header says them. what: as errors say it. writer: what wrote it.

    older: where files of older versions have their header.
    """

    name: str
    version: int
    what: str
    writer: str
    older: str = HEADER

    def header(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The header with what it says of the file itself."""
        return {"format": self.name, "version": self.version, **content}


def write(path: PathLike, kind: Format, content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file. Raises FileError if that cannot be done; the file of before is then still there.

    content: of the header, what JSON takes. arrays: by name.
    """
    encoded = np.frombuffer(_encoded(kind, content), np.uint8)
    for name in arrays:
        if name == HEADER or "\0" in name or not name.isprintable() or len(name.encode()) > NAME_BYTES:
            raise ArgumentError(
                f"[save] a file keeps arrays by names that can be printed, of up to {NAME_BYTES} bytes; "
                f"got {name[:80]!r}; rename the layer"
            )
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {HEADER: encoded, **arrays}.items():
            with archive.open(zipfile.ZipInfo(name + SUFFIX), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def read(op: str, path: PathLike, kind: Format) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(header, arrays) of a file. Raises FileError if it is missing, damaged or something else."""
    with opened(op, path, kind.what) as file, explained(op, path, kind):
        arrays = read_arrays(file)
        encoded = arrays.pop(HEADER, None)
        if encoded is None:
            encoded = arrays.pop(kind.older, None)
        if encoded is None or encoded.dtype != np.uint8 or encoded.ndim != 1:
            raise ValueError(f"it has no {kind.name} header")
        return _checked(op, path, kind, text.decoded(encoded.tobytes())), arrays


def write_text(path: PathLike, kind: Format, content: Mapping[str, Any]) -> None:
    """Write a header alone, as a JSON file."""
    encoded = _encoded(kind, content)
    with replacing(path) as file:
        file.write(encoded)


def read_text(op: str, path: PathLike, kind: Format) -> dict[str, Any]:
    """The header in a JSON file. Raises FileError if it is missing, damaged or something else."""
    with opened(op, path, kind.what) as file, explained(op, path, kind):
        if os.fstat(file.fileno()).st_size > TEXT_BYTES:
            raise ValueError(f"it has more than {TEXT_BYTES} bytes")
        return _checked(op, path, kind, text.decoded(file.read()))


def write_either(path: PathLike, kind: Format, content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write header and arrays as the suffix says: .npz, or .json with the arrays as lists in the header."""
    if checked_suffix("save", path, kind, EITHER) == ".json":
        write_text(path, kind, {**content, **{name: array.tolist() for name, array in arrays.items()}})
    else:
        write(path, kind, content, arrays)


def read_either(path: PathLike, kind: Format) -> dict[str, Any]:
    """Header and arrays of what `write_either` wrote, by name, not checked yet. Raises FileError as `read` does."""
    if checked_suffix("load", path, kind, EITHER) == ".json":
        return read_text("load", path, kind)
    header, arrays = read("load", path, kind)
    return {**arrays, **header}


@contextlib.contextmanager
def explained(op: str, path: PathLike, kind: Format) -> Iterator[None]:
    """Whatever reading a damaged or foreign file raises, in zipfile, zlib, json or NumPy, as one FileError."""
    try:
        yield
    except TinyresError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise FileError(
            f"[{op}] {kind.what} must be complete; {os.fspath(path)!r} is damaged or something else "
            f"({type(error).__name__}: {said if len(said) < 200 else said[:197] + '...'}); "
            f"give a file that {kind.writer} wrote"
        ) from error


def checked_suffix(
    op: str, path: PathLike, kind: Format, suffixes: tuple[str, ...], remedies: Mapping[str, str] | None = None
) -> str:
    """The suffix of the path. Raises FileError unless it is one of these. remedies: by suffixes of other libraries."""
    name = checked_path(op, path)
    stem, suffix = os.path.splitext(os.path.basename(name))
    if suffix not in suffixes:
        remedy = (remedies or {}).get(suffix, f"name it {stem or 'name'}{suffixes[0]}")
        raise FileError(f"[{op}] {kind.what} ends in {' or '.join(suffixes)}; got {name!r}; {remedy}")
    return suffix


def read_arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    """All arrays of an open .npz by name, "x" and "x.npy" apart. Raises one of many errors for damaged bytes.

    What is compressed may unpack to some tens of megabytes, beyond that to 100 times the size of the file.
    """
    size = os.fstat(file.fileno()).st_size
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        needed = sum(entry.file_size for entry in entries)
        if needed > max(size, FREE, EXPANSION * size):
            raise ValueError(f"its {size} bytes would unpack to {needed}")
        for entry in entries:
            name = entry.filename.removesuffix(SUFFIX)
            if name == entry.filename or name in arrays:
                raise ValueError(f"{entry.filename!r} is no array, or stands there twice")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{entry.filename!r} is compressed in another way than NumPy does")
            if entry.file_size > max(entry.compress_size, HEADER_BYTES) and name in (HEADER, "trace"):
                raise ValueError(f"its header would unpack to {entry.file_size} bytes")
            with archive.open(entry) as stream:
                arrays[name] = _array(stream, entry.file_size)
    return arrays


def _array(stream: Any, size: int) -> np.ndarray:
    """The array in an .npy of this many bytes, allocated only if the bytes are there."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version} of .npy")
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = reader(stream, max_header_size=10_000)
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None or not dtype.itemsize:
        raise ValueError(f"arrays of {dtype} are not read: numbers and text only")
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(f"an array of shape {shape} has {size - stream.tell()} bytes")
    array = np.empty(shape, dtype, order="F" if fortran_order else "C")
    if array.size:
        flat = array.reshape(-1, order="A").view(np.uint8).data
        at = 0
        while at < len(flat):
            count = stream.readinto(flat[at:])
            if not count:
                raise EOFError("an array is cut off")
            at += count
    if stream.read(1):
        raise ValueError("an array is longer than it says")
    return array


def _encoded(kind: Format, content: Mapping[str, Any]) -> bytes:
    try:
        return text.encoded(kind.header(content))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"[save] what a file holds must fit into JSON, as what a layer's config() gives; got {error}; "
            "return numbers, strings and lists"
        ) from None


def _checked(op: str, path: PathLike, kind: Format, header: Any) -> dict[str, Any]:
    if not isinstance(header, dict) or header.get("format") != kind.name:
        raise ValueError(f"it has no {kind.name} header")
    version = header.get("version")
    if type(version) is not int or version < 1:
        raise ValueError(f"its version is {version!r}")
    if version > kind.version:
        raise FileError(
            f"[{op}] {kind.what} must be of version {kind.version} or older; {os.fspath(path)!r} is of version "
            f"{version}; upgrade tinyres"
        )
    return header
