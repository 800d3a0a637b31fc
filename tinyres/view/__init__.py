"""Renderers: pure functions of a Trace or a Comparison, and the methods of both that call them."""

from tinyres.trace import Trace, compare
from tinyres.view.methods import attach

attach()

__all__ = ["Trace", "compare"]
