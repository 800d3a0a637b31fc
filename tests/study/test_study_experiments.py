"""The experiments: at small sizes the laws and the published orders hold, within bands that noise does not leave."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tinyres.cli import main
from tinyres.errors import ArgumentError, FileError, MissingExtraError
from tinyres.study import experiments
from tinyres.study.experiment import Experiment, Result
from tinyres.study.experiments.paths import all_at_zero, binomial, scaled_binomial

NAMES = ["init-laws", "degradation", "paths", "shattering", "lesion", "shortcuts", "activation-order", "identity"]


def by(result: Result, *keys: str) -> dict[Any, dict[str, Any]]:
    return {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in result.rows()}


def test_all_experiments_are_there() -> None:
    assert list(experiments.EXPERIMENTS) == NAMES
    for name, experiment in experiments.EXPERIMENTS.items():
        assert getattr(experiments, name.replace("-", "_")) is experiment
        assert experiment.__doc__ and experiment.source and experiment.title


@pytest.mark.slow
def test_gradients_at_initialisation_follow_their_laws() -> None:
    result = experiments.init_laws(depths=(8, 16), seeds=2)
    rows = by(result, "net", "blocks")
    rate = {net: row["per_block"] for (net, blocks), row in rows.items() if blocks == 16}
    assert 0.44 < rate["plain, Glorot"] < 0.56  # 1/2
    assert 0.85 < rate["plain, He"] < 1.15  # 1
    assert 1.35 < rate["plain + BN"] < 1.65  # 1.466
    assert 1.28 < rate["residual, He"] < 1.58  # sqrt(2)
    assert 1.25 < rate["skip x 0.5"] < 1.5
    doubled = {net: rows[net, 16]["measured"] / rows[net, 8]["measured"] for net in rate}
    assert 2.5 < doubled["tutorial"] < 6.0  # 4
    assert 1.6 < doubled["he2015"] < 3.6  # 2.3
    assert 1.4 < doubled["preact"] < 3.2  # 2
    assert rows["ReZero", 16]["measured"] == pytest.approx(1.0, abs=1e-5)
    assert 1.2 < rows["1/sqrt(L)", 16]["measured"] < 2.4  # sqrt(e)
    assert rows["plain, Glorot", 16]["theory"] == 2.0**-15


@pytest.mark.slow
def test_plain_nets_degrade_with_depth_and_residual_ones_do_not() -> None:
    result = experiments.degradation(depths=(6, 34), epochs=8, seeds=1)
    rows = by(result, "net")
    for net in ("plain, Glorot", "plain, He", "plain + BN"):
        assert rows[net]["train_34"] > 0.45
        assert rows[net]["train_34"] > 5 * rows[net]["train_6"]
    for net in ("he2015", "preact", "1/sqrt(L)", "ReZero"):
        assert rows[net]["train_34"] < 0.15
    assert rows["residual, no BN"]["train_34"] is None
    assert "diverged" in result.table()


def test_gradients_take_short_paths() -> None:
    result = experiments.paths(blocks=16, seeds=2)
    rows = by(result, "net")
    assert rows["residual, no BN"]["mean"] == pytest.approx(8.0, abs=1.6)
    assert rows["residual, no BN"]["distance"] < 0.4
    assert 0.5 < rows["1/sqrt(L)"]["mean"] < 2.0
    assert rows["1/sqrt(L)"]["distance"] < 0.35
    assert rows["ReZero"]["shares"] == pytest.approx(all_at_zero(16), abs=1e-6)
    assert rows["preact"]["mean"] < rows["he2015"]["mean"] < rows["residual, no BN"]["mean"]
    for row in rows.values():
        assert sum(row["shares"]) == pytest.approx(1.0, abs=1e-4)
        assert row["sum_error"] < 1e-5


def test_closed_forms() -> None:
    assert binomial(4) == [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
    assert sum(scaled_binomial(54)) == pytest.approx(1.0)
    assert sum(k * share for k, share in enumerate(scaled_binomial(54))) == pytest.approx(54 / 55)


def test_plain_gradients_shatter() -> None:
    rows = by(experiments.shattering(blocks=12, readouts=2, seeds=1), "net")
    assert rows["plain + BN"]["layers_2"] > 0.9
    assert abs(rows["plain + BN"]["layers_24"]) < 0.2
    assert rows["preact"]["layers_24"] > 0.25 and rows["he2015"]["layers_24"] > 0.25
    assert rows["1/sqrt(L)"]["layers_24"] > 0.9


def test_deleting_a_block_ruins_plain_nets_only() -> None:
    result = experiments.lesion(blocks=9, epochs=10, repeats=3)
    rows = by(result, "net", "deleted")
    assert rows["plain + BN", 0]["error"] < 0.5
    assert rows["plain + BN", 1]["damage"] > 0.25
    for net in ("preact", "he2015"):
        assert rows[net, 1]["damage"] < 0.06
        assert rows[net, 1]["damage"] <= rows[net, 8]["damage"]


@pytest.mark.slow
def test_only_the_identity_and_a_gate_near_it_carry_the_gradient() -> None:
    rows = by(experiments.shortcuts(blocks=27, epochs=6, seeds=1), "block")
    for block in ("0.5 skip, full branch", "0.5 skip, 0.5 branch", "dropout 0.5", "no skip"):
        assert rows[block]["train"] is None or rows[block]["train"] > 0.7
    assert rows["identity"]["train"] < 0.6
    assert rows["exclusive gate"]["train"] < 0.6
    assert rows["identity"]["published"] == pytest.approx(0.0661)


@pytest.mark.slow
def test_batchnorm_after_the_add_is_the_worst_order() -> None:
    rows = by(experiments.activation_order(blocks=40, epochs=4, seeds=1), "block")
    worst = rows.pop("BN after Add")
    assert worst["train"] > 0.7
    assert all(row["train"] < 0.6 for row in rows.values())
    assert rows["full pre-activation"]["train"] < rows["original (ReLU after Add)"]["train"]


def test_the_identity_is_exact_with_a_branch_of_zero() -> None:
    rows = by(experiments.identity(blocks=8, epochs=8, samples=512), "net")
    for net in ("preact, F = 0", "ReZero"):
        assert rows[net]["before"] == rows[net]["strength_before"] == 0.0
        assert rows[net]["first_over_last"] == pytest.approx(1.0, abs=1e-5)
        assert rows[net]["after"] < 1e-6
    assert rows["1/sqrt(L)"]["after"] < 0.3 < 0.6 < rows["plain, He"]["after"]
    assert rows["1/sqrt(L)"]["strength_after"] < rows["1/sqrt(L)"]["strength_before"]
    assert rows["plain, He"]["strength_before"] is None


def quick(name: str) -> Result:
    options: dict[str, dict[str, Any]] = {
        "init-laws": {"depths": (2, 3), "seeds": 1, "width": 8},
        "degradation": {"depths": (4, 6), "epochs": 1, "seeds": 1, "width": 8},
        "paths": {"blocks": 3, "seeds": 1, "width": 8},
        "shattering": {"blocks": 3, "seeds": 1, "width": 8, "readouts": 1},
        "lesion": {"blocks": 6, "epochs": 1, "repeats": 1, "width": 8},
        "shortcuts": {"blocks": 2, "epochs": 1, "seeds": 1, "width": 8},
        "activation-order": {"blocks": 2, "epochs": 1, "seeds": 1, "width": 8},
        "identity": {"blocks": 2, "epochs": 1, "samples": 128, "width": 8},
    }
    return experiments.EXPERIMENTS[name](**options[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_prints_saves_and_draws(name: str, tmp_path: Path) -> None:
    result = quick(name)
    text = str(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in text.split() and result.source[:40] in text
    result.save(tmp_path / "result.json")
    saved = json.loads((tmp_path / "result.json").read_text())
    assert saved["experiment"] == name
    assert saved["rows"] == json.loads(json.dumps(result.rows()))
    assert saved["options"]["width"] == 8
    pytest.importorskip("matplotlib")
    result.save(tmp_path / "result.png")
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "result.png").stat().st_size > 5000


def test_the_same_options_give_the_same_numbers() -> None:
    assert quick("degradation").rows() == quick("degradation").rows()
    assert quick("shattering").rows() == quick("shattering").rows()


def test_a_result_draws_into_axes_of_the_user() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    ax = figure.add_subplot()
    assert quick("paths").plot(ax) is ax
    assert ax.get_title() == "Gradient at the input by path length"
    assert len(ax.lines) == 5


def test_without_matplotlib_a_picture_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = quick("paths")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tinyres\[plot\]'"):
        result.plot()
    result.save(tmp_path / "rows.json")
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", "paths"]) == 2
    assert main(["experiment", "paths", "--no-picture", "--set", "blocks=2", "--set", "seeds=1"]) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("paths")] == ["paths.json"]


def test_wrong_options_and_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="paths has the options blocks, width, batch, seeds, seed; got depth"):
        experiments.paths(depth=3)
    result = quick("paths")
    with pytest.raises(ArgumentError, match="saved as .json, .png, .pdf or .svg"):
        result.save(tmp_path / "rows.csv")
    with pytest.raises(FileError, match="cannot be written"):
        result.save(tmp_path / "missing" / "rows.json")


def test_options_are_read_as_their_defaults_are() -> None:
    experiment: Experiment = experiments.degradation
    assert experiment.parsed(["depths=6,10", "noise=0.5", "epochs=3"]) == {"depths": (6, 10), "noise": 0.5, "epochs": 3}


def test_the_command_lists_runs_and_saves(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["experiment"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == NAMES
    options = ["--set", "blocks=3", "--set", "seeds=1", "--no-picture", "--out", str(tmp_path)]
    assert main(["experiment", "paths", *options]) == 0
    assert "ReZero" in capsys.readouterr().out
    assert json.loads((tmp_path / "paths.json").read_text())["options"]["blocks"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nets"], "the experiments are init-laws, degradation"),
        (["paths", "--set", "depth=3"], "paths is set by blocks=54, width=32"),
        (["paths", "--set", "blocks=many"], "blocks reads like 54; got 'many'"),
        (["paths", "--out", "missing"], "--out must be a directory; got missing"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
