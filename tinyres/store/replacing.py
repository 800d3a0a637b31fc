"""One way to write a file: whole or not at all.

What is written goes to a file without a name, so that a kill leaves nothing behind; forced to disk, it takes the
place of its target in one step, and the target's mode if there was one. Where the system has no files without names,
it is a hidden one beside the target. A pipe or a device has no place to take: it is written to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, cast

from tinyres.errors import FileError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` at the end of the `with`; an exception leaves the old one.

    path: a link is followed. Raises FileError if the file cannot be written.

    >>> import os, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with replacing(os.path.join(folder.name, "a.txt")) as file:
    ...     _ = file.write(b"done"), os.listdir(folder.name)
    >>> os.listdir(folder.name)
    ['a.txt']
    >>> folder.cleanup()
    """
    name = os.fsdecode(path)
    if "\0" in name:
        raise FileError(f"[save] {name!r} cannot be written: a path holds no NUL; choose another place")
    with _told(name):
        target = os.path.realpath(name)
        mode = _mode(target)
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_NONBLOCK), "wb") as device:
                yield device
            return
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with _taking_place(target, mode) as file:
            yield file


@contextlib.contextmanager
def _taking_place(target: str, mode: int | None) -> Iterator[BinaryIO]:
    folder = os.path.dirname(target)
    beside = os.path.join(folder, f".{os.urandom(8).hex()}.tmp")
    try:
        nameless = _nameless(folder)
        with nameless or open(beside, "xb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(beside if nameless is None else file.fileno(), stat.S_IMODE(mode))
            os.fsync(file.fileno())
            if nameless is not None:
                _give_name(file.fileno(), folder, beside)
        os.replace(beside, target)
        _sync_folder(folder)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """What the system refuses, as a FileError in one line."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise FileError(f"[save] {path!r} cannot be written: {why}; choose another place") from error


def _mode(target: str) -> int | None:
    """The mode of what is there already."""
    try:
        return os.stat(target).st_mode
    except FileNotFoundError:
        return None


def _nameless(folder: str) -> BinaryIO | None:
    """A new file in this folder that has no name yet; None where there is no such thing."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return cast(BinaryIO, os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "w+b"))
    except OSError:
        return None  # this file system has none, or it is the folder's fault: then the next attempt tells


def _give_name(descriptor: int, folder: str, path: str) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:  # only with a folder's descriptor does Python follow the link that stands for the file
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=opened, follow_symlinks=True)
    finally:
        os.close(opened)


def _sync_folder(folder: str) -> None:
    """Force the new name to disk, where folders can be opened."""
    if hasattr(os, "O_DIRECTORY"):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
