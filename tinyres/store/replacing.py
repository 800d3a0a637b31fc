"""One way to write a file: whole or not at all.

What is written goes to a file without a name, so that a kill leaves nothing behind; forced to disk, it takes the
place of its target in one step. Where the system has no files without names, it is a hidden one beside the target.
"""

from __future__ import annotations

import contextlib
import os
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
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    beside = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        nameless = _nameless(folder)
        with nameless or open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if nameless is not None:
                _give_name(file.fileno(), folder, beside)
        os.replace(beside, target)
        _sync_folder(folder)
    except OSError as error:
        why = error.strerror or error
        raise FileError(f"[save] {os.fspath(path)!r} cannot be written: {why}; choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)


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
