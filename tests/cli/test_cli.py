"""The command line: the demo on the digits and on data of one's own, and every mistake as one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinyres.cli import main
from tinyres.study import demo

QUICK = ["demo", "--blocks", "2", "--width", "16", "--epochs", "1"]


def test_the_equation_on_scalars() -> None:
    parts = demo.scalar_equation()
    assert parts["gradient"] == pytest.approx(7.26, abs=1e-5)
    assert parts["skip"] == pytest.approx(6.60, abs=1e-5)
    assert parts["branch"] == pytest.approx(0.66, abs=1e-5)
    assert parts["skip_share"] + parts["branch_share"] == pytest.approx(1.0, abs=1e-6)


def test_the_demo_prints_nets_shares_and_sentences(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    assert main([*QUICK, "--json", str(target)]) == 0
    text = capsys.readouterr().out
    assert "dL/dx 7.26 = skip 6.60 (0.909) + branch 0.66 (0.091)" in text
    for net in ("plain", "residual", "plain_bn", "tutorial", "preact"):
        assert f"{net}:" in text
    assert "Add alone (plain -> residual)" in text
    assert max(map(len, text.splitlines()[:-1])) <= 88
    results = json.loads(target.read_text())
    assert [net["name"] for net in results["nets"]] == ["plain", "residual", "plain_bn", "tutorial", "preact"]
    for net in results["nets"]:
        assert 0 <= net["test_error"] <= 1
        for row in net["rows"]:
            assert row["grad_norm"] > 0
            if row["skip"] is not None:
                assert row["skip"] + row["branch"] == pytest.approx(1.0, abs=1e-5)


def test_the_same_seed_gives_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    options = demo.DemoOptions(blocks=2, width=16, epochs=1, nets=("tutorial",))
    data = demo.split_data(options)
    first, second = (demo.run_net("tutorial", options, data, lambda: None) for _ in range(2))
    assert (first.train_error, first.test_error, first.rows) == (second.train_error, second.test_error, second.rows)


def test_the_demo_runs_on_a_table_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    rows = [",".join(map(str, [*features, label])) for features, label in zip(x, y)]
    table = tmp_path / "own.csv"
    table.write_text("\n".join(["a,b,c,d,e,label", *rows]))
    assert main([*QUICK, "--nets", "plain,residual", "--data", str(table)]) == 0
    assert "48 training and 12 test examples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--blocks", "0"], "--blocks must be at least 1; got 0"),
        (["--epochs", "-3"], "--epochs must be at least 1; got -3"),
        (["--nets", "plain,resnet"], "nets are chosen from plain, residual, plain_bn, tutorial, preact; got resnet"),
        (["--nets", ","], "nets are chosen from"),
        (["--lr", "nan"], "--lr must be a positive number"),
        (["--data", "missing.csv"], "missing.csv"),
        (["--data", "demo.txt"], "the file must end in .npz or .csv; got demo.txt"),
        (["--json", "missing/results.json"], "the results cannot be written: missing/results.json"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "--nets", "plain", *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_an_unknown_option_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--optimizer", "lion"])
    assert caught.value.code == 2
    assert "invalid choice: 'lion'" in capsys.readouterr().err


def test_info_says_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert "backend" in text
    assert "numpy" in text
