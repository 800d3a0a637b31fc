"""How a Trace and a Comparison show themselves: their methods that draw and write, attached when this room is imported.

What a method needs loads when it is first called, since most programs that train a net show no picture.
"""

from __future__ import annotations

import os
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.trace.blocks import Block
from tinyres.trace.compare import Comparison
from tinyres.trace.flow import Flow
from tinyres.trace.html import preformatted
from tinyres.trace.net import Findings
from tinyres.trace.nodes import Audit, Fork, TraceEdge, TraceNode, TraceParameter
from tinyres.trace.sentences import Verdict, told
from tinyres.trace.trace import Trace


def trace_text(self: Trace) -> str:
    """Header, one row per block, at most 20, and what the audit found, in 80 columns."""
    from tinyres.view import table

    return table.text(self)


def trace_table(self: Trace, level: str | None = None, expand: str | None = None) -> str:
    """Every row of a level as text in 80 columns; `print(trace)` folds long ones.

    level: as in `rows`; "stage" has a row per group of blocks. expand: the name of a stage: the blocks as print folds
    them, but this one whole. Raises TraceError for a stage that there is not, with the nearest.
    """
    from tinyres.view import table

    return table.table(self, self.known_level(level), expand)


def trace_pandas(self: Trace, level: str | None = None) -> Any:
    """The rows of a level as a pandas.DataFrame; see `rows`. Raises MissingExtraError without pandas."""
    from tinyres.view import frames

    return frames.pandas_of(self.rows(level))


def trace_polars(self: Trace, level: str | None = None) -> Any:
    """The rows of a level as a polars.DataFrame; see `rows`. Raises MissingExtraError without polars."""
    from tinyres.view import frames

    return frames.polars_of(self.rows(level))


def trace_html(self: Trace) -> str:
    """The ribbon and the text, as notebooks show them."""
    from tinyres.view import html

    return html.notebook(self)


def trace_export(self: Trace, path: str | os.PathLike[str]) -> None:
    """Write a picture or a report; the suffix tells which.

    .svg: the ribbon, its width by log |g|, every skip an arc with its share of it. .html: one page that works offline,
    with the ribbon, charts and tables, linked block by block. .png, .pdf: the charts through matplotlib. Written
    atomically. Raises ArgumentError for a suffix that is not known, MissingExtraError where matplotlib is needed and
    not installed.

    >>> import os, tempfile
    >>> import tinyres as tr
    >>> x, w = tr.tensor(3.0, name="x"), tr.tensor(0.1, requires_grad=True, name="w")
    >>> trace = tr.Graph((w * x + x) * 2.0).trace()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trace.export(os.path.join(folder, "report.html"))
    ...     trace.export(os.path.join(folder, "ribbon.svg"))
    ...     sorted(os.listdir(folder))
    ['report.html', 'ribbon.svg']
    """
    from tinyres.view import plots, report, ribbon

    picture = plots.export
    _export("trace", self, path, {".svg": ribbon.export, ".html": report.export, ".png": picture, ".pdf": picture})


def trace_plot(self: Trace, kind: str = "gradient", ax: Any = None) -> Any:
    """One chart, drawn with matplotlib into `ax` (default: a new figure); gives the Axes.

    kind: "gradient" (|g| by depth, logarithmic, with the fitted rate and the theory), "share" (what came over skip
    and branch, block by block), "paths" (the gradient by the number of branches it passed, beside how many paths
    there are of each length; needs `graph.trace(paths=True)`). Raises ArgumentError for another kind,
    MissingExtraError without matplotlib.

    >>> import tinyres as tr
    >>> from matplotlib.figure import Figure
    >>> x, w = tr.tensor(3.0, name="x"), tr.tensor(0.1, requires_grad=True, name="w")
    >>> trace = tr.Graph((w * x + x) * 2.0).trace()
    >>> trace.plot("share", ax=Figure().add_subplot()).get_title()
    'What came over skip and branch'
    """
    from tinyres.view import plots

    plotters = {"gradient": plots.gradient, "share": plots.share, "paths": plots.paths}
    if kind not in plotters:
        known = ", ".join(plotters)
        raise ArgumentError(f"[plot] the kind of a chart is one of {known}; got {kind!r}; choose one of them")
    return plotters[kind](self, ax)


