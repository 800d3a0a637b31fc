"""How the demo reads in a terminal: what was taken, errors, gradients, sentences; in 60 columns and more."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from tinyres.study import demo

WIDEST = 80

T = TypeVar("T")


def equation(parts: dict[str, float]) -> str:
    """The split of a gradient at a fork, on scalars."""
    return "\n".join(
        (
            "The equation on scalars: L = (wx + x)^2 at w = 0.1, x = 3.",
            "At the fork x feeds the branch wx and the skip:",
            f"  dL/dx {parts['gradient']:.2f} = skip {parts['skip']:.2f} ({parts['skip_share']:.3f})"
            f" + branch {parts['branch']:.2f} ({parts['branch_share']:.3f})",
            "",
        )
    )


def train(options: demo.DemoOptions, data: demo.DemoData) -> dict[str, demo.NetResult]:
    """Run every net, and show how far it is."""
    batches = -(-len(data.x_train) // 32) * options.epochs * options.seeds
    about = f"{options.blocks} blocks of 2 Dense, width {options.width}"
    return each_shown(options.nets, about, batches, lambda name, on_step: demo.run_net(name, options, data, on_step))


def each_shown(
    names: Iterable[str], about: str, steps: int, run: Callable[[str, Callable[[], None]], T]
) -> dict[str, T]:
    """What `run(name, on_step)` gives for each net: under a bar in a terminal, else with a line for each.

    about: the nets, in that line. steps: how often a run calls on_step.
    """
    results = {}
    if not sys.stdout.isatty():
        for name in names:
            print(f"training {name}: {about} ...", flush=True)
            results[name] = run(name, lambda: None)
        return results
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True) as progress:
        for name in names:
            task = progress.add_task(name, total=steps)
            results[name] = run(name, partial(progress.advance, task))
    return results


def tables(options: demo.DemoOptions, results: dict[str, demo.NetResult], data: demo.DemoData) -> str:
    """Two tables: what each net learned, and what its gradient was before."""
    epochs = "1 epoch" if options.epochs == 1 else f"{options.epochs} epochs"
    seeds = "1 seed" if options.seeds == 1 else f"{options.seeds} seeds, mean ± sd"
    measure = "share of the variance not explained" if data.regression else "share of wrong answers"
    lines = [
        *said(
            f"{len(data.x_train)} training and {len(data.x_test)} test examples, {epochs} of {options.optimizer}, "
            f"batch 32, {seeds}; error: {measure}, with settled BatchNorm statistics"
        ),
        "",
        f"{'net':<10} {'train error':>14} {'test error':>14} {'rate':>8} {'ms/step':>8}",
    ]
    for result in results.values():
        errors = f"{demo.mean_error(result.train_errors):>14} {demo.mean_error(result.test_errors):>14}"
        lines.append(f"{result.name:<10} {errors} {result.lr:>8.2g} {result.step_ms:>8.2f}")
    lines += [
        "",
        *said("gradients before training; |g| = L2 norm of dL/d(block input), and its shares"),
        "",
        f"{'net':<10} {'block':<8} {'|g|':>9} {'skip':>7} {'branch':>7}",
    ]
    for result in results.values():
        lead = result.name
        for row in result.rows:
            shares = f"{_share(row['skip'])} {_share(row['branch'])}"
            lines.append(f"{lead:<10} {row['block']:<8} {row['grad_norm']:>9.3g} {shares}")
            lead = ""
    return "\n".join([*lines, ""])


def said(sentence: str) -> list[str]:
    """A sentence as lines that fit the terminal."""
    width = min(WIDEST, shutil.get_terminal_size().columns)
    return textwrap.wrap(sentence, max(width, 20), subsequent_indent="  ")


def _share(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{value:>7.3f}"
