"""The files that come with tinyres."""

from __future__ import annotations

import io
from importlib import resources

from tinyres.errors import FileError


def bundled(op: str, what: str, name: str) -> io.BytesIO:
    """The content of a file of this room, also where the package is imported out of an archive.

    op, what: who asks and what for, in the FileError where the file is missing.
    """
    try:
        return io.BytesIO(resources.files("tinyres.data").joinpath(name).read_bytes())
    except OSError:
        raise FileError(f"[{op}] the {what} comes with tinyres, but {name} is missing; install tinyres again") from None
