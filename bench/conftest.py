"""How benches are run and shown: `python3 -m pytest bench`, one thread, one group per operation, fastest row first.

Every row is the time of one call, with its GFLOP/s or GB/s and how much of the machine's limit that is in its name. At
the end stands, per kind of operation, how tinyres compares with the fastest peer of each group.
"""

# ruff: noqa: I001  one_thread comes before anything that imports NumPy
from __future__ import annotations

import one_thread  # noqa: F401

import importlib.util
import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest

DEFAULTS = {"columns": ["median", "iqr", "ops"], "sort": "median", "max_time": 0.3, "disable_gc": True}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if importlib.util.find_spec("pytest_benchmark") is None:
        raise pytest.UsageError("the benches need pytest-benchmark: python3 -m pip install -e '.[bench]'")
    given = [str(argument) for argument in config.invocation_params.args]
    for name, value in DEFAULTS.items():
        if not any(argument.startswith(f"--benchmark-{name.replace('_', '-')}") for argument in given):
            setattr(config.option, f"benchmark_{name}", value)
    config.addinivalue_line("filterwarnings", "default")  # a peer's warning is no error of ours


class Measure:
    """Times one row: `measure("native", function, calls=100, flops=2e6, limit=peak)`.

    function: does `calls` identical calls, so that the row shows the time of one. flops or nbytes: what one call does,
    or moves. limit: the most per second that the machine can. role: "ours", "peer", or "" for a row that the summary
    leaves out. The group's first word names the kind of operation.
    """

    def __init__(self, benchmark: Any) -> None:
        self._benchmark = benchmark

    def __call__(
        self,
        who: str,
        function: Callable[[], object],
        *,
        group: str,
        role: str = "",
        calls: int = 1,
        flops: float = 0,
        nbytes: float = 0,
        limit: float = 0,
        rounds: int = 0,
    ) -> None:
        self._benchmark.group = group
        function()
        if rounds:
            self._benchmark.pedantic(function, rounds=rounds)
        else:
            self._benchmark(function)
        if self._benchmark.stats is None:  # --benchmark-disable: run once, for correctness only
            return
        row = self._benchmark.stats
        row.stats.data[:] = [seconds / calls for seconds in row.stats.data]
        seconds = statistics.median(row.stats.data)
        amount, unit = (flops, "GFLOP/s") if flops else (nbytes, "GB/s")
        rate = f"{amount / seconds / 1e9:8.1f} {unit}" if amount else ""
        share = f" {amount / seconds / limit:4.0%}" if amount and limit else ""
        row.name = f"{who:<28}{rate}{share}"
        row.extra_info.update(who=who, role=role, rate=amount / seconds, limit=limit)


@pytest.fixture
def measure(benchmark: Any) -> Measure:
    return Measure(benchmark)


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_group_stats(benchmarks: list[Any]) -> list[tuple[str, list[Any]]]:
    """The groups in the order in which they were run."""
    groups: dict[str, list[Any]] = {}
    for row in benchmarks:
        groups.setdefault(row["group"], []).append(row)
    return list(groups.items())


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    ratios: dict[str, dict[str, float]] = {}
    groups: dict[str, dict[str, list[float]]] = {}
    for row in config._benchmarksession.benchmarks:  # type: ignore[attr-defined]
        if row and row.extra_info.get("role"):
            groups.setdefault(row.group, {}).setdefault(row.extra_info["role"], []).append(row.stats.median)
    for group, medians in groups.items():
        if medians.keys() == {"ours", "peer"}:
            ratios.setdefault(group.split()[0], {})[group] = min(medians["peer"]) / min(medians["ours"])
    if ratios:
        terminalreporter.section("tinyres against the fastest peer of each group (above 1: tinyres is faster)")
    for kind, values in ratios.items():
        mean = math.exp(statistics.fmean(map(math.log, values.values())))
        worst = min(values, key=values.__getitem__)
        terminalreporter.write_line(
            f"{kind:<14} geometric mean of {len(values):>2} groups {mean:5.2f}; least {values[worst]:.2f} ({worst})"
        )
