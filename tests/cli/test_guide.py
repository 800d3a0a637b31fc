"""The manual in the terminal: its list, its pages, and a topic that is not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tinyres import guide
from tinyres.cli import main


def test_topics_are_listed_in_reading_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(guide.topics()) and listed.index("gradient") < listed.index("internals")


@pytest.mark.parametrize("topic", guide.topics())
def test_a_page_is_markdown_that_can_be_copied(capsys: pytest.CaptureFixture[str], topic: str) -> None:
    assert main(["guide", topic]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"# {guide.topics()[topic]}\n") and "<!--" not in text
    assert text.count("```") % 2 == 0


def test_an_unknown_topic_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "gradeint"]) == 2
    assert capsys.readouterr().err == (
        "tinyres: [guide] topics are what `tinyres guide` lists; got 'gradeint'; try gradient\n"
    )


def test_a_terminal_gets_a_pager() -> None:
    """Rendered, as wide as the terminal, through what PAGER names."""
    pty = pytest.importorskip("pty")
    run = "import os, sys; os.environ.update(PAGER='cat', COLUMNS='60', TERM='xterm'); from tinyres.cli import main; "
    read: list[bytes] = []

    def keep(descriptor: int) -> bytes:
        import os

        read.append(os.read(descriptor, 65536))
        return read[-1]

    pty.spawn([sys.executable, "-c", run + "sys.exit(main(['guide', 'variables']))"], keep)
    text = b"".join(read).decode()
    assert "TINYRES_ISA" in text and "```" not in text and "# Env" not in text


def test_a_reader_that_goes_away_is_no_error() -> None:
    run = subprocess.Popen([sys.executable, "-m", "tinyres", "guide", "gradient"], stdout=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.close()
    assert run.wait() == 0
