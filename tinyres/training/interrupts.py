"""Ctrl-C in `fit`: it comes between two steps, never within one.

A step and the note that it was taken are one: else a training that is saved and gone on with would take it twice.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Interrupts:
    """Holds Ctrl-C back inside `held` blocks; a second one there comes through at once."""

    def __init__(self) -> None:
        self._holding = False
        self._arrived: tuple[Any, ...] | None = None
        self._handler: Callable[..., Any] | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Take the place of the handler that is there; only the main thread gets signals."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return
        self._handler = before
        signal.signal(signal.SIGINT, self._arrives)
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGINT) == self._arrives:
                signal.signal(signal.SIGINT, before)

    def hold(self) -> None:
        """From here on Ctrl-C waits."""
        self._holding = True

    def release(self) -> None:
        """Ctrl-C comes again, and first the one that has waited."""
        self._holding = False
        if self._arrived is not None and self._handler is not None:
            arrived, self._arrived = self._arrived, None
            self._handler(*arrived)

    def _arrives(self, *arguments: Any) -> None:
        if self._holding and self._arrived is None:
            self._arrived = arguments
        elif self._handler is not None:
            self._arrived = None
            self._handler(*arguments)
