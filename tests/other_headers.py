"""Files of programs with another header and a checksum that fits: what somebody makes on purpose."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

FIXED = struct.Struct("<8sIIII")


def with_header(file: bytes, header: dict[str, Any]) -> bytes:
    """The same file with this header, whatever it says of the rest."""
    magic, version, size, _, zero = FIXED.unpack_from(file)
    text = json.dumps({**header, "version": version}).encode()
    rest = text + b" " * (-len(text) % 8) + file[FIXED.size + size :]
    return FIXED.pack(magic, version, len(text) + -len(text) % 8, zlib.crc32(rest), zero) + rest
