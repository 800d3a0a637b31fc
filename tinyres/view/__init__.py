"""Renderers: pure functions of a Trace or a Comparison, which find them by the names registered here."""

from tinyres.graph.trace import exporters, renderers
from tinyres.view import comparison, html, report, ribbon, table

renderers.update(
    {
        "text": table.text,
        "table": table.table,
        "html": html.notebook,
        "comparison": comparison.text,
        "comparison table": comparison.table,
        "comparison html": comparison.preformatted,
    }
)
exporters.update({".svg": ribbon.export, ".html": report.export})
