"""The experiments: at small sizes the laws and the published orders hold, within bands that noise does not leave."""

from __future__ import annotations

import functools
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyres.cli import main
from tinyres.errors import ArgumentError, FileError, MissingExtraError
from tinyres.study import experiments
from tinyres.study.experiment import Experiment, Result
from tinyres.study.experiments.identity import NETS as IDENTITY_NETS
from tinyres.study.experiments.identity import build as build_identity
from tinyres.study.experiments.paths import all_at_zero, binomial, middle, scaled_binomial

pytestmark = pytest.mark.slow

NAMES = [
    "init-laws", "degradation", "paths", "shattering", "lesion", "shortcuts", "activation-order", "identity",
    "transformer-norm", "unet-skips",
]  # fmt: skip


def by(result: Result, *keys: str) -> dict[Any, dict[str, Any]]:
    return {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in result.rows()}


def test_all_experiments_are_there() -> None:
    assert list(experiments.EXPERIMENTS) == NAMES
    for name, experiment in experiments.EXPERIMENTS.items():
        assert getattr(experiments, name.replace("-", "_")) is experiment
        assert experiment.__doc__ and experiment.source and experiment.title


TINY: dict[str, dict[str, Any]] = {
    "init-laws": {"depths": (2, 3), "seeds": 2, "width": 8},
    "degradation": {"depths": (4, 6), "epochs": 1, "seeds": 2, "width": 8, "rates": (0.01,)},
    "paths": {"blocks": 3, "epochs": 1, "samples": 1, "seeds": 2, "width": 8, "rates": (0.01,)},
    "shattering": {"depths": (1, 2), "samples": 16, "seeds": 2, "width": 8, "readouts": 1},
    "lesion": {"blocks": 4, "epochs": 1, "repeats": 1, "seeds": 2, "width": 8, "rates": (0.01,)},
    "shortcuts": {"blocks": 2, "epochs": 1, "seeds": 2, "width": 8, "rates": (0.01,)},
    "activation-order": {"blocks": 2, "epochs": 1, "seeds": 2, "width": 8, "rates": (0.01,)},
    "identity": {"blocks": 2, "epochs": 1, "samples": 128, "seeds": 2, "width": 8, "rates": (0.001,)},
    "transformer-norm": {"depths": (2, 3), "seeds": 2, "width": 8},
    "unet-skips": {"levels": 2, "steps": 25, "seeds": 2, "width": 8, "rates": (0.01,)},
}


def test_by_default_seeds_are_three_or_more_and_rates_are_chosen() -> None:
    for name, experiment in experiments.EXPERIMENTS.items():
        assert experiment.defaults["seeds"] >= 3
        assert ("rates" in experiment.defaults) is (name not in ("init-laws", "shattering", "transformer-norm"))
        assert len(experiment.defaults.get("rates", (1, 2, 3))) >= 3
        experiment.jobs(**experiment.quick)
        assert sum(job.seconds for job in experiment.jobs(**experiment.quick)) < 15


def test_gradients_at_initialisation_follow_their_laws() -> None:
    result = experiments.init_laws(depths=(8, 16), seeds=2)
    rows = by(result, "net", "blocks")
    rate = {net: row["per_block"] for (net, blocks), row in rows.items() if blocks == 16}
    assert 0.44 < rate["plain, Glorot"] < 0.56  # 1/2
    assert 0.85 < rate["plain, He"] < 1.15  # 1
    assert 1.35 < rate["plain + BN"] < 1.65  # 1.467
    assert 1.28 < rate["residual, He"] < 1.58  # sqrt(2)
    assert 1.25 < rate["skip x 0.5"] < 1.5  # 1.365
    doubled = {net: rows[net, 16]["measured"] / rows[net, 8]["measured"] for net in rate}
    assert 2.5 < doubled["tutorial"] < 6.0
    assert 1.6 < doubled["he2015"] < 3.6
    assert 1.6 < doubled["preact"] < 2.8  # 2^1.08
    assert rows["ReZero", 16]["measured"] == pytest.approx(1.0, abs=1e-5)
    assert rows["1/sqrt(L)", 16]["measured"] == pytest.approx(rows["1/sqrt(L)", 16]["with_open"], rel=0.06)
    assert rows["plain, Glorot", 16]["theory"] == 2.0**-15
    assert rows["tutorial", 16]["theory"] is None and rows["he2015", 16]["law"] == "none"


