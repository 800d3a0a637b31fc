"""Renderers: pure functions of a Trace or a Comparison, which find them by the names registered here."""

from tinyres.graph.trace import renderers
from tinyres.view import comparison, html, table

renderers.update(
    {
        "text": table.text,
        "table": table.table,
        "html": html.preformatted,
        "comparison": comparison.text,
        "comparison table": comparison.table,
        "comparison html": comparison.preformatted,
    }
)
