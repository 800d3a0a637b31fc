"""Renderers: pure functions of a Trace, which find their way to it by the names they register here."""

from tinyres.graph.trace import renderers
from tinyres.view.html import preformatted
from tinyres.view.table import table, text

renderers.update(text=text, table=table, html=preformatted)
