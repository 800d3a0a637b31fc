"""The file of a program (.trp): what a captured step does, for a machine that has the kernels and no Python.

Little endian throughout:

    0   the magic bytes                 16  CRC-32 of all bytes from 24 on
    4+4 of them: 8                      20  0
    8   u32 version                     24  the header: JSON in UTF-8, padded with spaces to a multiple of 8
    12  u32 bytes of the header         then the stored parts of the memory, one behind the other; then the calls as
                                        words of 4 bytes, the first of each, then the second of each, ...

A call is the C struct of `csrc/tr.h` for pointers of 4 bytes, in which a pointer is an offset into the memory (ABSENT:
none) and the kernel, its first word, an index into the header's list of names. All other words are less those of the
last call of the same kernel, modulo 2^32: so those of a hundred equal blocks are the same, and the file packs well.
`play/static/program.mjs` reads the same.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyres.errors import FileError
from tinyres.store.replacing import replacing

MAGIC = b"\x89TRP\r\n\x1a\n"  # as PNG's: a transfer as text, or one of 7 bits, damages it
VERSION = 2
ABSENT = 0xFFFFFFFF
LARGEST = 1 << 31  # bytes of memory: half of what a 32-bit pointer reaches

_FIXED = struct.Struct("<8sIIII")
_OPERANDS = 10
_WORD, _FIRST_POINTER = 4, 16

_Words = npt.NDArray[np.uint32]
Range = Sequence[int]  # where it begins, and how many bytes it has


@dataclass(frozen=True)
class ProgramFile:
    """What a .trp file says. header: what `exported` in capture/export.py says. stored: the bytes of the stored ranges,
    one behind the other. calls: the packed calls."""

    header: dict[str, Any]
    stored: bytes
    calls: bytes

    def to_bytes(self) -> bytes:
        """The file."""
        text = json.dumps({**self.header, "version": VERSION}, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 8)
        rest = text + self.stored + _differences(self.calls, self.header["call_bytes"]).T.tobytes()
        return _FIXED.pack(MAGIC, VERSION, len(text), zlib.crc32(rest), 0) + rest

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all. Raises FileError if that fails."""
        with replacing(path) as file:
            file.write(self.to_bytes())

    @property
    def names(self) -> list[str]:
        """What its memory calls by name: inputs, outputs and state."""
        return list(self.header["memory"])


def read_program(path: str | os.PathLike[str]) -> ProgramFile:
    """Read what `step.program.export` wrote. Raises FileError if it is missing, damaged, newer, or something else."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise FileError(f"[load] {os.fspath(path)!r} cannot be read: {error.strerror}; give another path") from None
    return parsed(content, os.fsdecode(path))


def parsed(content: bytes, name: str = "program") -> ProgramFile:
    """The file out of its bytes; name: what errors call it. Raises FileError."""
    if len(content) < _FIXED.size or content[:8] != MAGIC:
        raise FileError(f"[load] {name!r} is no program of tinyres; write one by step.program.export(path)")
    _, version, size, checksum, zero = _FIXED.unpack_from(content)
    if version != VERSION:
        raise FileError(
            f"[load] {name!r} is a program of version {version}; this tinyres reads {VERSION}; export it again"
        )
    rest = content[_FIXED.size :]
    try:
        if zero or size % 8 or zlib.crc32(rest) != checksum:
            raise ValueError("its checksum is another")
        header = json.loads(rest[:size].decode())
        stored, calls = _checked(header, rest[size:])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FileError(f"[load] {name!r} is a damaged program: {error}; export it again") from None
    return ProgramFile(header, stored, calls)


def _checked(header: dict[str, Any], rest: bytes) -> tuple[bytes, bytes]:
    """(stored, calls), if all that the header says of them fits."""
    image, count = _whole(header["image"], LARGEST), _whole(header["count"], len(rest))
    pointer_bytes, call_bytes = _whole(header["pointer_bytes"], 8), _whole(header["call_bytes"], 1 << 10)
    if pointer_bytes != 4 or call_bytes < _FIRST_POINTER + 4 * _OPERANDS or call_bytes % 8:
        raise ValueError("its calls have another form")
    stored = _ranges(header["stored"], image)
    _ranges(header["state"], image)
    cut = len(rest) - count * call_bytes
    if cut != sum(stored):
        raise ValueError("it is longer or shorter than it says")
    kernels = header["kernels"]
    if not isinstance(kernels, list) or not all(isinstance(kernel, str) for kernel in kernels):
        raise ValueError("its kernels have no names")
    for place in header["memory"].values():
        _ranges([[place["at"], _WIDTHS[place["dtype"]] * _elements(place["shape"])]], image)
    for program in header["programs"].values():
        own = _whole(program["count"], count)
        if _whole(program["first"], count) + own > count or _whole(program["peek"], own) > own:
            raise ValueError("a program is longer than its calls")
        _ranges(program["exposed"], image)
        if not set(program["inputs"]) | set(program["outputs"]) <= set(header["memory"]):
            raise ValueError("a program has an input or output without a place")
    calls = _summed(np.frombuffer(rest, "<u4", offset=cut).reshape(call_bytes // _WORD, count).T)
    if (calls[:, 0] >= len(kernels)).any():
        raise ValueError("a call is of no known kernel")
    pointers = calls[:, _FIRST_POINTER // _WORD :][:, :_OPERANDS]
    if ((pointers >= image) & (pointers != ABSENT)).any():
        raise ValueError("a call reaches beyond the memory")
    return rest[:cut], calls.tobytes()


def _differences(calls: bytes, size: int) -> _Words:
    """The words of calls, all but the first less those of the last call of the same kernel."""
    words = np.frombuffer(calls, "<u4").reshape(-1, size // _WORD)
    less = words.copy()
    for own in _by_kernel(words):
        less[own[1:], 1:] -= words[own[:-1], 1:]
    return less


def _summed(less: _Words) -> _Words:
    """The words of calls out of their differences."""
    words = np.ascontiguousarray(less)
    for own in _by_kernel(words):
        words[own, 1:] = np.cumsum(words[own, 1:], axis=0, dtype="<u4")
    return words


def _by_kernel(words: _Words) -> list[npt.NDArray[np.intp]]:
    """The numbers of the calls of each kernel."""
    return [np.flatnonzero(words[:, 0] == kernel) for kernel in np.unique(words[:, 0])]


_WIDTHS = {"float32": 4, "float64": 8, "int64": 8, "bool": 1}


def _whole(number: Any, most: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
        raise ValueError(f"{str(number)[:40]} is no number from 0 to {most}")
    return number


def _elements(shape: Any) -> int:
    total = 1
    for size in shape:
        total = _whole(total * _whole(size, LARGEST), LARGEST)
    return total


def _ranges(ranges: Any, image: int) -> list[int]:
    """The lengths of ranges that lie in the memory."""
    lengths = []
    for at, length in ranges:
        if _whole(at, image) + _whole(length, image) > image:
            raise ValueError("a part of it lies beyond the memory")
        lengths.append(length)
    return lengths
