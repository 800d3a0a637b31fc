"""A Trace in a notebook: its ribbon, and below it its text, in a fixed-width font, escaped."""

from __future__ import annotations

from tinyres.trace.html import preformatted
from tinyres.trace.trace import Trace
from tinyres.view import ribbon
from tinyres.view.table import text


def notebook(trace: Trace) -> str:
    """HTML that shows the picture and what `print(trace)` shows."""
    return f"<div>{ribbon.inline(trace)}{preformatted(text(trace))}</div>"
