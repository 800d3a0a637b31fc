"""A Trace in a notebook: its ribbon, and below it its text, in a fixed-width font, escaped."""

from __future__ import annotations

import html

from tinyres.trace.trace import Trace
from tinyres.view import ribbon
from tinyres.view.table import text


def notebook(trace: Trace) -> str:
    """HTML that shows the picture and what `print(trace)` shows."""
    return f"<div>{ribbon.inline(trace)}<pre>{html.escape(text(trace))}</pre></div>"
