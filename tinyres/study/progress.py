"""An experiment under way: how long it will take, said before it starts, and what runs now, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tinyres.study.experiment import Experiment, Job, Result
from tinyres.study.sweep import reporting

LONG = 60  # seconds from which on each part of an experiment is told where there is no bar


def duration(seconds: float) -> str:
    """About how long.

    >>> duration(3.0), duration(42.0), duration(100.0)
    ('a few seconds', 'about 40 seconds', 'about 2 minutes')
    """
    if seconds < 10:
        return "a few seconds"
    return f"about {round(seconds, -1):.0f} seconds" if seconds < 90 else f"about {seconds / 60:.0f} minutes"


def watched(experiment: Experiment, options: Mapping[str, Any]) -> Result:
    """Run an experiment and say on standard error how it goes: under a bar in a terminal, else in lines."""
    jobs = experiment.jobs(**options)
    total = sum(job.seconds for job in jobs)
    print(f"{experiment.name}: {len(jobs)} parts, {duration(total)} on one core ...", file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        return experiment(_told if total > LONG else lambda job: None, **options)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description:<28}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        began, running = 0.0, 0.0

        def on_job(job: Job) -> None:
            nonlocal began, running
            began, running = began + running, job.seconds
            progress.update(task, description=job.label, completed=began)

        with reporting(lambda share: progress.update(task, completed=began + share * running)):
            return experiment(on_job, **options)


def _told(job: Job) -> None:
    print(f"  {job.label}, {duration(job.seconds)} ...", file=sys.stderr, flush=True)
