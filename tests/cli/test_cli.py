"""The command line: the demo on the digits and on data of one's own, and every mistake as one clear line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyres as tr
from tinyres.cli import main
from tinyres.study import demo

QUICK = ["demo", "--blocks", "2", "--width", "16", "--epochs", "1"]


def test_the_equation_on_scalars() -> None:
    parts = demo.scalar_equation()
    assert parts["gradient"] == pytest.approx(7.26, abs=1e-5)
    assert parts["skip"] == pytest.approx(6.60, abs=1e-5)
    assert parts["branch"] == pytest.approx(0.66, abs=1e-5)
    assert parts["skip_share"] + parts["branch_share"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.slow
def test_the_demo_prints_nets_shares_and_sentences(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    assert main([*QUICK, "--json", str(target)]) == 0
    text = capsys.readouterr().out
    assert "dL/dx 7.26 = skip 6.60 (0.909) + branch 0.66 (0.091)" in text
    for net in ("plain", "residual", "plain_bn", "tutorial", "preact"):
        assert f"{net}:" in text
    assert "Add alone (plain -> residual)" in text
    assert max(map(len, text.splitlines()[:-1])) <= 80
    results = json.loads(target.read_text())
    assert [net["name"] for net in results["nets"]] == ["plain", "residual", "plain_bn", "tutorial", "preact"]
    for net in results["nets"]:
        assert len(net["test_errors"]) == 3 and all(0 <= error <= 1 for error in net["test_errors"])
        for row in net["rows"]:
            assert row["grad_norm"] > 0
            if row["skip"] is not None:
                assert row["skip"] + row["branch"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    options = demo.DemoOptions(blocks=2, width=16, epochs=1, seeds=2, nets=("tutorial",))
    data = demo.split_data(options)
    first, second = (demo.run_net("tutorial", options, data, lambda: None) for _ in range(2))
    assert (first.train_errors, first.test_errors) == (second.train_errors, second.test_errors)
    assert first.rows == second.rows and len(set(first.test_errors)) == 2


def test_the_demo_runs_on_a_table_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    rows = [",".join(map(str, [*features, label])) for features, label in zip(x, y)]
    table = tmp_path / "own.csv"
    table.write_text("\n".join(["a,b,c,d,e,label", *rows]))
    assert main([*QUICK, "--nets", "plain,residual", "--data", str(table)]) == 0
    text = capsys.readouterr().out
    assert "48 training and 12 test examples" in text
    assert "features: 5 (a, b, c, d, e)\nlabel: label, 3 classes (0, 1, 2)\n" in text


def test_a_regression_is_measured_by_the_variance_that_is_left(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    table = tmp_path / "own.csv"
    table.write_text("a;b;price\n" + "".join(f"{a};{b};{1e3 + 50 * (a - b)}\n" for a, b in x))
    command = ["demo", "--blocks", "2", "--width", "16", "--nets", "residual", "--data", str(table), "--seeds", "1"]
    assert main(command) == 2
    assert "a number to predict, ask for a regression (--regression)" in capsys.readouterr().err
    target = tmp_path / "results.json"
    assert main([*command, "--regression", "--epochs", "30", "--lr", "0.01", "--json", str(target)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "target: price" in text and "error: share of the variance not explained" in text
    assert json.loads(target.read_text())["nets"][0]["test_errors"][0] < 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--blocks", "0"], "--blocks must be at least 1; got 0"),
        (["--epochs", "-3"], "--epochs must be at least 1; got -3"),
        (["--nets", "plain,resnet"], "nets are chosen from plain, residual, plain_bn, tutorial, preact; got resnet"),
        (["--nets", ","], "nets are chosen from"),
        (["--lr", "nan"], "--lr must be a positive number"),
        (["--data", "missing.csv"], "missing.csv"),
        (["--data", "demo.xls"], "the file must end in .npz, .csv, .tsv or .txt; got demo.xls"),
        (["--json", "missing/results.json"], "'missing/results.json' cannot be written: No such file or directory"),
        (["--seeds", "0"], "--seeds must be at least 1; got 0"),
        (["--label", "kind"], "--label and --regression are for data of your own; got no --data; add --data FILE"),
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


@pytest.mark.slow
def test_a_net_that_diverges_is_said_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["demo", "--width", "16", "--epochs", "1", "--seeds", "1", "--nets", "residual,tutorial"]
    assert main([*command, "--optimizer", "sgd", "--lr", "1e20"]) == 0
    text = capsys.readouterr().out
    assert "1/1 diverged" in text and "tutorial" in text


def test_fresh_results_never_empty_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "old.json"
    target.write_text("old")

    def interrupted(*_: object) -> None:
        assert target.read_text() == "old"
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_net", interrupted)
    assert main([*QUICK, "--json", str(target)]) == 130
    assert target.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["old.json"]


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **options.pop("env", {})}  # type: ignore[dict-item]
    command = [sys.executable, "-m", "tinyres", *arguments]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_any_encoding_of_the_output_and_60_columns(encoding: str) -> None:
    arguments = [*QUICK, "--nets", "plain,tutorial", "--seeds", "2"]
    environment = {"PYTHONIOENCODING": encoding, "COLUMNS": "60"}
    done = run(*arguments, env=environment, stdout=subprocess.PIPE, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("+- " if encoding == "ascii" else "± ") in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 60


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["info"], ["experiment"], [], ["--version"], ["experiment", "--help"]], ids=str)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line(arguments: list[str], unbuffered: str) -> None:
    """Help and the version were lost with exit status 0."""
    with open("/dev/full", "w") as full:
        done = run(*arguments, stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 2
    assert done.stderr == "tinyres: [output] the output cannot be written: No space left on device; free some space\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["demo", "experiment", "bench", "info"])
@pytest.mark.parametrize("options", [["--help"], []])
def test_help_and_lists_in_ascii_and_60_columns(command: str, options: list[str]) -> None:
    """The help of experiment has a ±: it ended in UnicodeEncodeError."""
    if options or command in ("experiment", "info"):
        environment = {"PYTHONIOENCODING": "ascii", "COLUMNS": "60"}
        done = run(command, *options, env=environment, stdout=subprocess.PIPE, encoding="ascii")
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= 60


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"tinyres {tr.__version__}\n"
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: tinyres")


def test_an_experiment_without_matplotlib_names_the_way_without(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["experiment", "init-laws"]) == 2
    assert capsys.readouterr().err.endswith("'tinyres[plot]', or do without the picture: --no-picture\n")


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
