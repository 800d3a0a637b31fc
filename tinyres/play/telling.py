"""What the library says of a net of the page: the one place from which its sentences come."""

from __future__ import annotations

from tinyres.trace.compare import compare
from tinyres.trace.trace import Trace


def sentences_of(trace: Trace) -> list[str]:
    """The verdict, or the story in a sentence where nothing stands out."""
    return list(map(str, trace.verdict())) or [s.removeprefix("net: ") for s in compare(net=trace).sentences]
