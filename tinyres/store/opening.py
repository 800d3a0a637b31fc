"""Files that somebody gives: opened only if they are ordinary ones, so that no pipe and no device blocks."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from tinyres.errors import FileError

PathLike = str | os.PathLike[str]


@contextlib.contextmanager
def opened(op: str, path: PathLike, what: str) -> Iterator[BinaryIO]:
    """The file, open to read bytes. Raises FileError unless there is an ordinary one that can be read.

    what: what the file should be, as the error says it: "a model file".
    """
    name = checked_path(op, path)
    try:
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _not_there(op, name, what, _reason(name, error)) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _not_there(op, name, what, "is a folder" if stat.S_ISDIR(mode) else "is a pipe or a device")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def checked_path(op: str, path: PathLike) -> str:
    """The path as a string. Raises FileError for what is none."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise FileError(f"[{op}] a path is a string or a Path; got {type(path).__name__}; give one") from None


def _not_there(op: str, name: str, what: str, why: str) -> FileError:
    return FileError(f"[{op}] {what} is needed; {name!r} {why}; check the path")


def _reason(name: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is not there"
    if isinstance(error, IsADirectoryError):
        return "is a folder"
    return f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
