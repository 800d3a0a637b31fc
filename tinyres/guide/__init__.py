"""The manual: pages of Markdown in reading order, which `tinyres guide` lists and shows, and whose snippets tests run.

A file is called by its place and its topic, `20-training.md`; its first line is its title.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from tinyres.errors import ArgumentError

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)  # tells tests how to run what comes next


def topics() -> dict[str, str]:
    """The title of each page by its topic, in reading order.

    >>> from tinyres import guide
    >>> guide.topics()["gradient"]
    'Ask the gradient'
    """
    return {topic: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for topic, path in _pages().items()}


def page(topic: str) -> str:
    """The Markdown of one page. Raises ArgumentError, with the nearest topics, for one that is not there."""
    pages = _pages()
    if topic not in pages:
        near = difflib.get_close_matches(topic, pages, n=2) or list(pages)
        raise ArgumentError(f"[guide] topics are what `tinyres guide` lists; got {topic!r}; try {', '.join(near)}")
    return _COMMENT.sub("", pages[topic].read_text(encoding="utf-8"))


def _pages() -> dict[str, Path]:
    found = sorted(Path(__file__).parent.glob("[0-9][0-9]-*.md"))
    return {path.stem.partition("-")[2]: path for path in found}
