"""Text as notebooks show it: as it is, in a fixed-width font whatever the page's own style says of <pre>."""

from __future__ import annotations

from html import escape

_STYLE = "font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; line-height: 1.3; "


def preformatted(text: str, wrap: bool = False) -> str:
    """HTML that shows the text in its own lines; wrap: sentences, whose lines may be broken."""
    style = _STYLE + ("white-space: pre-wrap" if wrap else "white-space: pre; overflow-x: auto")
    return f'<pre style="{style}; text-align: left">{escape(text)}</pre>'
