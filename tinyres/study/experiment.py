"""Experiment and Result: one mechanism for every published finding that tinyres reproduces.

An experiment is a function with defaults for every option. What it returns is rows of plain data with the published or
theoretical number in a column of its own, the sentences that follow from them, and a way to draw them.
"""

from __future__ import annotations

import inspect
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinyres.errors import ArgumentError
from tinyres.store import text
from tinyres.store.replacing import replacing
from tinyres.view.numbers import number
from tinyres.view.plots import require_matplotlib as require_matplotlib
from tinyres.view.table import WIDTH, Column, lines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]

# Okabe and Ito's colours, which colour-blind readers tell apart, and two greys; a marker each for prints.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#A6761D", "#777777", "#B2ABD2"]
SIZE = (7, 4.2)  # inches
MARKERS = ["o", "s", "^", "v", "D", "P", "X", "<", ">", "*"]


@dataclass(frozen=True)
class Field:
    """One column of a result: its title, the key in a row, its width, how a value reads, and if it is words."""

    title: str
    key: str
    width: int
    text: Callable[[Any], str] = number
    words: bool = False

    @property
    def column(self) -> Column:
        """The column as tables take it."""
        return Column(self.title, self.width, lambda row: self.text(row[self.key]), words=self.words)


@dataclass(frozen=True)
class Result:
    """What an experiment found.

    records: flat dicts of plain data. sentences: what follows from them. options: what it ran with. fields: the columns
    of its table. draw: draws it into Axes.
    """

    name: str
    title: str
    source: str
    options: Mapping[str, Any]
    fields: Sequence[Field]
    records: Sequence[Row]
    sentences: Sequence[str]
    draw: Callable[[Any], None] = field(repr=False)

    def rows(self) -> list[dict[str, Any]]:
        """Flat dicts, ready for a DataFrame."""
        return [dict(record) for record in self.records]

    def table(self) -> str:
        """The rows beside the published or theoretical numbers, in 80 columns."""
        return "\n".join(lines_of(self.records, [f.column for f in self.fields]))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw into `ax`, or into a new figure. Raises MissingExtraError without matplotlib."""
        if ax is None:
            require_matplotlib()
            from matplotlib import pyplot

            ax = pyplot.subplots(figsize=SIZE, layout="constrained")[1]
        ax.set_prop_cycle(color=COLOURS, marker=MARKERS)
        self.draw(ax)
        ax.set_title(self.title, fontsize=10)
        return ax

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file: .json the rows, .png, .pdf or .svg the picture.

        Written atomically. Raises ArgumentError for another suffix, FileError if it cannot be written, and
        MissingExtraError for a picture without matplotlib.
        """
        path = os.fspath(path)
        suffix = os.path.splitext(path)[1]
        if suffix not in (".json", ".png", ".pdf", ".svg"):
            raise ArgumentError(f"[experiment] a result is saved as .json, .png, .pdf or .svg; got {path!r}; rename it")
        if suffix == ".json":
            with replacing(path) as file:
                file.write(text.encoded(self.as_dict(), indent=1))
            return
        require_matplotlib()
        from matplotlib.figure import Figure

        figure = Figure(figsize=SIZE, layout="constrained")
        self.plot(figure.add_subplot())
        with replacing(path) as file:
            figure.savefig(file, format=suffix[1:], dpi=150)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {
            "experiment": self.name,
            "title": self.title,
            "source": self.source,
            "options": dict(self.options),
            "rows": self.rows(),
            "sentences": list(self.sentences),
        }

    def __str__(self) -> str:
        lines = [self.title, *_wrapped(f"source: {self.source}"), "", self.table(), ""]
        for sentence in self.sentences:
            lines += _wrapped(sentence)
        return "\n".join(lines).rstrip()

    def __repr__(self) -> str:
        return f"<Result of {self.name}: {len(self.records)} rows; print it>"


class Experiment:
    """One experiment: call it, with options by keyword, for a Result.

    name: as on the command line. title: what it shows, in a line. source: where it was published. run: a function whose
    keyword arguments all have defaults; gives (fields, records, sentences, draw).
    """

    def __init__(self, name: str, title: str, source: str, run: Callable[..., Any]) -> None:
        self.name = name
        self.title = title
        self.source = source
        self.run = run
        self.__doc__ = run.__doc__

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option and its default."""
        return {name: p.default for name, p in inspect.signature(self.run).parameters.items()}

    def __call__(self, **options: Any) -> Result:
        unknown = set(options) - set(self.defaults)
        if unknown:
            known = ", ".join(self.defaults)
            raise ArgumentError(
                f"[experiment] {self.name} has the options {known}; got {', '.join(sorted(unknown))}; use one of them"
            )
        chosen = {**self.defaults, **options}
        fields, records, sentences, draw = self.run(**chosen)
        return Result(self.name, self.title, self.source, chosen, fields, records, sentences, draw)

    def parsed(self, settings: Sequence[str]) -> dict[str, Any]:
        """Options from texts like "depths=8,16", read as their defaults are. Raises ArgumentError for what is not."""
        options = {}
        for setting in settings:
            name, _, text = setting.partition("=")
            if name not in self.defaults or not text:
                known = ", ".join(f"{key}={_written(value)}" for key, value in self.defaults.items())
                raise ArgumentError(
                    f"[experiment] {self.name} is set by {known}; got {setting!r}; write one like these"
                )
            default = self.defaults[name]
            try:
                if isinstance(default, tuple):
                    options[name] = tuple([type(default[0])(part) for part in text.split(",")])
                else:
                    options[name] = type(default)(text)
            except ValueError:
                raise ArgumentError(
                    f"[experiment] {name} reads like {_written(default)}; got {text!r}; write it the same way"
                ) from None
        return options

    def __repr__(self) -> str:
        return f"<Experiment {self.name}: {self.title}>"


def percent(value: float) -> str:
    """A share as a table shows it: 6.1%."""
    return f"{value:.1%}"


def percent_or_diverged(value: float | None) -> str:
    """A share, or what became of a training that gave none."""
    return "diverged" if value is None else percent(value)


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
