"""The demo on text: losses beside entropies, the ledger and a sample, on plays or on a text of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyres.cli import main

QUICK = ["demo", "text", "--depth", "2", "--width", "16", "--context", "8", "--steps", "8"]
SONG = "a song of six characters\n" * 40


@pytest.mark.slow
def test_it_goes_on_with_ones_own_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "song.txt").write_text(SONG)
    assert main([*QUICK, "--data", str(tmp_path / "song.txt"), "--seeds", "2", "--norm", "rezero"]) == 0
    text = capsys.readouterr().out
    assert "song.txt: 1,000 characters, 15 of them different; the last 100 are held back" in " ".join(text.split())
    rows = {line.rpartition("  ")[0].strip().split("  ")[0] for line in text.splitlines()}
    assert {"2 steps", "8 steps", "entropy of characters", "of each after another"} <= rows
    assert "±" in text and "The net has not learned yet how often characters come" in text
    assert "block1/attention" in text and "audit ok" in text
    sample = text.partition("after training it writes:\n\n")[2]
    assert set(sample) <= set(SONG) and len(sample) > 100
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_a_few_hundred_steps_learn_more_than_pairs_tell(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "song.txt").write_text("one two three four five six seven eight nine ten\n" * 60)
    options = ["--data", str(tmp_path / "song.txt"), "--steps", "600", "--width", "32", "--context", "16"]
    assert main([*QUICK, *options]) == 0
    text = capsys.readouterr().out
    assert "The net has learned more than which character follows which" in text
    assert "one two three four five six seven" in text.partition("after training it writes:")[2]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_text_of_the_plays(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for _ in range(2):
        assert main(QUICK) == 0
        told.append([line for line in capsys.readouterr().out.splitlines() if "ms a step" not in line])
    assert told[0] == told[1] and told[0][0].startswith("plays: 669,261 characters, 66 of them different")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "3"], "--steps must be at least 4; got 3; give a larger one"),
        (["--width", "0"], "--width must be at least 1; got 0; give a larger one"),
        (["--data", "missing.txt"], "[text] a text file is needed; 'missing.txt' is not there; check the path"),
        (
            ["--blocks", "3"],
            "the demo on text has the options --depth, --width, --norm, --context, --steps",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_text_that_is_too_short_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("too short")
    assert main([*QUICK, "--data", str(tmp_path / "short.txt")]) == 2
    assert "a text must have more characters than a window, 8; got 8 to train on" in capsys.readouterr().err
