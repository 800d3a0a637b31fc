"""The demo on images: errors, ledgers and a picture, on clothes or on images of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyres.cli import main

QUICK = ["demo", "images", "--depth", "20", "--width", "2", "--steps", "4"]
RNG = np.random.default_rng(0)


def own(folder: Path, side: int = 8) -> str:
    """Dark and bright images."""
    y = np.arange(40) % 2
    x = RNG.uniform(0, 0.4, (40, side, side, 3)) + 0.5 * y.reshape(-1, 1, 1, 1)
    np.savez(folder / "own.npz", x=x.astype(np.float32), y=y, classes=["dark", "bright"])
    return str(folder / "own.npz")


@pytest.mark.slow
def test_it_tells_both_ledgers_of_ones_own_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*QUICK, "--data", own(tmp_path), "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "own.npz: 8 x 8 pixels, 3 channel(s), 2 classes (dark, bright)" in text
    assert "32 training and 8 test images; error: share of wrong answers" in text
    assert "stage2/block2" in text and "audit ok" in text
    assert all(f"{net}: " in text for net in ("plain", "residual"))
    assert max(map(len, text.splitlines()[:-1])) <= 80
    assert "<svg" in (tmp_path / "images.svg").read_text()[:300]


@pytest.mark.slow
def test_a_folder_of_images_is_resized(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        for i in range(6):
            image.fromarray(RNG.integers(0, 256, (70 + i, 20), np.uint8)).save(tmp_path / name / f"{i}.png")
    assert main([*QUICK, "--data", str(tmp_path), "--size", "8", "--out", str(tmp_path)]) == 0
    assert "8 x 8 pixels, 1 channel(s), 2 classes (left, right)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_it_runs_on_clothes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*QUICK, "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "clothes: 28 x 28 pixels, 10 classes" in text and "2000 training and 500 test images" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--depth", "21"], "--depth is one of 20, 32, 44, 56, 110; got 21; choose one of them"),
        (["--steps", "0"], "--steps must be at least 1; got 0"),
        (["--size", "8"], "--size is for images of your own; got no --data"),
        (["--out", "missing"], "--out must be a directory; got missing; make it first"),
        (["--data", "missing"], "'missing' is neither"),
        (["--blocks", "3"], "the demo on images has the options --depth, --width, --steps, --seed, --data,"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_images_that_are_large_or_few_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*QUICK, "--data", own(tmp_path, side=80)]) == 2
    assert "have 80 x 80; make them smaller, --size 32 does so" in capsys.readouterr().err
    np.savez(tmp_path / "few.npz", x=np.zeros((9, 8, 8)), y=np.arange(9) % 2)
    assert main([*QUICK, "--data", str(tmp_path / "few.npz")]) == 2
    assert "at least 10 images of at least 2 classes; got 9 of 2" in capsys.readouterr().err


def test_options_of_images_are_no_options_of_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--depth", "20"]) == 2
    assert "the demo on digits has the options --blocks" in capsys.readouterr().err
