"""Renderers: pure functions of a Trace or a Comparison, which find them by the names registered here."""

from tinyres.graph.trace import exporters, plotters, renderers
from tinyres.view import comparison, html, plots, report, ribbon, table

renderers.update(
    {
        "text": table.text,
        "table": table.table,
        "html": html.notebook,
        "comparison": comparison.text,
        "comparison table": comparison.table,
        "comparison html": comparison.preformatted,
        "comparison plot": plots.comparison,
    }
)
exporters.update({".svg": ribbon.export, ".html": report.export, ".png": plots.export, ".pdf": plots.export})
plotters.update({"gradient": plots.gradient, "share": plots.share, "paths": plots.paths})
