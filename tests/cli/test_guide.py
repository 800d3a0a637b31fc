"""The manual in the terminal: its list, its pages, and a topic that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from types import ModuleType

import pytest

import tinyres
from tinyres import guide
from tinyres.cli import main
from tinyres.errors import MissingExtraError
from tinyres.guide.reference import public, reference


@pytest.mark.parametrize("arguments", [[], ["--list"], ["--list", "gradient"]])
def test_topics_are_listed_in_reading_order(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["guide", *arguments]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(guide.topics()) and listed.index("gradient") < listed.index("internals")


@pytest.mark.parametrize("topic", guide.topics())
def test_a_page_is_markdown_that_can_be_copied(capsys: pytest.CaptureFixture[str], topic: str) -> None:
    assert main(["guide", topic]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"# {guide.topics()[topic]}\n") and "<!--" not in text
    assert text.count("```") % 2 == 0


def test_the_reference_has_every_public_name_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "reference"]) == 0
    text = capsys.readouterr().out
    rooms = public(tinyres)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(rooms)
    assert text.count("\n- `") == sum(map(len, rooms.values())) > 400
    named = {name for room, names in rooms.items() for name in (room.rpartition(".")[2], *names)}
    assert named >= set(tinyres.__all__)
    said = dict(line[3:].split("`: ", 1) for line in text.splitlines() if line.startswith("- `"))
    assert said["Dense"] == "activation(x · kernel + bias) over the last axis: (..., features) gives (..., units)."
    assert said["plain"] == "Dense+ReLU → Dense → ReLU: what explainers call a plain net."
    assert not any(sentence.endswith("et al.") for sentence in said.values())


def test_what_needs_a_library_that_is_not_there_is_told() -> None:
    package, words = ModuleType("shop"), "[shop] it takes wood; run: buy wood"

    def missing(name: str) -> None:
        raise MissingExtraError(words)

    vars(package).update(price=(3, 4), __dir__=lambda: ["chair", "price"], __getattr__=missing)
    assert reference(package).split("\n")[3:] == [f"- `chair`: {words}", "- `price`: 3, 4.", ""]


def test_an_unknown_topic_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "gradeint"]) == 2
    assert capsys.readouterr().err == (
        "tinyres: [guide] topics are what `tinyres guide` lists; got 'gradeint'; try gradient\n"
    )


def in_a_terminal(columns: int, topic: str) -> str:
    pty = pytest.importorskip("pty")
    run = f"import os, sys; os.environ.update(PAGER='cat', COLUMNS='{columns}', TERM='xterm'); "
    run += "from tinyres.cli import main; "
    read: list[bytes] = []

    def keep(descriptor: int) -> bytes:
        import os

        read.append(os.read(descriptor, 65536))
        return read[-1]

    pty.spawn([sys.executable, "-c", run + f"sys.exit(main(['guide', '{topic}']))"], keep)
    return re.sub(r"\x1b\[[0-9;]*m", "", b"".join(read).decode())


@pytest.mark.slow
def test_a_terminal_gets_a_pager() -> None:
    """Rendered, as wide as the terminal, through what PAGER names."""
    text = in_a_terminal(60, "variables")
    assert "TINYRES_ISA" in text and "```" not in text and "# Env" not in text


@pytest.mark.parametrize("columns", [60, 80])
def test_nothing_is_cut_off_in_a_narrow_terminal(columns: int) -> None:
    """Names in tables ended in dots where their column was too narrow."""
    for topic in ("files", "internals"):
        text = in_a_terminal(columns, topic)
        assert max(map(len, text.splitlines())) <= columns
        assert text.count("…") == guide.page(topic).count("…")


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error() -> None:
    run = subprocess.Popen([sys.executable, "-m", "tinyres", "guide", "gradient"], stdout=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.close()
    assert run.wait() == 0
