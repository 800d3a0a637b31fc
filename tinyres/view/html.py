"""A Trace in a notebook: its text, in a fixed-width font, escaped."""

from __future__ import annotations

import html

from tinyres.graph.trace import Trace
from tinyres.view.table import text


def preformatted(trace: Trace) -> str:
    """HTML that shows what `print(trace)` shows."""
    return f"<pre>{html.escape(text(trace))}</pre>"
