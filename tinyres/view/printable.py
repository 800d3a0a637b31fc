"""Text that the terminal can show: where its encoding has no sign for something, a sign or word that says the same.

Lines that are longer than the terminal is wide are folded between words, for it would break them within a number.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap

_PLAIN = str.maketrans(
    {"…": "~", "×": "x", "√": "sqrt ", "±": "+-", "−": "-", "–": "-", "∂": "d", "“": '"', "”": '"', "¹": "^1", "⁄": "/"}
)
_NARROWEST, _USUAL = 20, 80


def printable(text: str, encoding: str | None = None) -> str:
    """The text as this encoding (default: that of standard output) can show it.

    >>> printable("encod…1: x 1/√depth (± 0.1)", "ascii")
    'encod~1: x 1/sqrt depth (+- 0.1)'
    >>> printable("encod…1", "utf-8")
    'encod…1'
    """
    encoding = encoding or getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # a stream with an encoding of its own name
        return text


def room() -> int | None:
    """How many columns the terminal has, None where nothing is shown in one.

    The variable COLUMNS counts where it is narrower than usual; wider, it says nothing about who reads this.
    """
    with contextlib.suppress(ValueError):
        columns = int(os.environ.get("COLUMNS", ""))
        if 0 < columns < _USUAL:
            return max(_NARROWEST, columns)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return max(_NARROWEST, os.get_terminal_size(sys.stdout.fileno()).columns) if sys.stdout.isatty() else None
    return None


def width_of_prose() -> int:
    """At how many columns sentences are wrapped: 80, or as many as a narrower terminal has."""
    return min(_USUAL, room() or _USUAL)


def shown(text: str) -> str:
    """The text as the terminal can show it, in its signs and its width.

    >>> shown("a line")
    'a line'
    """
    text, width = printable(text), room()
    return text if width is None else "\n".join(_folded(line, width) for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    return textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
