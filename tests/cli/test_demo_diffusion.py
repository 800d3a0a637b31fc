"""The demo on diffusion: what it prints and draws, and the distance it judges by against its closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinyres.cli
from tinyres.study.demo_diffusion import frechet_distance
from tinyres.study.pictures import grid_picture, in_characters


@pytest.mark.slow
def test_it_trains_makes_digits_and_judges_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tinyres.cli.main(["demo", "diffusion", "--steps", "23", "--width", "8", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "held-out error of the noise: 0." in printed and "Fréchet distance" in printed
    assert max(map(len, printed.splitlines()[:-1])) <= 80
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "0"], "--steps must be at least 1; got 0"),
        (["--blocks", "3"], "has the options --width, --steps, --seed, --out; got --blocks"),
        (["--out", "nowhere"], "--out must be a directory; got nowhere"),
    ],
)
def test_options_that_do_not_fit(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tinyres.cli.main(["demo", "diffusion", *arguments]) != 0
    assert words in capsys.readouterr().err


def test_the_distance_between_normal_samples_is_that_of_their_moments() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=(4000, 3))
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, a + 2.0) == pytest.approx(12.0)
    assert frechet_distance(a, 3.0 * a) == pytest.approx(4 * a.var(axis=0, ddof=1).sum() + 4 * (a.mean(0) ** 2).sum())


def test_images_are_drawn_in_characters_and_as_a_picture_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.linspace(0, 1, 24).reshape(3, 2, 4)
    monkeypatch.setenv("COLUMNS", "20")
    lines = in_characters(images).splitlines()
    assert len(lines) == 5 and len(lines[0]) <= 17 and lines[-1].strip()
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.image", None)
    path = grid_picture(images, 2, str(tmp_path / "made.png"))
    assert path.endswith("made.svg") and Path(path).read_text().count("<rect") > 20
