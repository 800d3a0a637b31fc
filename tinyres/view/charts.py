"""The charts of the report, as data: what report.js hands to the chart library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinyres.trace.compare import Comparison
from tinyres.trace.trace import Trace
from tinyres.view.curves import Curves, binomial_of, curves_of, log_limits, positive, share_limits
from tinyres.view.numbers import are_whole

SKIP, BRANCH, TEXT, SOFT = "--skip", "--branch", "--text", "--soft"
NETS = 7  # colours --net0 … --net6

Values = Sequence[float | None]


class Key(NamedTuple):
    """What a colour (a CSS variable) stands for; shape: how it is drawn, as a "line", a "dash" or "bars"."""

    colour: str
    words: str
    shape: str = "line"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart with its key. data: for report.js, plain JSON."""

    title: str
    caption: str
    key: list[Key]
    data: dict[str, Any]


def charts_of(trace: Trace) -> list[Chart]:
    """Every chart that the trace has numbers for."""
    curves = curves_of(trace)
    charts = [_gradient(curves)]
    if any(s is not None for s in curves.skips):
        charts.append(_shares(curves))
    charts.append(_values(curves))
    if any(s is not None for s in curves.strengths):
        charts.append(_strength(curves))
    if trace.has_paths and len(trace.paths().shares) > 1 and None not in trace.paths().shares:
        charts.append(_paths(trace))
    return charts


def charts_of_nets(comparison: Comparison) -> list[Chart]:
    """|g| and the values by depth, one line per net, on one scale."""
    unit = comparison.flows[0].unit
    where = f"input of the {unit}"
    return [
        _lines(comparison, "gradient", f"|g| at the {where}", "|g|", [f.grad_norms for f in comparison.flows]),
        _lines(comparison, "values", f"|x| at the {where}", "|x|", [f.value_norms for f in comparison.flows]),
    ]


def _lines(comparison: Comparison, name: str, title: str, ylabel: str, norms: Sequence[Sequence[float]]) -> Chart:
    longest = max(comparison.flows, key=lambda f: len(f.names))
    count = len(longest.names)
    series = [
        _series([*positive(values), *[None] * (count - len(values))], f"--net{i % NETS}")
        for i, values in enumerate(norms)
    ]
    data = {
        **_frame(name, "line", ylabel, series, log_limits(_all(series)) or (0.1, 10.0)),
        "x": list(range(count)),
        "names": list(longest.names),
        "xlabel": f"{longest.unit}, from input to loss",
        "perBlock": True,
        "log": True,
    }
    key = [Key(f"--net{i % NETS}", flow.name) for i, flow in enumerate(comparison.flows)]
    return Chart(title, "Logarithmic; a gap where it is 0 or not finite.", key, data)


def _gradient(c: Curves) -> Chart:
    series = [_series(c.grad_norms, TEXT)]
    caption = "Logarithmic; a gap where |g| is 0 or not finite."
    key = [Key(TEXT, "measured")]
    if c.fit is not None:
        series.append(_series(c.fit, SOFT, dash=True))
        key.append(Key(SOFT, c.fit_words, "dash"))
    if c.theory is not None:
        series.append(_series(c.theory, BRANCH, dash=True))
        key.append(Key(BRANCH, c.theory_words, "dash"))
    where = "input of the block" if c.unit == "block" else "node"
    data = _data("gradient", c, "line", "|g|", series, log_limits(_all(series)), log=True)
    return Chart(f"|g| at the {where}", caption, key, data)


def _shares(c: Curves) -> Chart:
    """Stacked: the branch is drawn up to the sum of both, then the skip over it; a negative one goes down from 0."""
    tops = [s + b if s is not None and b is not None and s >= 0 and b >= 0 else b for s, b in zip(c.skips, c.branches)]
    series = [_series(tops, BRANCH), _series(c.skips, SKIP)]
    for drawn, shares in zip(series, (c.branches, c.skips)):
        drawn["negative"] = [s is not None and s < 0 for s in shares]
    data = _data("share", c, "bars", "share of the gradient", series, share_limits(_all(series)))
    told = "they sum to 1" if are_whole(c.skips, c.branches) else "what is missing to 1 came by other ways"
    caption = f"Stacked; {told}. Negative shares hatched."
    key = [Key(SKIP, "skip", "bars"), Key(BRANCH, "branch", "bars")]
    return Chart("What came over skip and branch", caption, key, data)


def _values(c: Curves) -> Chart:
    series = [_series(c.value_norms, TEXT)]
    data = _data("values", c, "line", "|x|" if c.unit == "block" else "|y|", series, log_limits(_all(series)), log=True)
    return Chart("The values on the way forward", "L2 norm over the batch, logarithmic.", [], data)


def _strength(c: Curves) -> Chart:
    series = [_series(c.strengths, BRANCH)]
    most = max(s for s in c.strengths if s is not None)
    data = _data("strength", c, "line", "|F| / |x|", series, (0.0, 1.1 * most or 1.0))
    return Chart("Branch strength", "Norm of the branch's output over that of the block's input.", [], data)


def _paths(trace: Trace) -> Chart:
    spectrum = trace.paths()
    bars = _series(spectrum.shares, SKIP)
    bars["negative"] = [s is not None and s < 0 for s in spectrum.shares]
    series = [bars, _series(binomial_of(spectrum), BRANCH, dash=True)]
    data = {
        **_frame("paths", "bars", "share", series, share_limits(_all(series)) if _beyond(series) else _snug(series)),
        "x": list(range(len(spectrum.shares))),
        "names": None,
        "xlabel": "branches passed",
        "perBlock": False,
        "log": False,
    }
    key = [Key(SKIP, "share of the gradient", "bars"), Key(BRANCH, "share of all paths (binomial)", "dash")]
    return Chart(f"The gradient at {spectrum.at} by path length", "Negative shares hatched.", key, data)


def _beyond(series: list[dict[str, Any]]) -> bool:
    return any(v is not None and v > 0.6 for s in series for v in s["values"])


def _snug(series: list[dict[str, Any]]) -> tuple[float, float]:
    values = [v for v in _all(series) if v is not None]
    return min(0.0, 1.05 * min(values)), 1.1 * max(values)


def _data(
    name: str, c: Curves, kind: str, ylabel: str, series: list[dict[str, Any]],
    limits: tuple[float, float] | None, log: bool = False,
) -> dict[str, Any]:  # fmt: skip
    return {
        **_frame(name, kind, ylabel, series, limits or (0.1, 10.0)),
        "x": list(range(len(c.names))),
        "names": c.names,
        "xlabel": f"{c.unit}, from input to loss",
        "perBlock": True,
        "log": log,
    }


def _frame(
    name: str, kind: str, ylabel: str, series: list[dict[str, Any]], limits: tuple[float, float]
) -> dict[str, Any]:
    return {"id": f"chart-{name}", "kind": kind, "ylabel": ylabel, "series": series, "range": limits}


def _series(values: Values, colour: str, dash: bool = False) -> dict[str, Any]:
    return {"values": [_short(v) for v in values], "colour": colour, "dash": dash}


def _all(series: list[dict[str, Any]]) -> list[float | None]:
    return [v for s in series for v in s["values"]]


def _short(value: float | None) -> float | None:
    """Five digits are more than a pixel."""
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None