def test_the_last_gradient_of_pre_norm_falls_with_depth_and_that_of_post_norm_does_not() -> None:
    result = experiments.transformer_norm(depths=(6, 24), seeds=3)
    rows = by(result, "norm", "blocks")
    falls = rows["pre", 24]["last"] / rows["pre", 6]["last"]
    assert 0.35 < falls < 0.75  # √(10 / 37) = 0.52
    assert 0.75 < rows["post", 24]["last"] / rows["post", 6]["last"] < 1.35  # 1
    assert rows["pre", 24]["grown"] == pytest.approx(37, rel=0.2)
    assert rows["deepnorm", 24]["ratio"] == pytest.approx(1.0, abs=0.1)
    assert rows["rezero", 24]["ratio"] == 1.0 and rows["rezero", 24]["last"] is None
    assert "theory: -1/2" in str(result) and "In deepnorm" in str(result)


def test_plain_nets_degrade_with_depth_and_residual_ones_do_not() -> None:
    result = experiments.degradation(depths=(6, 34), epochs=24, seeds=2, rates=(0.03,))
    rows = by(result, "net", "layers")
    for net in ("plain, Glorot", "plain + BN"):
        assert (rows[net, 34]["train"] or 1.0) > 0.45 > 0.05 > rows[net, 6]["train"]
    for net in ("he2015", "preact", "1/sqrt(L)", "ReZero"):
        assert rows[net, 34]["train"] < 0.05
    assert rows["residual, no BN", 34]["train"] is None and "2/2 diverged" in result.table()


@pytest.mark.parametrize("name", ["degradation", "lesion"])
def test_experiments_run_with_convolutions_on_images(name: str, tmp_path: Path, capsys: Any) -> None:
    settings = ["--set", "steps=30", "--set", "width=2", "--quick", "--no-picture", "--out", str(tmp_path)]
    assert main(["experiment", name, "--net", "resnet", *settings]) == 0
    told = capsys.readouterr()
    assert max(map(len, told.out.splitlines()[:-1])) <= 80 and told.err.startswith(f"{name}-resnet: 2 parts")
    saved = json.loads((tmp_path / f"{name}-resnet.json").read_text())
    assert {row["net"].split("-")[0] for row in saved["rows"]} == {"plain", "residual"}
    assert len(readme_cells(f"{name} --net resnet")) == len(saved["findings"]) == 2
    for experiment in experiments.OF_IMAGES.values():
        assert experiment.defaults["seeds"] >= 3 and len(experiment.defaults["rates"]) >= 3


def test_skips_save_what_plain_nets_of_images_lose_with_depth() -> None:
    """One seed: plain nets of 56 layers end at 46.6% ± 7.5, as the order of sums has it; residual ones at 19.5% ± 2."""
    errors = by(experiments.degradation_resnet(depths=(56,), seeds=1, rates=(0.03,)), "net")
    assert errors["residual"]["test"] < 0.26
    assert errors["plain"]["test"] - errors["residual"]["test"] > 0.1


def test_a_lesion_needs_two_blocks() -> None:
    with pytest.raises(ArgumentError, match="a block is deleted from 2 or more; got blocks=1"):
        experiments.lesion(blocks=1)


@pytest.mark.parametrize("name", ["paths", "lesion", "shortcuts", "activation-order", "identity", "degradation"])
def test_what_diverges_is_told_in_80_columns(name: str) -> None:
    result = experiments.EXPERIMENTS[name](**{**TINY[name], "rates": (1e30,)})
    assert max(map(len, str(result).splitlines())) <= 80
    assert "diverged" in str(result) or name == "paths"


