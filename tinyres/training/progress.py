"""What `fit` shows while it runs: a progress bar in a terminal, one line per epoch elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tinyres.errors import ArgumentError

READ_EVERY = 0.2  # seconds between two readings of the running means


def text(logs: dict[str, float]) -> str:
    """The logs as one line."""
    return "  ".join(f"{name} {value:.4f}" for name, value in logs.items())


class Progress:
    """Shows nothing; the base of what shows something."""

    @contextlib.contextmanager
    def running(self, epochs: int, steps: int | None) -> Iterator[None]:
        """Around a training of `epochs` epochs, counted from 0, of `steps` steps each, or nobody knows how many."""
        self.epochs, self.steps = epochs, steps
        yield

    def begin_epoch(self, epoch: int) -> None:
        """Epoch `epoch`, counted from 0, begins."""

    def step(self, done: int, read: Callable[[], dict[str, float]]) -> None:
        """`done` steps of the epoch are done; `read()` gives the running means, at a price."""

    def watched(self, tell: Callable[[], list[str]]) -> None:
        """The gradient was looked at; `tell()` gives the lines that say how it is, at a price."""

    def end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """The epoch is over."""

    def say(self, line: str) -> None:
        """One line of its own."""
        print(line, flush=True)


class Lines(Progress):
    """One plain line per epoch."""

    def begin_epoch(self, epoch: int) -> None:
        self._began = time.perf_counter()

    def end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        seconds = time.perf_counter() - self._began
        self.say(f"epoch {epoch + 1}/{self.epochs}  {seconds:.2f} s  {text(logs)}")


class Bar(Lines):
    """A bar over the steps of the epoch with the running means, and the line of Lines when the epoch is over.

    Under it, as long as it runs, the lines that `watched` has given last.
    """

    @contextlib.contextmanager
    def running(self, epochs: int, steps: int | None) -> Iterator[None]:
        from rich import console, text
        from rich import progress as rich

        class WithLines(rich.Progress):
            lines = text.Text(style="yellow")

            def get_renderables(self) -> Iterator[Any]:
                yield from super().get_renderables()
                if self.lines:
                    yield self.lines

        columns = rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()
        with (
            super().running(epochs, steps),
            WithLines(
                *columns,
                rich.TimeRemainingColumn(),
                rich.TextColumn("{task.fields[logs]}"),
                transient=True,
                console=console.Console(),
            ) as self._bar,
        ):
            self._task = self._bar.add_task("", total=steps, logs="")
            self._shown = self._told = 0.0
            yield

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        self._bar.reset(self._task, total=self.steps, description=f"epoch {epoch + 1}/{self.epochs}", logs="")

    def step(self, done: int, read: Callable[[], dict[str, float]]) -> None:
        now = time.perf_counter()
        if now - self._shown >= READ_EVERY or done == self.steps:
            self._shown = now
            self._bar.update(self._task, completed=done, logs=text(read()))

    def watched(self, tell: Callable[[], list[str]]) -> None:
        now = time.perf_counter()
        if now - self._told >= READ_EVERY:
            self._told = now
            self._bar.lines.plain = "\n".join(tell())

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)


def progress(verbose: Any) -> Progress:
    """verbose: 0 nothing, 1 bar, 2 lines, "auto" bar in a terminal and lines elsewhere."""
    if not isinstance(verbose, (int, str)) or verbose not in ("auto", 0, 1, 2):
        raise ArgumentError(f'[fit] verbose is "auto", 0 (nothing), 1 (bar) or 2 (lines); got {verbose!r}; choose one')
    if verbose == "auto":
        verbose = 1 if sys.stdout.isatty() else 2
    return (Progress, Bar, Lines)[int(verbose)]()
