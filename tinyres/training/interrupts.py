"""Signals in `fit`: Ctrl-C, an alarm, a scheduler's notice come between two steps, never within one.

A step and the note that it was taken are one: else a training that is saved and gone on with would take it twice.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Interrupts:
    """Holds back, inside `held` blocks, the signals that a handler in Python answers; a second one comes through."""

    def __init__(self) -> None:
        self._holding = False
        self._arrived: dict[int, tuple[Any, ...]] = {}
        self._handlers: dict[int, Callable[..., Any]] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Take the place of the handlers that are there; only the main thread gets signals."""
        if threading.current_thread() is threading.main_thread():
            found = {number: signal.getsignal(number) for number in map(int, signal.valid_signals())}
            self._handlers = {number: handler for number, handler in found.items() if callable(handler)}
        for number in self._handlers:
            signal.signal(number, self._arrives)
        try:
            yield
        finally:
            for number, before in self._handlers.items():
                if signal.getsignal(number) == self._arrives:
                    signal.signal(number, before)

    def hold(self) -> None:
        """From here on signals wait."""
        self._holding = True

    def release(self) -> None:
        """Signals come again, and first those that have waited, in the order in which they came."""
        self._holding = False
        while self._arrived:
            number = next(iter(self._arrived))
            self._handlers[number](*self._arrived.pop(number))

    def _arrives(self, number: int, frame: Any) -> None:
        if self._holding and number not in self._arrived:
            self._arrived[number] = (number, frame)
        else:
            self._arrived.pop(number, None)
            self._handlers[number](number, frame)