@pytest.mark.parametrize(
    ("depths", "words"),
    [((6, 7), "each once; got 7; choose even"), ((2, 6), "got 2"), ((6, 6), "got 6,6"), ((0,), "depths must be posi")],
)
def test_degradation_refuses_depths_that_no_net_has(depths: tuple[int, ...], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        experiments.degradation(depths=depths)


def test_gradients_take_short_paths() -> None:
    result = experiments.paths(blocks=16, epochs=6, samples=2, seeds=2, rates=(0.03,))
    rows = by(result, "net", "weights", "quantity")
    binomial_ = rows["residual, no BN", "untrained", "signed share"]
    assert binomial_["mean"] == pytest.approx(8.0, abs=1.6) and binomial_["apart"] < 0.4
    assert 0.5 < rows["1/sqrt(L)", "untrained", "signed share"]["mean"] < 2.0
    assert rows["ReZero", "untrained", "signed share"]["shares"] == pytest.approx(all_at_zero(16), abs=1e-6)
    he2015 = {key[1:]: row["mean"] for key, row in rows.items() if key[0] == "he2015"}
    assert he2015["trained", "signed share"] < he2015["trained", "norm x count"] < 8.0
    assert he2015["trained", "signed share"] < he2015["untrained", "signed share"] < 8.0
    for row in rows.values():
        assert sum(row["shares"]) == pytest.approx(1.0, abs=1e-4)


def test_closed_forms() -> None:
    assert binomial(4) == [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
    assert sum(scaled_binomial(54)) == pytest.approx(1.0)
    assert sum(k * share for k, share in enumerate(scaled_binomial(54))) == pytest.approx(54 / 55)
    assert middle([0.02, 0.48, 0.48, 0.02], 0.95) == (1, 2) and middle([1.0, 0.0], 0.95) == (0, 0)


def test_gradients_at_two_inputs_part_by_the_theorems() -> None:
    rows = by(experiments.shattering(depths=(1, 2, 4, 6, 12), seeds=3), "net")
    assert rows["plain + BN"]["fell"] == "exponential"
    assert rows["plain + BN"]["factor"] == pytest.approx(0.5, abs=0.06)
    assert rows["residual + BN"]["fell"] == "power" and -0.85 < rows["residual + BN"]["power"] < -0.45
    assert rows["1/sqrt(L)"]["fell"] == "stays"
    for net, first in (("plain + BN", 0.5), ("residual", 0.75)):
        assert rows[net]["at_1"] == pytest.approx(first, abs=0.06)


def test_deleting_a_block_ruins_plain_nets_only() -> None:
    rows = by(experiments.lesion(blocks=9, epochs=10, repeats=3, seeds=2, rates=(0.03,)), "net", "deleted")
    assert rows["plain + BN", 0]["error"] < 0.5
    assert rows["plain + BN", 1]["damage"] > 0.25
    for net in ("preact", "he2015"):
        assert rows[net, 1]["damage"] < 0.06
        assert rows[net, 1]["damage"] <= rows[net, 8]["damage"]


def test_shortcuts_fall_into_the_published_groups() -> None:
    result = experiments.shortcuts(seeds=3, rates=(0.02,))
    train = {block: row["train"] for block, row in by(result, "block").items()}
    damaged = [error for block, error in train.items() if "0.5 skip" in block or block.startswith(("short", "1x1"))]
    assert max(train["identity"], train["exclusive gate"]) < 0.05 < min(damaged)
    assert max(damaged) < train["no skip"] and (train["dropout 0.5"] or 1.0) > train["no skip"]
    assert by(result, "block")["identity"]["published"] == pytest.approx(0.0661)


def test_batchnorm_after_the_add_is_the_worst_order() -> None:
    rows = by(experiments.activation_order(blocks=40, epochs=4, seeds=2, rates=(0.03,)), "block")
    worst = rows.pop("BN after Add")
    assert worst["train"] > 0.7
    assert all(row["train"] < 0.6 for row in rows.values())


def test_the_identity_is_exact_with_a_branch_of_zero() -> None:
    rows = by(experiments.identity(blocks=4, epochs=4, samples=256, seeds=2, rates=(0.001,)), "net")
    for net in ("preact, F = 0", "ReZero"):
        assert rows[net]["before"] == rows[net]["strength_before"] == 0.0
        assert rows[net]["test"] < 1e-6
    assert rows["1/sqrt(L)"]["test"] < 0.6 < 0.8 < rows["plain, He"]["test"]
    assert rows["1/sqrt(L)"]["strength_after"] < rows["1/sqrt(L)"]["strength_before"]
    assert rows["plain, He"]["strength_before"] is None


def test_every_net_that_learns_the_identity_ends_linear() -> None:
    for block in IDENTITY_NETS.values():
        model = build_identity(block(2), 2, 8)
        assert model.predict(-np.ones((64, 8)) * np.random.default_rng(0).random((64, 8))).min() < 0


@functools.cache
def quick(name: str) -> Result:
    return experiments.EXPERIMENTS[name](**TINY[name])


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
    assert [f["here"] for f in saved["findings"]] == [f.here for f in result.findings] and result.findings
    pytest.importorskip("matplotlib")
    result.save(tmp_path / "result.png")
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "result.png").stat().st_size > 5000


def test_the_same_options_give_the_same_numbers() -> None:
    for name in ("shortcuts", "shattering"):
        assert experiments.EXPERIMENTS[name](**TINY[name]).rows() == quick(name).rows()


def test_a_result_draws_into_axes_of_the_user() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    ax = figure.add_subplot()
    assert quick("paths").plot(ax) is ax
    assert ax.get_title() == "Gradient at the input by path length"
    assert len(ax.lines) == 11  # ten spectra and the axis


def test_without_matplotlib_a_picture_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = quick("init-laws")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tinyres\[plot\]'"):
        result.plot()
    result.save(tmp_path / "rows.json")
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", "init-laws"]) == 2
    assert main(["experiment", "init-laws", "--no-picture", "--set", "depths=2", "--seeds", "1"]) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("init")] == ["init-laws.json"]


