"""Experiment and Result: one mechanism for every published finding that tinyres reproduces.

An experiment is a plan and what is told of its outcome. The plan is a list of jobs, each of which gives rows of plain
data; the sentences, the table, the lines of the guide and the picture are functions of these rows alone. So a sentence
can be tested with made-up rows: each is a claim, and stands only where the numbers bear it out beyond their spread.
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
from tinyres.study.spread import Spread
from tinyres.view.numbers import number
from tinyres.view.plots import require_matplotlib as require_matplotlib
from tinyres.view.printable import width_of_prose
from tinyres.view.table import Column, lines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]

# Okabe and Ito's colours, which colour-blind readers tell apart, and two greys; a marker each for prints.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#A6761D", "#777777", "#B2ABD2"]
SIZE = (7, 4.2)  # inches
MARKERS = ["o", "s", "^", "v", "D", "P", "X", "<", ">", "*"]


@dataclass(frozen=True)
class Job:
    """One part of an experiment. label: what runs. seconds: about how long. run: gives its rows."""

    label: str
    seconds: float
    run: Callable[[], list[dict[str, Any]]]


@dataclass(frozen=True)
class Finding:
    """A line of the guide's table: what it shows, what is published or follows from theory, and what came out here."""

    shows: str
    published: str
    here: str


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

    records: dicts of plain data, numbers over seeds as a Spread. sentences: the claims that hold, then how to read the
    numbers. findings: its lines in the guide. options: what it ran with. fields: the columns of its table. draw: draws
    it into Axes.
    """

    name: str
    title: str
    source: str
    options: Mapping[str, Any]
    fields: Sequence[Field]
    records: Sequence[Row]
    sentences: Sequence[str]
    findings: Sequence[Finding]
    draw: Callable[[Any], None] = field(repr=False)

    def rows(self) -> list[dict[str, Any]]:
        """Flat dicts, ready for a DataFrame: of a Spread the mean, `NAME_sd` and `NAME_values`, one per seed."""
        return [dict(item for key, value in record.items() for item in _flat(key, value)) for record in self.records]

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
            "findings": [vars(finding) for finding in self.findings],
        }

    def __str__(self) -> str:
        lines = [self.title, *_wrapped(f"source: {self.source}"), "", self.table(), ""]
        for sentence in self.sentences:
            lines += _wrapped(sentence)
        return "\n".join(lines).rstrip()

    def __repr__(self) -> str:
        return f"<Result of {self.name}: {len(self.records)} rows; print it>"


@dataclass(frozen=True)
class Experiment:
    """One experiment: call it, with options by keyword, for a Result.

    name: as on the command line. title: what it shows, in a line. source: where it was published. plan: its jobs, a
    function whose keyword arguments all have defaults. fields: the columns for these rows. claims: the sentences that
    these rows bear out. findings: lines for the guide. draw: draws rows into Axes. quick: options for a first look in
    seconds.
    """

    name: str
    title: str
    source: str
    plan: Callable[..., list[Job]]
    fields: Callable[[Sequence[Row]], Sequence[Field]]
    claims: Callable[[Sequence[Row]], list[str]]
    findings: Callable[[Sequence[Row]], list[Finding]]
    draw: Callable[[Sequence[Row], Any], None]
    quick: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", self.plan.__doc__)  # what help() tells: the options

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option and its default."""
        return {name: p.default for name, p in inspect.signature(self.plan).parameters.items()}

    def jobs(self, **options: Any) -> list[Job]:
        """What would run with these options. Raises ArgumentError for options that it has not or cannot take."""
        unknown = set(options) - set(self.defaults)
        if unknown:
            known = ", ".join(self.defaults)
            raise ArgumentError(
                f"[experiment] {self.name} has the options {known}; got {', '.join(sorted(unknown))}; use one of them"
            )
        for name, value in options.items():
            for entry in value if isinstance(value, tuple) else (value,):
                if name not in ("seed", "noise") and not entry > 0:
                    raise ArgumentError(f"[experiment] {name} must be positive; got {entry}; give a larger one")
        return self.plan(**options)

    def __call__(self, on_job: Callable[[Job], None] = lambda job: None, **options: Any) -> Result:
        """Run it. on_job: called before each job."""
        records: list[Row] = []
        for job in self.jobs(**options):
            on_job(job)
            records += job.run()
        return self.result(records, {**self.defaults, **options})

    def result(self, records: Sequence[Row], options: Mapping[str, Any]) -> Result:
        """What is told of these rows."""
        return Result(
            self.name,
            self.title,
            self.source,
            options,
            self.fields(records),
            records,
            self.claims(records),
            self.findings(records),
            lambda ax: self.draw(records, ax),
        )

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


def error_bars(ax: Any, places: Sequence[float], spreads: Sequence[Spread], label: str, **options: Any) -> Any:
    """A line through the means with bars of one sd; what diverged is left out."""
    there = [(place, s.mean, s.sd or 0.0) for place, s in zip(places, spreads) if s.mean is not None]
    style: dict[str, Any] = {"capsize": 2, "elinewidth": 0.8, "markersize": 4, **options}
    x, y, sd = zip(*there) if there else ((), (), ())
    return ax.errorbar(x, y, sd, label=label, **style)


def seeds_note(spread: Spread) -> str:
    """How a ± reads."""
    count = len(spread.values)
    return "1 seed, so that no spread is known and nothing is compared." if count == 1 else f"±: sd over {count} seeds."


def _flat(key: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Spread):
        complete = None if value.diverged else value.mean
        return [(key, complete), (f"{key}_sd", value.sd), (f"{key}_values", list(value.values))]
    return [(key, value)]


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, width_of_prose(), subsequent_indent="  ", break_on_hyphens=False)
