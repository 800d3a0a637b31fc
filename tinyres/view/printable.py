"""Text that the terminal can show: where its encoding has no sign for something, a sign or word that says the same."""

from __future__ import annotations

import sys

_PLAIN = str.maketrans(
    {"…": "~", "×": "x", "√": "sqrt ", "±": "+-", "−": "-", "–": "-", "∂": "d", "“": '"', "”": '"', "¹": "^1", "⁄": "/"}
)


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
