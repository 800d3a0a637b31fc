"""What `fit` tells about itself, as plain data, and what shows it: a bar in a terminal, lines elsewhere, or nothing.

A reporter has one method, `tell(event)`. The events are records without behaviour, so that a page, a log or a test can
take them as well as a terminal; `verbose` takes a reporter too, and callbacks are told the same.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Protocol

from tinyres.errors import ArgumentError
from tinyres.training.gradients import GradientNorms

READ_EVERY = 0.2  # seconds between two readings of the running means
WIDTH = 80


@dataclass(frozen=True)
class TrainingBegan:
    """Before the first epoch. epochs: where counting ends. steps: per epoch; None if nobody knows."""

    epochs: int
    steps: int | None


@dataclass(frozen=True)
class EpochBegan:
    """Epoch `epoch`, counted from 0, begins."""

    epoch: int
    epochs: int
    steps: int | None


@dataclass(slots=True)
class StepDone:
    """`done` steps of the epoch are done. read: gives the running means, at a price."""

    epoch: int
    done: int
    steps: int | None
    read: Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Watched:
    """The gradient was looked at, at the last step of `gradients`."""

    epoch: int
    gradients: GradientNorms


@dataclass(frozen=True)
class EpochEnded:
    """The epoch and its validation are over. gradients: what was watched in this training, if anything."""

    epoch: int
    epochs: int
    logs: dict[str, float]
    seconds: float
    gradients: GradientNorms | None = None


@dataclass(frozen=True)
class TrainingEnded:
    """After the last epoch, or when an error has stopped the training."""

    failed: bool


Event = TrainingBegan | EpochBegan | StepDone | Watched | EpochEnded | TrainingEnded


class Reporter(Protocol):
    """What is told how a training goes."""

    def tell(self, event: Event) -> None:
        """Take note."""
        ...


def as_data(event: Event, every: int = 1) -> dict[str, Any] | None:
    """An event as numbers and strings; None for a step that is not one of every `every`.

    >>> as_data(EpochBegan(epoch=0, epochs=2, steps=10))
    {'event': 'EpochBegan', 'epoch': 0, 'epochs': 2, 'steps': 10}
    """
    data: dict[str, Any] = {"event": type(event).__name__}
    data.update({f.name: getattr(event, f.name) for f in fields(event)})
    if isinstance(event, StepDone):
        if not every or event.done % every:
            return None
        data["logs"] = data.pop("read")()
    gradients = data.pop("gradients", None)
    if isinstance(event, Watched) and gradients is not None:
        data.update(step=int(gradients.steps[-1]), norms=dict(zip(gradients.names, gradients.norms[-1].tolist())))
    return data


def number(value: float, decimals: int = 4) -> str:
    """A value of the logs in few characters."""
    plain = not 0 < abs(value) < 1e-3 and abs(value) < 1e5
    return f"{value:.{decimals}f}" if plain else f"{value:.{decimals - 1}e}"


def text(logs: dict[str, float]) -> str:
    """The logs as one line."""
    return "  ".join(f"{name} {number(value)}" for name, value in logs.items())


def within(head: str, logs: dict[str, float]) -> list[str]:
    """The head and the logs as wide as the terminal, 80 columns at most: with fewer decimals, or in several lines."""
    width = min(WIDTH, shutil.get_terminal_size().columns)
    for decimals, between in ((4, "  "), (3, "  "), (3, " ")):
        line = f"{head}  {between.join(f'{name} {number(value, decimals)}' for name, value in logs.items())}"
        if len(line) <= width:
            return [line]
    lines = [head]
    for name, value in logs.items():
        item = f"  {name} {number(value)}"
        if len(lines[-1]) + len(item) > width:
            lines.append("")
        lines[-1] += item
    return lines


class Lines:
    """One plain line per epoch, more where it would be too long; live: two on the gradient."""

    every_step = False  # whether it wants to be told of each step

    def __init__(self, epochs: bool = True, live: bool = False) -> None:
        self._epochs, self._live = epochs, live

    def tell(self, event: Event) -> None:
        """Say how the epoch was, when it is over."""
        if isinstance(event, EpochEnded):
            if self._epochs:
                for line in within(f"epoch {event.epoch + 1}/{event.epochs}  {event.seconds:.2f} s", event.logs):
                    self.say(line)
            if self._live and event.gradients is not None and len(event.gradients):
                for line in event.gradients.told():
                    self.say(line)

    def say(self, line: str) -> None:
        """One line of its own."""
        print(line, flush=True)


class Bar(Lines):
    """A bar over the steps of the epoch with the running means, and the line of Lines when the epoch is over.

    live: under it, as long as it runs, the lines on the gradient that was watched last.
    """

    every_step = True

    def __init__(self, live: bool = False) -> None:
        super().__init__(live=live)
        self._shown = self._told = 0.0

    def tell(self, event: Event) -> None:
        """Draw."""
        if isinstance(event, TrainingBegan):
            self._start(event.steps)
        elif isinstance(event, EpochBegan):
            named = f"epoch {event.epoch + 1}/{event.epochs}"
            self._bar.reset(self._task, total=event.steps, description=named, logs="")
        elif isinstance(event, StepDone):
            now = time.perf_counter()
            if now - self._shown >= READ_EVERY or event.done == event.steps:
                self._shown = now
                self._bar.update(self._task, completed=event.done, logs=text(event.read()))
        elif isinstance(event, Watched):
            now = time.perf_counter()
            if self._live and now - self._told >= READ_EVERY:
                self._told = now
                self._bar.lines.plain = "\n".join(event.gradients.told())
        elif isinstance(event, TrainingEnded):
            self._bar.stop()
        super().tell(event)

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)

    def _start(self, steps: int | None) -> None:
        from rich import console, text
        from rich import progress as rich

        class WithLines(rich.Progress):
            lines = text.Text(style="yellow")

            def get_renderables(self) -> Iterator[Any]:
                yield from super().get_renderables()
                if self.lines:
                    yield self.lines

        columns = rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()
        self._bar = WithLines(
            *columns,
            rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[logs]}"),
            transient=True,
            console=console.Console(),
        )
        self._task = self._bar.add_task("", total=steps, logs="")
        self._bar.start()


def reporter(verbose: Any, live: bool = False) -> Reporter:
    """verbose: 0 nothing, 1 bar, 2 lines, "auto" bar in a terminal and lines elsewhere; or a reporter of one's own."""
    if callable(getattr(verbose, "tell", None)):
        return verbose
    if not isinstance(verbose, (int, str)) or verbose not in ("auto", 0, 1, 2):
        raise ArgumentError(f'[fit] verbose is "auto", 0 (nothing), 1 (bar) or 2 (lines); got {verbose!r}; choose one')
    if verbose == "auto":
        verbose = 1 if sys.stdout.isatty() else 2
    return Bar(live) if int(verbose) == 1 else Lines(epochs=int(verbose) == 2, live=live)


@contextlib.contextmanager
def reporting(tell: Callable[[Event], None], epochs: int, steps: int | None) -> Iterator[None]:
    """Around a training: its begin and its end are told, also where it ends in an error."""
    tell(TrainingBegan(epochs, steps))
    failed = True
    try:
        yield
        failed = False
    finally:
        tell(TrainingEnded(failed))
