"""Trace: the plain record of one measured pass, its judges and its files; imports nothing of the engine."""

from tinyres.trace import files  # registers the formats
from tinyres.trace.compare import compare
from tinyres.trace.trace import Trace

__all__ = ["Trace", "compare", "files"]