def comparison_export(self: Comparison, path: str | os.PathLike[str]) -> None:
    """Write the nets one above the other, on one scale of |g|; the suffix tells what.

    .svg: their ribbons. .html: one page that works offline, with ribbons, charts and tables, linked block by block.
    .png, .pdf: |g| by depth, one line per net, through matplotlib. Written atomically. Raises ArgumentError for a
    suffix that is not known, MissingExtraError where matplotlib is needed and not installed.

    >>> import os, tempfile
    >>> import tinyres as tr
    >>> x = tr.tensor([1.0], requires_grad=True, name="x")
    >>> trace = tr.Graph((x * x).sum()).trace()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tr.compare(plain=trace, residual=trace).export(os.path.join(folder, "both.svg"))
    ...     os.listdir(folder)
    ['both.svg']
    """
    from tinyres.view import compared, plots, ribbon

    picture = plots.export_comparison
    exporters = {".svg": ribbon.export, ".html": compared.export, ".png": picture, ".pdf": picture}
    _export("comparison", self, path, exporters)


def _export(what: str, shown: Any, path: str | os.PathLike[str], exporters: dict[str, Any]) -> None:
    """Write by suffix."""
    path = os.fspath(path)
    exporter = exporters.get(os.path.splitext(path)[1].lower())
    if exporter is None:
        known = ", ".join(exporters)
        raise ArgumentError(f"[export] a {what} is exported as one of {known}; got {path!r}; change the suffix")
    exporter(shown, path)


def comparison_text(self: Comparison) -> str:
    """The table and the sentences, in 80 columns."""
    from tinyres.view import comparison

    return comparison.text(self)


def comparison_table(self: Comparison) -> str:
    """The rows as text in 80 columns."""
    from tinyres.view import comparison

    return comparison.table(self)


def comparison_html(self: Comparison) -> str:
    """The ribbons on one scale and the text, as notebooks show them."""
    from tinyres.view import comparison

    return comparison.notebook(self)


def comparison_plot(self: Comparison, ax: Any = None) -> Any:
    """|g| by depth, one line per net, drawn with matplotlib into `ax` (default: a new figure); gives the Axes."""
    from tinyres.view import plots

    return plots.comparison(self, ax)


def verdict_text(self: Verdict) -> str:
    """One sentence per line, or that nothing stands out."""
    from tinyres.view.printable import shown

    return shown(told(self))


def findings_text(self: Findings) -> str:
    """One finding per line, or that there is none."""
    from tinyres.view.printable import shown

    return shown("\n".join(map(str, self)) if self else "lint: nothing found")


def record_text(self: Any) -> str:
    """A line, and a line per edge of what has several."""
    from tinyres.view import printable, records

    return printable.shown(records.TEXTS[type(self)](self))


def record_html(self: Any) -> str:
    """The same, as notebooks show it."""
    return preformatted(record_text(self), wrap=True)


_RECORD = {"__repr__": record_text, "__str__": record_text, "_repr_html_": record_html}

METHODS: dict[type, dict[str, Any]] = {
    Trace: {
        "__str__": trace_text,
        "_repr_html_": trace_html,
        "table": trace_table,
        "export": trace_export,
        "plot": trace_plot,
        "to_pandas": trace_pandas,
        "to_polars": trace_polars,
    },
    Verdict: {"__str__": verdict_text},
    Findings: {"__str__": findings_text},
    **dict.fromkeys((TraceParameter, TraceNode, TraceEdge, Fork, Block, Audit, Flow), _RECORD),
    Comparison: {
        "__str__": comparison_text,
        "_repr_html_": comparison_html,
        "table": property(comparison_table),
        "export": comparison_export,
        "plot": comparison_plot,
    },
}


def attach() -> None:
    """Give Trace and Comparison their methods."""
    for record, methods in METHODS.items():
        for name, method in (methods | {"__reduce_ex__": _pickled}).items():
            setattr(record, name, method)


def _pickled(self: Any, protocol: Any) -> tuple[Any, ...]:
    """As ever, but what rebuilds it stands here, so that it can also show itself in a program that made no trace."""
    made = object.__reduce_ex__(self, protocol)
    assert isinstance(made, tuple), "records are not singletons"
    return _rebuilt, made[:2], *made[2:]


def _rebuilt(make: Any, args: tuple[Any, ...]) -> Any:
    return make(*args)