def test_wrong_options_and_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="options blocks, width, epochs, noise, samples, seeds, rates; got depth"):
        experiments.paths(depth=3)
    with pytest.raises(ArgumentError, match="seeds must be positive; got 0"):
        experiments.paths(seeds=0)
    result = quick("init-laws")
    with pytest.raises(ArgumentError, match="saved as .json, .png, .pdf or .svg"):
        result.save(tmp_path / "rows.csv")
    with pytest.raises(FileError, match="cannot be written"):
        result.save(tmp_path / "missing" / "rows.json")


def test_options_are_read_as_their_defaults_are() -> None:
    experiment: Experiment = experiments.degradation
    assert experiment.parsed(["depths=6,10", "noise=0.5", "epochs=3"]) == {"depths": (6, 10), "noise": 0.5, "epochs": 3}


def test_the_command_lists_runs_and_saves(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["experiment"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed if not line.startswith(" ")] == NAMES
    options = ["--quick", "--set", "depths=2,3", "--seeds", "2", "--no-picture", "--out", str(tmp_path)]
    assert main(["experiment", "init-laws", *options]) == 0
    told = capsys.readouterr()
    assert "ReZero" in told.out and told.err == "init-laws: 10 parts, a few seconds on one core ...\n"
    saved = json.loads((tmp_path / "init-laws.json").read_text())["options"]
    assert (saved["depths"], saved["seeds"]) == ([2, 3], 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nets"], "the experiments are init-laws, degradation"),
        (["paths", "--net", "resnet"], "the experiments with --net resnet are degradation, lesion; got 'paths'"),
        (["lesion", "--net", "resnet", "--set", "depth=21"], "one of 20, 32, 44, 56, 110, each once; got 21"),
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


PAGE = (Path(__file__).resolve().parents[2] / "tinyres" / "guide" / "80-experiments.md").read_text()


def readme_cells(name: str) -> list[str]:
    """What the guide's table says was printed, of one experiment."""
    lines = PAGE[PAGE.index(f"| `{name}` |") :].partition("\n\n")[0].splitlines()
    own = [lines[0], *itertools.takewhile(lambda line: line.startswith("|  |"), lines[1:])]
    return [line.strip("| ").rsplit(" | ", 1)[1] for line in own]


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_has_a_line_for_each_finding(name: str) -> None:
    assert len(readme_cells(name)) == len(quick(name).findings)


def test_the_numbers_of_the_readme_come_out_again() -> None:
    for cell, finding in zip(readme_cells("init-laws"), experiments.init_laws().findings):
        said, here = (float(re.findall(r"-?[\d.]+(?:e-?\+?\d+)?", text)[0]) for text in (cell, finding.here))
        assert here == pytest.approx(said, rel=0.3)
