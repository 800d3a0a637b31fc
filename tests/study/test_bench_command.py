"""`tinyres bench`: a row for every kernel and the train step, and nothing left changed."""

from __future__ import annotations

import pytest

import tinyres as tr
from tinyres.backends import native
from tinyres.cli import main
from tinyres.study import bench


@pytest.mark.slow
def test_every_row_has_a_rate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "TURNS", 1)
    monkeypatch.setattr(bench, "TURN_SECONDS", 1e-4)
    before = tr.backend(), native.threads() if native.AVAILABLE else 0
    assert main(["bench"]) == 0
    assert before == (tr.backend(), native.threads() if native.AVAILABLE else 0)
    version, machine, isa, reference, head, *rows = capsys.readouterr().out.splitlines()
    assert version == f"tinyres {tr.__version__}"
    assert "Python" in machine and isa.startswith("native ") and reference.startswith("reference: NumPy, on ")
    assert head.split() == ["kernel", "unit", "native", "rate", "NumPy", "faster"]
    assert len(rows) == len(bench.KERNEL_ROWS) + 1
    for row in rows:
        assert len(row) <= 88
        assert float(row.split()[-2 if native.AVAILABLE else -1]) >= 0
        if native.AVAILABLE:
            assert row.endswith("x")


def test_without_a_core_the_native_column_is_empty() -> None:
    result = bench.Result("relu 100,000", None, 2e-5, 8e5, "GB/s")
    row = bench.table([result]).splitlines()[1]
    assert row.split() == ["relu", "100,000", "GB/s", "-", "40.0"]


def test_rates_are_work_per_second() -> None:
    result = bench.Result("matmul", 1e-6, 4e-6, 1e5, "GFLOP/s")
    assert bench.table([result]).splitlines()[1].split() == ["matmul", "GFLOP/s", "1", "µs", "100.0", "25.0", "4.0x"]
