"""A page that works offline: its head with the policy that keeps it from loading anything, its style and its scripts.

The charts are drawn by uPlot, whose file is in the page (see vendor/README.md); everything else is there without
scripts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from tinyres.trace.compare import Comparison
from tinyres.trace.trace import Trace
from tinyres.view import palette, ribbon
from tinyres.view.charts import Chart, Key

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_HOW = (
    "Point at a block, or go to the picture with Tab and from block to block with the arrow keys; what belongs to it "
    "is marked in charts and tables. Enter leads to its {rows}."
)


def page(
    shown: Trace | Comparison, facts: str, findings: str, charts: Sequence[Chart], tables: str, told: list[str]
) -> str:
    """The whole page. facts, findings, tables: HTML; told: per data-block number what it is, in words."""
    data = json.dumps({"told": told, "charts": [c.data for c in charts]}, separators=(",", ":"), allow_nan=False)
    title = escape(ribbon.title_of(shown))
    several = isinstance(shown, Comparison)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_resource("vendor/uPlot.min.css")}</style>
<style>{_resource("report.css")}{_ribbon_style()}</style>
</head>
<body>
<a class="skip-link" href="#tables">To the tables</a>
<header>
<h1>{title}</h1>
<p class="soft">{facts}</p>
</header>
<main>
<section aria-labelledby="h-found"><h2 id="h-found">Findings</h2>{findings}</section>
<section aria-labelledby="h-ribbon">
<h2 id="h-ribbon">{"The nets" if several else "The net"}</h2>
<p class="soft" id="how">{_HOW.format(rows="numbers" if several else "nodes")}</p>
<p id="chosen" role="status" aria-live="polite">No block chosen.</p>
<div class="picture">{ribbon.svg(shown, style="", role="group", headed=False)}</div>
</section>
<section aria-labelledby="h-charts">
<h2 id="h-charts">By depth</h2>
<div class="charts">{"".join(map(_figure, charts))}</div>
</section>
<section id="tables" aria-labelledby="h-tables">
<h2 id="h-tables">Numbers</h2>
{tables}
</section>
</main>
<script type="application/json" id="data">{data.replace("<", chr(92) + "u003c")}</script>
<script>{chart_library()}</script>
<script>{_script()}</script>
</body>
</html>
"""


def bullets(items: Iterable[str]) -> str:
    """A list of texts."""
    return f"<ul>{''.join(f'<li>{escape(i)}</li>' for i in items)}</ul>"


def _ribbon_style() -> str:
    return f"{palette.STYLE}@media (prefers-color-scheme: dark) {{{palette.STYLE_ON_DARK}}}"


def _resource(name: str) -> str:
    return files("tinyres.view").joinpath(name).read_text(encoding="utf-8")


def chart_library() -> str:
    """uPlot with its licence for a banner, which otherwise is an address."""
    banner, _, code = _resource("vendor/uPlot.iife.min.js").partition("\n")
    assert banner.startswith("/*!")
    return f"/*! uPlot 1.6.32\n{_resource('vendor/LICENSE-uPlot')}*/\n{code}"


def _script() -> str:
    """The report's script with the modules that it imports in place: one file cannot load another."""
    script = _resource("report.js")
    modules = re.findall(r'^import .* from "\./(.*)";$', script, re.MULTILINE)
    parts = [re.sub(r"^export ", "", _resource(name), flags=re.MULTILINE) for name in modules]
    parts.append(re.sub(r"^import .*\n", "", script, flags=re.MULTILINE))
    return '"use strict";\n' + "".join(parts)


def _figure(chart: Chart) -> str:
    keys = "".join(map(_key, chart.key))
    return (
        f'<figure><h3>{escape(chart.title)}</h3><div id="{chart.data["id"]}" aria-hidden="true"></div>'
        f"<figcaption>{escape(chart.caption)}{keys}</figcaption></figure>"
    )


def _key(entry: Key) -> str:
    """What a colour stands for, as a line where the chart has one; it stays on one line with its first words."""
    first, _, rest = entry.words.partition(" ")
    shape = {"line": " line", "dash": " dash", "bars": ""}[entry.shape]
    mark = f'<span class="key{shape}" style="color:var({entry.colour})"></span>'
    return f'<span class="keyed">{mark}{escape(first)}</span> {escape(rest)}'.rstrip()
