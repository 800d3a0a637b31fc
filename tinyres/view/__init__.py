"""Renderers: pure functions of a Trace or a Comparison, which find them by the names registered here.

Each loads when it is first asked for, since most programs that train a net show no picture.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from tinyres.trace.trace import exporters, plotters, renderers


def _later(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of a module of this room, imported at its first call."""

    def render(*args: Any) -> Any:
        return getattr(importlib.import_module(f"tinyres.view.{module}"), name)(*args)

    return render


renderers.update(
    {
        "text": _later("table", "text"),
        "table": _later("table", "table"),
        "html": _later("html", "notebook"),
        "comparison": _later("comparison", "text"),
        "comparison table": _later("comparison", "table"),
        "comparison html": _later("comparison", "preformatted"),
        "comparison plot": _later("plots", "comparison"),
    }
)
exporters.update(
    {
        ".svg": _later("ribbon", "export"),
        ".html": _later("report", "export"),
        ".png": _later("plots", "export"),
        ".pdf": _later("plots", "export"),
    }
)
plotters.update({kind: _later("plots", kind) for kind in ("gradient", "share", "paths")})
