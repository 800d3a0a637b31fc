"""How much memory there is, so that what cannot fit is refused in words before it is taken.

An operating system promises more memory than it has, and ends the process that takes it; so it is asked first.
"""

from __future__ import annotations

import os
from pathlib import Path

from tinyres.errors import OutOfMemoryError

ASKED_FROM = 64 << 20  # bytes; smaller pieces are not worth the question
_GROUP = Path("/sys/fs/cgroup")


def check_fits(op: str, nbytes: int, what: str, remedy: str = "use smaller batches") -> None:
    """Raise OutOfMemoryError if this takes more bytes than are free. what: what takes them, as the error says it."""
    if nbytes < ASKED_FROM:
        return
    free = available()
    if free is not None and nbytes > free:
        raise OutOfMemoryError(
            f"[{op}] it must fit into memory; {what} takes {in_words(nbytes)}, {in_words(free)} are free; {remedy}"
        )


def refused(op: str, nbytes: int, what: str) -> OutOfMemoryError:
    """The error for what the system has refused, as where the process has a limit of its own."""
    return OutOfMemoryError(
        f"[{op}] it must fit into memory; {what} takes {in_words(nbytes)}, which the system refuses; take less"
    )


def in_words(nbytes: int) -> str:
    """A number of bytes as people read it.

    >>> in_words(123_456_789), in_words(45_678_901_234)
    ('123 MB', '45.7 GB')
    """
    return f"{nbytes / 1e9:,.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.0f} MB"


def available() -> int | None:
    """Bytes that can be taken now, of the machine or of the process' control group; None where nobody says."""
    found = [free for free in (_of_machine(), _of_group()) if free is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        with open("/proc/meminfo", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        return 1024 * sum(int(lines[name].split()[0]) for name in (b"MemAvailable", b"SwapFree"))
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _of_group() -> int | None:
    """Of a container, as Linux counts it: its limit without what is in use and cannot be given back."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, now = int((_GROUP / limit).read_text()), int((_GROUP / used).read_text())
            counted = dict(line.split() for line in (_GROUP / used).with_name("memory.stat").read_text().splitlines())
            return max(most - now + int(counted.get(cache, 0)), 0)
        except (OSError, ValueError):
            continue
    return None
