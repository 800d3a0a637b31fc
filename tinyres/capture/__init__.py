"""Capture and replay: a whole step recorded at the door, planned once, and run in one C call."""

from tinyres.capture.step import CapturedStep, capture

__all__ = ["CapturedStep", "capture"]
