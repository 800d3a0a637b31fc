"""An experiment under way: how long it will take, said before it starts, and what runs now, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tinyres.study.experiment import Experiment, Job, Result


def duration(seconds: float) -> str:
    """About how long.

    >>> duration(3.0), duration(42.0), duration(100.0)
    ('a few seconds', 'about 40 seconds', 'about 2 minutes')
    """
    if seconds < 10:
        return "a few seconds"
    return f"about {round(seconds, -1):.0f} seconds" if seconds < 90 else f"about {seconds / 60:.0f} minutes"


def watched(experiment: Experiment, options: Mapping[str, Any]) -> Result:
    """Run an experiment and say on standard error how it goes: under a bar in a terminal, else in one line."""
    jobs = experiment.jobs(**options)
    total = sum(job.seconds for job in jobs)
    print(f"{experiment.name}: {len(jobs)} parts, {duration(total)} on one core ...", file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        return experiment(**options)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description:<28}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        done = 0.0

        def on_job(job: Job) -> None:
            nonlocal done
            progress.update(task, description=job.label, completed=done)
            done += job.seconds

        return experiment(on_job, **options)
